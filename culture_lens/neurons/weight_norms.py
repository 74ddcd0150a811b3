"""The norm of a neuron's outgoing weights: how strongly it writes to the residual stream.

An MLP neuron n of layer l adds a[l,n] w[l,n] to the residual stream (times ``up`` where there is
a gate), w[l,n] being its column of the down projection; an element of z does the same with a column
of the output projection. |w[l,n]| is the length of that write per unit of activation. A
normalisation after the projection (Gemma 3 has one) is left out: it scales all neurons of a layer.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import check_arguments, optional, text
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites, part_of

OUTGOING_INPUT = {"act": "post", "gate": "post", "up": "post", "post": "post", "z": "z"}
"""Site -> the input of the projection whose columns are its neurons' outgoing weights."""


def writes(site: str, model: LensModel | None = None) -> bool:
    """Say whether the neurons of a site have outgoing weights of their own.

    Those of q, k and v do not: they act through attention weights, or through all of z's heads.

    Args:
        site: The site.
        model: The model, which knows of its further units whether they write one direction each.

    Example:
        >>> writes("encoder.act"), writes("q")
        (True, False)
    """
    if model is not None and site in model.units:
        units = model.units[site]
        return units.outgoing(units.layers[0]) is not None
    return part_of(site) in OUTGOING_INPUT


@check_arguments(model=MODEL, site=optional(text))
def outgoing_norms(model: LensModel, site: str | None = None) -> Float[Tensor, "layer neuron"]:
    """Give the Euclidean norm of every neuron's outgoing weights, float64.

    Args:
        model: The model.
        site: ``"act"``, ``"gate"``, ``"up"`` or ``"post"`` (the down projection), or ``"z"`` (the
            output projection); of an encoder-decoder with the stack. The model's default if not
            given.

    Raises:
        InputError: No such site, one of q, k, v, or weights that are offloaded or quantised.

    Example:
        ``outgoing_norms(model, "act").shape`` is ``(30, 1536)`` for SmolLM2-135M.
    """
    (name,) = check_sites(model.default_site if site is None else site, model.sites)
    if not writes(name, model):
        raise InputError(
            f"neurons of site {name!r} have no outgoing weights of their own: they act through "
            "attention. Sites that have are act, gate, up, post and z."
        )
    norms = torch.zeros(model.shape(name), dtype=torch.float64)
    for layer in model.layers_of(name):
        norms[layer] = norms_of(outgoing_weights(model, name, layer))
    return norms


def outgoing_weights(model: LensModel, site: str, layer: int) -> Float[Tensor, "neuron d_model"]:
    """Give the outgoing weights of a layer's neurons, in the model's dtype, on its device.

    Raises:
        InputError: Weights that are offloaded or quantised.
    """
    from transformers.pytorch_utils import Conv1D

    if site in model.units:
        directions = model.units[site].outgoing(layer)
        assert directions is not None  # ``writes`` has said so
        return directions.detach()
    stem = site[: -len(part_of(site))]
    hook, width = model.hook_name(stem + OUTGOING_INPUT[part_of(site)], layer), model.shape(site)[1]
    place = hook.removesuffix(".hook_in")
    module = model.bridge.get_submodule(place).original_component
    weight = module.weight.detach()
    # GPT-2's Conv1D keeps inputs in rows, a Linear in columns.
    rows: Tensor = weight if isinstance(module, Conv1D) else weight.T
    if weight.is_meta or not weight.is_floating_point() or len(rows) != width:
        raise InputError(
            f"the weights of {place} in {model.name!r} cannot be read ({type(module).__name__}, "
            f"{tuple(weight.shape)}, {weight.dtype}): load the model without offloading or "
            "quantisation to get norms."
        )
    return rows


def norms_of(rows: Float[Tensor, "neuron d_model"]) -> Float[Tensor, " neuron"]:
    """Give the norm of every row, float64."""
    if rows.device.type == "mps":  # Apple's devices have no float64
        rows = rows.cpu()
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).cpu()
    return norms


__all__ = ["norms_of", "outgoing_norms", "outgoing_weights", "writes"]
