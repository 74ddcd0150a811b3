"""Wrap a Hugging Face model as a TransformerBridge that is frozen and whose sites all fire.

The bridge is used with three changes to its defaults, each of which alters results or time:

* Booting never sees the model's tokenizer: it writes a BOS setting into the one it is given, and
  its own copy doubles the BOS of chat templates. Afterwards the bridge is given the model's own.
* Attention runs natively (sdpa) unless ``attention="eager"``: the bridge's own eager version needs
  memory quadratic in the length. All sites of ``sites.py`` fire either way; attention patterns
  and scores can be hooked only under ``"eager"``.
* act(gate), which has no hook point in the bridge, gets one at every layer of every stack.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.architectures import supported
from culture_lens.models.loading import Attention
from culture_lens.models.sites import hooks_of, part_of
from culture_lens.prompts.tokens import adds_bos

SAME_BUILD = {"SmolVLMForConditionalGeneration": "Idefics3ForConditionalGeneration"}


def boot(name: str, hf_model: Any, tokenizer: Any, attention: Attention) -> Any:
    """Wrap a Hugging Face model, freeze it, and give every layer an act(gate) hook point."""
    from transformer_lens.model_bridge import TransformerBridge

    implementation = getattr(hf_model.config, "_attn_implementation", "eager")
    stand_in = copy.deepcopy(tokenizer)
    stand_in.bos_token = None  # with one, booting reloads the tokenizer from name_or_path
    try:
        with warnings.catch_warnings(), no_processor(), known_class(hf_model.config):
            warnings.simplefilter("ignore")
            bridge: Any = TransformerBridge.boot_transformers(
                name, hf_model=hf_model, tokenizer=stand_in
            )
    except (ImportError, ValueError, KeyError, NotImplementedError, AttributeError) as error:
        raise InputError(
            f"the architecture {type(hf_model).__name__} of {name!r} is not supported: "
            f"TransformerBridge cannot wrap it ({error}). Supported are: {supported()}."
        ) from error
    prepare(bridge, tokenizer, attention, implementation)
    return bridge


def prepare(bridge: Any, tokenizer: Any, attention: Attention, implementation: str) -> None:
    """Freeze a bridge, and give it the model's tokenizer and an act(gate) hook at every layer.

    Args:
        bridge: The bridge; it is changed in place.
        tokenizer: The model's own tokenizer.
        attention: ``"native"``, or ``"eager"`` to leave the bridge's own attention as it is.
        implementation: The attention that Hugging Face ran before the bridge was booted.

    Raises:
        InputError: It has no stack of decoder blocks.
    """
    hf_model = bridge.original_model
    bridge.requires_grad_(False)
    bridge.eval()
    # The last position of each row is a slice with gaps, which costs the head one product per row.
    if head := hf_model.get_output_embeddings():
        head.register_forward_pre_hook(lambda _module, inputs: (inputs[0].contiguous(),))
    if not stacks_of(bridge):
        raise InputError(
            f"the architecture {type(hf_model).__name__} is not supported: it has no stack of "
            f"decoder blocks. Supported are: {supported()}."
        )
    give_tokenizer(bridge, tokenizer)
    if attention == "native":
        use_native_attention(bridge, implementation)
    # T5 in float16 keeps its residual stream in float32, and the bridge's norms would hand that on.
    if attention == "native" or hasattr(bridge, "encoder_blocks"):
        use_native_norms(bridge)
    for site, blocks in stacks_of(bridge).items():
        hook = hooks_of(encoder_decoder=site != "act")[site]
        known = bridge.hook_dict  # read once: the bridge makes it anew after every added hook
        for layer, block in enumerate(blocks):
            if hook.format(layer=layer) not in known:
                add_act_hook(bridge, block.mlp, hook.format(layer=layer))


def give_tokenizer(bridge: Any, tokenizer: Any) -> None:
    """Let a bridge read text by the model's own tokenizer, and as that tokenizer reads it.

    The bridge needs a padding token for any text; a tokenizer without one is copied and given its
    end-of-sequence token.
    """
    if tokenizer.pad_token is None:
        tokenizer = copy.deepcopy(tokenizer)
        tokenizer.pad_token = tokenizer.eos_token
    bridge._tokenizer = tokenizer  # its setter would write a BOS setting into it
    bridge.cfg.default_prepend_bos = bridge.cfg.tokenizer_prepends_bos = adds_bos(tokenizer)
    bridge.cfg.tokenizer_appends_eos = False  # nothing that the tokenizer writes is cut off


def stacks_of(bridge: Any) -> dict[str, Any]:
    """The stacks of layers by the site of their act(gate); empty where there is no decoder."""
    if hasattr(bridge, "blocks"):
        return {"act": bridge.blocks}
    if hasattr(bridge, "encoder_blocks") and hasattr(bridge, "decoder_blocks"):
        return {"encoder.act": bridge.encoder_blocks, "decoder.act": bridge.decoder_blocks}
    return {}


@contextmanager
def no_processor() -> Iterator[None]:
    """Keep booting from loading a processor, which may install torchvision."""
    from transformer_lens.model_bridge.sources.transformers import source
    from transformer_lens.model_bridge.supported_architectures import qwen2_5_vl

    adapter = qwen2_5_vl.Qwen2_5_VLArchitectureAdapter
    load, required = source.load_modality_processor, adapter.required_libraries
    source.load_modality_processor = lambda *_: None
    adapter.required_libraries = []  # torchvision is needed for videos only
    try:
        yield
    finally:
        source.load_modality_processor, adapter.required_libraries = load, required


@contextmanager
def known_class(config: Any) -> Iterator[None]:
    """Let booting see the class it knows in place of one that is built in the same way."""
    before = config.architectures
    config.architectures = [SAME_BUILD.get(name, name) for name in before or []]
    try:
        yield
    finally:
        config.architectures = before


def use_native_attention(bridge: Any, implementation: str) -> None:
    """Let Hugging Face's own attention run inside the bridge's hooks.

    The projections stay wrapped, so q, k, v and z fire and can be edited as before.
    """
    from transformer_lens.model_bridge.generalized_components import attention
    from transformer_lens.model_bridge.generalized_components.position_embeddings_attention import (
        PositionEmbeddingsAttentionBridge,
    )

    def plain_attention(self: Any, hidden_states: Tensor, **options: Any) -> tuple[Any, ...]:
        # T5's in the bridge asks for attention weights, which sdpa does not have.
        out, *rest = self.original_component(self.hook_in(hidden_states), **options)
        return (self.hook_out(out), *rest)

    replaced = False
    for module in bridge.modules():
        # Straight into __dict__: a bridge component hands attributes on to what it wraps.
        if type(module) is PositionEmbeddingsAttentionBridge:
            module.__dict__["forward"] = MethodType(attention.AttentionBridge.forward, module)
            replaced = True
        elif isinstance(module, attention.AttentionBridge):
            if module.requires_relative_position_bias:
                module.__dict__["forward"] = MethodType(plain_attention, module)
                replaced = True
            # Qwen2.5-VL's already runs Hugging Face's own; booting has only made that eager.
            replaced = replaced or type(module) is attention.AttentionBridge
    if replaced and implementation != "eager":
        bridge.original_model.set_attn_implementation(implementation)


def use_native_norms(bridge: Any) -> None:
    """Let Hugging Face's own norms run inside the bridge's hooks."""
    from transformer_lens.model_bridge.generalized_components import normalization

    def plain_norm(self: Any, hidden_states: Tensor, **_: Any) -> Tensor:
        out: Tensor = self.hook_out(self.original_component(self.hook_in(hidden_states)))
        return out

    for module in bridge.modules():
        if isinstance(module, normalization.NormalizationBridge):
            if getattr(module, "use_native_layernorm_autograd", False):
                module.__dict__["forward"] = MethodType(plain_norm, module)


def add_act_hook(bridge: Any, mlp: Any, name: str) -> None:
    """Put a TransformerLens hook point after the activation function of one layer's MLP."""
    from transformer_lens.hook_points import HookPoint

    module = mlp.original_component
    attribute = next((n for n in ("act_fn", "activation_fn", "act") if hasattr(module, n)), "")
    act = getattr(module, attribute, None)
    if not isinstance(act, torch.nn.Module):
        return  # a missing hook is reported by site_widths
    if act._forward_hooks:  # layers share one, and each needs its own hook
        act = copy.deepcopy(act)
        act._forward_hooks.clear()
        setattr(module, attribute, act)
    point = HookPoint()
    point.name = name
    # Booting has scanned the hooks already, so a later one is entered by hand.
    bridge._hook_registry[point.name] = point

    def through(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
        passed: Tensor = point(output)
        return passed

    act.register_forward_hook(through)


def point_name(known: Mapping[str, Any], hook: str) -> str:
    """Give the name that a hook point goes by itself; some have a second one."""
    return str(known[hook].name) if hook in known else hook


def has_gate(bridge: Any) -> bool:
    """Whether a model's MLP has a gate."""
    gates = (hooks_of()["gate"], hooks_of(encoder_decoder=True)["encoder.gate"])
    return any(gate.format(layer=0) in bridge.hook_dict for gate in gates)


def site_widths(bridge: Any, gated: bool, name: str, *, own: bool = True) -> dict[str, int]:
    """Run two tokens and read the width of every site, which proves that its hooks fire.

    Args:
        bridge: The bridge.
        gated: Whether its MLPs have a gate.
        name: The model's name, for messages.
        own: Whether act(gate) must have its hook points; else its width is that of ``post``.

    Raises:
        InputError: A hook of a site does not fire at some layer, or fires with another width.
    """
    seen: dict[str, int] = {}

    def note(activation: Tensor, hook: Any) -> None:
        seen[hook.name] = activation.flatten(2).shape[-1]

    stacks = stacks_of(bridge)
    both = "act" not in stacks
    # Attention between the stacks is in the decoder's layers.
    layers = {site.rpartition(".")[0]: len(blocks) for site, blocks in stacks.items()}
    layers["cross"] = len(stacks.get("decoder.act", ()))
    known, hooks_by_site = bridge.hook_dict, hooks_of(gated, both)
    for site, hook in hooks_by_site.items():
        if not own and part_of(site) == "act" and hook.format(layer=0) not in known:
            hooks_by_site[site] = hooks_by_site[site.removesuffix("act") + "post"]
    names = {
        site: [
            point_name(known, hook.format(layer=layer))
            for layer in range(layers[site.rpartition(".")[0]])
        ]
        for site, hook in hooks_by_site.items()
    }
    wanted = [hook for hooks in names.values() for hook in hooks if hook in known]
    device = next(bridge.original_model.parameters()).device
    with torch.inference_mode(), bridge.hooks(fwd_hooks=[(hook, note) for hook in wanted]):
        ids = torch.tensor([[0, 1]], device=device)
        more: dict[str, Any] = {"decoder_input_ids": ids} if both else {"logits_to_keep": 1}
        bridge(ids, attention_mask=torch.ones_like(ids), **more)
    widths: dict[str, int] = {}
    for site, hooks in names.items():
        found: Sequence[int | None] = [seen.get(hook) for hook in hooks]
        if None in found or len(set(found)) != 1:
            layer = next((i for i, width in enumerate(found) if width != found[0] or not width), 0)
            raise InputError(
                f"site {site!r} of {name!r} does not fire as expected at layer {layer} "
                f"({hooks[layer]}): this architecture is not supported yet. Supported are: "
                f"{supported()}."
            )
        widths[site] = int(found[0] or 0)
    return widths
