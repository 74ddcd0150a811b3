"""Where in a transformer a neuron is read and edited; the only file with hook strings.

A neuron is a (site, layer, index). The sites and their shapes in the TransformerBridge:

======  ==============================================  ======================
site    what                                            shape
======  ==============================================  ======================
act     act(gate_proj(x)): paper A's neuron             batch pos d_mlp
gate    gate_proj(x), raw: paper B's MLP neuron         batch pos d_mlp
up      up_proj(x), raw                                 batch pos d_mlp
post    act(gate) * up, the input of down_proj          batch pos d_mlp
q k v   raw projections, before norm and RoPE           batch pos heads d_head
z       the input of o_proj                             batch pos heads d_head
======  ==============================================  ======================

Models without a gate (GPT-2) have no ``up``; there ``gate`` is the pre-activation and ``act`` and
``post`` are the same tensor.
"""

from __future__ import annotations

from collections.abc import Iterable

from culture_lens.errors import unknown

GATED_HOOKS = {
    "act": "blocks.{layer}.mlp.hook_act",
    "gate": "blocks.{layer}.mlp.gate.hook_out",
    "up": "blocks.{layer}.mlp.in.hook_out",
    "post": "blocks.{layer}.mlp.out.hook_in",
    "q": "blocks.{layer}.attn.q.hook_out",
    "k": "blocks.{layer}.attn.k.hook_out",
    "v": "blocks.{layer}.attn.v.hook_out",
    "z": "blocks.{layer}.attn.o.hook_in",
}
UNGATED_HOOKS = {
    **{site: hook for site, hook in GATED_HOOKS.items() if site != "up"},
    "gate": "blocks.{layer}.mlp.in.hook_out",
}
ENTRY_HOOK = "blocks.0.hook_in"
"""Where the residual stream enters the first layer."""
SITES = tuple(GATED_HOOKS)
RAW_SITES = ("gate", "up", "q", "k", "v")
"""Sites that are the raw output of a projection, where paper B reads and edits."""
DEFAULT_SITE = "act"


def hook_name(site: str, layer: int, *, gated: bool = True) -> str:
    """Name the hook point of a site at a layer.

    Raises:
        InputError: The site does not exist, or not on a model without a gate.

    Example:
        >>> hook_name("gate", 3)
        'blocks.3.mlp.gate.hook_out'
    """
    hooks = GATED_HOOKS if gated else UNGATED_HOOKS
    if site not in hooks:
        remedy = "This model's MLP has no gate, so it has no 'up'." if site in SITES else ""
        raise unknown("site", site, hooks, remedy)
    return hooks[site].format(layer=layer)


def check_sites(sites: str | Iterable[str], known: Iterable[str] = SITES) -> tuple[str, ...]:
    """Take one site or several and give them as a tuple, each checked.

    Example:
        >>> check_sites("act")
        ('act',)
    """
    names = (sites,) if isinstance(sites, str) else tuple(dict.fromkeys(sites))
    table = tuple(known)
    for name in names:
        if name not in table:
            raise unknown("site", name, table)
    return names
