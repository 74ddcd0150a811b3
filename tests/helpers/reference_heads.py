"""An independent reference for heads and their edges: raw Hugging Face, one item at a time.

Attention is written out here, score by score, and put in the place of the function that the model's
own file calls; imports nothing of the package and no TransformerLens. No padding, so that positions
are those of the tokens.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Pairs = Sequence[tuple[int, int]]
"""Query and key of each edge that is cut."""
Cut = Mapping[nn.Module, Mapping[int, Pairs]]
"""Attention module -> head -> edges."""


@contextmanager
def edges_gone(hf: nn.Module, attentions: Sequence[nn.Module], cut: Cut) -> Iterator[None]:
    """Run a raw model whose attention is written out, with these edges at minus infinity."""

    def attention(module, query, key, value, attention_mask, scaling=None, position_bias=None, **_):
        times = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(times, 1) for x in (key, value))
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        scores = torch.einsum("bhid,bhjd->bhij", query, key) * scale
        for more in (position_bias, attention_mask):
            scores = scores if more is None else scores + more[..., : key.shape[2]]
        for head, pairs in cut.get(module, {}).items():
            for i, j in pairs:
                scores[:, head, i, j] = -torch.inf
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        return torch.einsum("bhij,bhjd->bihd", weights, value).contiguous(), weights

    files = {sys.modules[type(module).__module__] for module in attentions}
    own = {file: file.eager_attention_forward for file in files}
    before = hf.config._attn_implementation
    hf.set_attn_implementation("eager")
    try:
        for file in files:
            file.eager_attention_forward = attention
        yield
    finally:
        for file, function in own.items():
            file.eager_attention_forward = function
        hf.set_attn_implementation(before)


def output_of(attention: nn.Module) -> nn.Module:
    """The output projection of an attention: of Llama and its kin, GPT-2, or T5."""
    return next(getattr(attention, n) for n in ("o_proj", "c_proj", "o") if hasattr(attention, n))


@contextmanager
def entering(modules: Sequence[nn.Module], function: Callable[[int, Tensor], Tensor]) -> Iterator:
    """Change what enters some modules."""
    handles = [
        module.register_forward_pre_hook(lambda _, args, at=at: (function(at, args[0]), *args[1:]))
        for at, module in enumerate(modules)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def norms_written(output: nn.Module, z: Tensor, heads: int) -> Tensor:
    """The norm of what each head writes at each token: ``pos head``; biases are no head's."""
    weight = output.weight if hasattr(output, "nf") else output.weight.T  # GPT-2's is transposed
    width = len(weight) // heads
    rows = []
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        rows.append((z[0, :, own].double() @ weight[own].double()).pow(2).sum(-1).sqrt())
    return torch.stack(rows, -1).detach()
