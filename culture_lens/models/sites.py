"""Where in a transformer a neuron is read and edited; the only file with hook strings.

A neuron is a (site, layer, index). The sites and their shapes in the TransformerBridge:

========  ============================================  ======================
site      what                                          shape
========  ============================================  ======================
act       act(gate_proj(x)): ConAct's neuron            batch pos d_mlp
gate      gate_proj(x), raw: CULNIG's MLP neuron        batch pos d_mlp
up        up_proj(x), raw                               batch pos d_mlp
post      act(gate) * up, the input of down_proj        batch pos d_mlp
q k v     raw projections, before norm and RoPE         batch pos heads d_head
z         the input of o_proj                           batch pos heads d_head
attn_out  what attention adds to the residual stream    batch pos d_model
mlp_out   what the MLP adds to it                       batch pos d_model
resid     the residual stream after the layer           batch pos d_model
========  ============================================  ======================

Models without a gate (GPT-2) have no ``up``; there ``gate`` is the pre-activation and ``act`` and
``post`` are the same tensor. Where a norm follows attention or the MLP (Gemma 3), ``attn_out`` and
``mlp_out`` are after it.

A model may be given further sites, whose units are computed from an activation: features of a
sparse autoencoder, heads, directions; see ``units``.

An encoder-decoder (T5) has them in either stack, ``encoder.act`` and ``decoder.act``, and those of
attention between the stacks: ``cross.q`` and ``cross.z`` over the decoder's positions, ``cross.k``
and ``cross.v`` over the encoder's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from culture_lens.checks import names as checked_names
from culture_lens.checks import text, whole
from culture_lens.errors import InputError, unknown

GATED_HOOKS = {
    "act": "blocks.{layer}.mlp.hook_act",
    "gate": "blocks.{layer}.mlp.gate.hook_out",
    "up": "blocks.{layer}.mlp.in.hook_out",
    "post": "blocks.{layer}.mlp.out.hook_in",
    "q": "blocks.{layer}.attn.q.hook_out",
    "k": "blocks.{layer}.attn.k.hook_out",
    "v": "blocks.{layer}.attn.v.hook_out",
    "z": "blocks.{layer}.attn.o.hook_in",
    "attn_out": "blocks.{layer}.hook_attn_out",
    "mlp_out": "blocks.{layer}.hook_mlp_out",
    "resid": "blocks.{layer}.hook_out",
}
UNGATED_HOOKS = {
    **{site: hook for site, hook in GATED_HOOKS.items() if site != "up"},
    "gate": "blocks.{layer}.mlp.in.hook_out",
}
ATTENTION_MASKS = {
    "": "blocks.{layer}.attn.hook_mask",
    "encoder": "encoder_blocks.{layer}.attn.hook_mask",
    "decoder": "decoder_blocks.{layer}.self_attn.hook_mask",
    "cross": "decoder_blocks.{layer}.cross_attn.hook_mask",
}
"""Stack -> what its tokens attend to; the points are this package's, see ``attention_masks``."""
ENTRY_HOOK = "blocks.0.hook_in"
"""Where the residual stream enters the first layer."""
STACK_ENTRY_HOOKS = ("encoder_blocks.0.hook_in", "decoder_blocks.0.hook_in")
"""Where the two residual streams of an encoder-decoder enter their first layers."""
SITES = tuple(GATED_HOOKS)
FURTHER = {
    "sae": "autoencoder with with_features, or --sae",
    "sae_error": "autoencoder with with_features, or --sae",
    "head": "heads with with_heads, or --heads",
    "direction": "directions with with_directions",
}
"""Names of sites that a model has only when it was given them, and what gives them."""
STREAM_SITES = ("attn_out", "mlp_out", "resid")
"""Sites whose units are dimensions of the residual stream, which no projection has to itself."""
STREAM_HOOKS = (
    *("hook_out", "hook_in", "hook_attn_out", "hook_mlp_out"),
    *("hook_resid_pre", "hook_resid_mid", "hook_resid_post"),
)
"""The last part of names of hook points whose activation is, or is added to, the stream."""
RAW_SITES = ("gate", "up", "q", "k", "v")
"""Sites that are the raw output of a projection, where CULNIG reads and edits."""
DEFAULT_SITE = "act"
PROJECTIONS = ("gate", "q", "k", "v")
"""The sites that CULNIG selects from: raw outputs of the projections."""


