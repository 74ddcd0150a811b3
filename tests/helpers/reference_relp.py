"""RelP's propagation rules for raw Hugging Face models, written from the paper (arXiv 2508.21258).

Modules get forwards and hooks of their own for as long as the rules hold; gradients through the
model are then the rules' coefficients. Imports nothing of the package and no TransformerLens.

    norm         x / scale, the scale a constant
    activation   x c with the constant c = act(x) / x
    gated MLP    half of a product is a constant
    attention    queries and keys are constants
"""

from contextlib import contextmanager

import torch
from torch import nn

ACTS = ("act_fn", "activation_fn", "act")


@contextmanager
def rules(hf: nn.Module, layers):
    """``layers``: those of the language model, or the blocks of both stacks of a T5."""
    handles, changed = [], {}

    def becomes(module, forward):
        changed[module] = module.__dict__.get("forward")  # norms may have one of their own
        module.forward = forward

    norms = [m for layer in layers for m in layer.modules() if is_norm(m)]
    last = [m for name, m in hf.named_modules() if is_norm(m) and name.endswith(FINAL)]
    assert last, "no norm behind the layers"
    for module in {*norms, *last}:
        becomes(module, norm_of(module))
    for layer in layers:
        for module in layer.modules():
            act = next((getattr(module, n) for n in ACTS if hasattr(module, n)), None)
            if isinstance(act, nn.Module) and act not in changed:
                becomes(act, secant_of(act))
            for name, columns in fixed_in(hf, module):
                fix = fixed(columns)
                handles.append(getattr(module, name).register_forward_hook(fix))
            gated = any(hasattr(module, n) for n in ("up_proj", "gate_up_proj", "wi_1"))
            out = getattr(module, "down_proj", getattr(module, "wo", None))
            if gated and out is not None:
                handles.append(out.register_forward_pre_hook(half))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, before in changed.items():
            del module.forward
            if before is not None:
                module.forward = before


FINAL = ("model.norm", "ln_f", "final_layer_norm", "language_model.norm", "text_model.norm")


def is_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("Norm")


def norm_of(module: nn.Module):
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weight = 1 + module.weight if "Gemma" in type(module).__name__ else module.weight

    def forward(x):
        if isinstance(module, nn.LayerNorm):
            x = x - x.mean(-1, keepdim=True)
        scale = ((x**2).mean(-1, keepdim=True) + eps).sqrt().detach()
        bias = getattr(module, "bias", None)
        return weight * x / scale + (0 if bias is None else bias)

    return forward


def secant_of(act: nn.Module):
    original = type(act).forward

    def forward(x):
        c = original(act, x) / x
        return x * torch.where(x == 0, 0, c).detach()

    return forward


def half(module, args):
    return (args[0] / 2 + args[0].detach() / 2,)


def fixed_in(hf, module):
    """Projections that hold queries or keys: their names, and the first column that is neither."""
    if hasattr(module, "c_attn"):
        return [("c_attn", 2 * hf.config.n_embd)]
    if hasattr(module, "qkv_proj"):
        heads = hf.config.num_attention_heads + hf.config.num_key_value_heads
        return [("qkv_proj", heads * module.head_dim)]
    for names in (("q_proj", "k_proj"), ("q", "k")):
        if all(hasattr(module, name) for name in names):
            return [(name, None) for name in names]
    return []


def fixed(columns):
    def hook(module, args, out):
        if columns is None:
            return out.detach()
        return torch.cat([out[..., :columns].detach(), out[..., columns:]], -1)

    return hook
