"""The residual stream as a site: the vector that a layer leaves, ``batch pos d_model``.

``resid`` stands beside the sites of neurons (see ``sites``) wherever a direction is fitted or used;
in an encoder-decoder it is ``encoder.resid`` or ``decoder.resid``.
"""

from __future__ import annotations

from culture_lens.checks import text, whole
from culture_lens.errors import unknown
from culture_lens.models.hookable import Hookable
from culture_lens.models.sites import part_of

STREAM = "resid"
STREAM_HOOK = "blocks.{layer}.hook_out"


def streams_of(model: Hookable) -> tuple[str, ...]:
    """List the residual streams of a model: one, or one for each stack.

    Example:
        ``streams_of(model)`` is ``("resid",)`` for SmolLM2-135M.
    """
    if hasattr(model.bridge, "encoder_blocks"):
        return (f"encoder.{STREAM}", f"decoder.{STREAM}")
    return (STREAM,)


def vector_hook(model: Hookable, site: str, layer: int) -> str:
    """Name the hook point of a residual stream after a layer, or of a site of neurons.

    Raises:
        InputError: The model has no such site or layer.

    Example:
        ``vector_hook(model, "resid", 3)`` is ``"blocks.3.hook_out"``
    """
    known = (*streams_of(model), *model.widths)
    if text("site", site) not in known:
        raise unknown("site", site, known)
    whole(0, model.shape(site)[0] - 1)("layer", layer)
    if part_of(site) != STREAM:
        return model.hook_name(site, layer)
    stack = site[: -len(STREAM)].replace(".", "_")
    return stack + STREAM_HOOK.format(layer=layer)


def vector_width(model: Hookable, site: str) -> int:
    """Give the number of elements of a residual stream, or of the neurons of a layer at a site.

    Example:
        ``vector_width(model, "resid")`` is 576 for SmolLM2-135M.
    """
    width = model.bridge.cfg.d_model if part_of(site) == STREAM else model.widths[site]
    return int(width)