def hooks_of(gated: bool = True, encoder_decoder: bool = False) -> dict[str, str]:
    """The hook point of every site of a model, with a placeholder for the layer.

    Example:
        >>> hooks_of(encoder_decoder=True)["cross.k"]
        'decoder_blocks.{layer}.cross_attn.k.hook_out'
    """
    plain = GATED_HOOKS if gated else UNGATED_HOOKS
    if not encoder_decoder:
        return dict(plain)
    hooks = {f"encoder.{site}": f"encoder_{hook}" for site, hook in plain.items()}
    for stem, attention in (("decoder", "self_attn"), ("cross", "cross_attn")):
        for site, hook in plain.items():
            if stem == "decoder" or ".attn." in hook:
                hooks[f"{stem}.{site}"] = "decoder_" + hook.replace(".attn.", f".{attention}.")
    return hooks


def hook_name(site: str, layer: int, *, gated: bool = True, encoder_decoder: bool = False) -> str:
    """Name the hook point of a site at a layer.

    Raises:
        InputError: The site does not exist, or not on a model without a gate, or its name does not
            say which stack of an encoder-decoder.

    Example:
        >>> hook_name("gate", 3)
        'blocks.3.mlp.gate.hook_out'
    """
    hooks = hooks_of(gated, encoder_decoder)
    layer = whole(0)("layer", layer)
    if text("site", site) not in hooks:
        raise unknown("site", site, hooks, remedy_for(site, gated, encoder_decoder))
    return hooks[site].format(layer=layer)


def remedy_for(site: str, gated: bool, encoder_decoder: bool) -> str:
    """Why a model lacks a site that others have."""
    if part_of(site) == "up" and not gated:
        return "This model's MLP has no gate, so it has no 'up'."
    if site in SITES and encoder_decoder:
        return f"This model has two stacks: say which, such as 'encoder.{site}'."
    if site in hooks_of(encoder_decoder=True) and not encoder_decoder:
        return f"This model has one stack: give {part_of(site)!r}."
    return ""


def attention_mask_hook(stack: str, layer: int) -> str:
    """Name the hook point of what an attention's tokens attend to.

    Example:
        >>> attention_mask_hook("cross", 2)
        'decoder_blocks.2.cross_attn.hook_mask'
    """
    return ATTENTION_MASKS[stack].format(layer=layer)


def check_stack(site: str, known: Iterable[str]) -> None:
    """Check that the name of a further site says the stack of an encoder-decoder, and only there.

    Raises:
        InputError: It does not.

    Example:
        >>> check_stack("encoder.sae", ["encoder.act", "decoder.act"])
    """
    stacks = sorted({site.rpartition(".")[0] for site in known})
    if site.rpartition(".")[0] not in stacks:
        names = " or ".join(repr(f"{stack}.{part_of(site)}".lstrip(".")) for stack in stacks)
        raise InputError(f"site {site!r}: call it {names}, after the stack that it is in.")


def part_of(site: str) -> str:
    """The name of a site without its stack.

    Example:
        >>> part_of("encoder.gate"), part_of("gate")
        ('gate', 'gate')
    """
    return site.rpartition(".")[2]


def sites_reading(parts: Sequence[str], sites: Iterable[str]) -> list[str]:
    """Choose the sites that read certain parts, in the order of the parts, then of the sites.

    Example:
        >>> sites_reading(("gate", "q"), ["encoder.q", "decoder.q", "up", "encoder.gate"])
        ['encoder.gate', 'encoder.q', 'decoder.q']
    """
    known = list(sites)
    return [site for part in parts for site in known if part_of(site) == part]


def on_encoder(site: str) -> bool:
    """Whether a site of an encoder-decoder runs over the encoder's positions.

    Example:
        >>> on_encoder("cross.k"), on_encoder("cross.q")
        (True, False)
    """
    return site.startswith("encoder.") or site in ("cross.k", "cross.v")


def check_sites(sites: str | Iterable[str], known: Iterable[str] = SITES) -> tuple[str, ...]:
    """Check one site or several, and return them as a tuple.

    Example:
        >>> check_sites("act")
        ('act',)
    """
    names = tuple(dict.fromkeys(checked_names("sites", sites)))
    table = tuple(known)
    for name in names:
        if name not in table:
            raise unknown_site(name, table)
    return names


def unknown_site(name: str, known: Iterable[str]) -> InputError:
    """Make the error for a site that a model lacks; of further units with what gives them.

    Example:
        >>> str(unknown_site("head", ["act"]))
        "unknown site 'head'. Known: act. Give the model its heads with with_heads, or --heads."
    """
    remedy = FURTHER.get(part_of(name), "")
    return unknown("site", name, known, f"Give the model its {remedy}." if remedy else "")
