"""Which entries of which parameters training may change, down to single neurons.

A mask is True where an entry may change; a parameter without a mask does not change. Gradients are
set to 0 elsewhere. AdamW without weight decay does not move an entry whose gradient is always 0
(its first moment stays 0), so everything outside the masks is bit-identical after training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.finetune.projections import Projection, transposed
from culture_lens.models.sites import part_of
from culture_lens.neurons.neurons import Neurons

Mask = Bool[Tensor, "..."]
Projections = Mapping[tuple[str, int], Projection]
MLP_SITES = ("act", "gate", "up", "post")
OUTPUT_OF: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(MLP_SITES, ("gate", "up")),
    **{site: (site,) for site in ("q", "k", "v")},
    "z": (),
}
"""The part of a site -> the projections of which a neuron there is an output."""
INPUT_OF: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(MLP_SITES, ("down",)),
    **dict.fromkeys(("q", "k", "v"), ()),
    "z": ("o",),
}
"""The part of a site -> the projections of which a neuron there is an input."""


def language_parameters(plain: Any) -> dict[str, Tensor]:
    """Give the parameters of the language model, without a vision tower and its projector.

    Example:
        ``language_parameters(plain_copy(model)).keys()``
    """
    if plain.config.is_encoder_decoder:
        return dict(plain.named_parameters())
    own = {id(p) for p in plain.get_decoder().parameters()}
    own |= {id(p) for p in plain.get_output_embeddings().parameters()}
    return {name: p for name, p in plain.named_parameters() if id(p) in own}


def all_parameters(plain: Any) -> dict[str, Mask]:
    """Make masks that let the whole language model change."""
    return {
        name: torch.ones(p.shape, dtype=torch.bool)
        for name, p in language_parameters(plain).items()
    }


def modules_masks(plain: Any, projections: Iterable[Projection]) -> dict[str, Mask]:
    """Make masks that let some projections change, those of fused modules by their outputs.

    Raises:
        InputError: The model has no such module, or one of another size.
    """
    masks: dict[str, Mask] = {}
    for projection in projections:
        check_projection(plain, projection)
        outputs = slice(projection.start, projection.stop)
        open_outputs(masks, plain, projection.path, outputs)
    return masks


def check_projection(plain: Any, projection: Projection) -> None:
    """Refuse a module that the model lacks.

    Raises:
        InputError: Names the module.
    """
    modules = dict(plain.named_modules())
    module = modules.get(projection.path)
    shape = (projection.outputs, projection.inputs)
    have = getattr(module, "weight", None)
    if have is None or tuple(have.shape) not in (shape, shape[::-1]):
        raise InputError(
            f"{type(plain).__name__} has no module {projection.path!r} of {shape[1]} inputs and "
            f"{shape[0]} outputs: rank the modules on the model that is to be trained."
        )


def open_outputs(masks: dict[str, Mask], plain: Any, path: str, outputs: Any) -> None:
    """Let some outputs of a module change: rows of its weight, and their biases."""
    module = plain.get_submodule(path)
    weight = entry(masks, f"{path}.weight", module.weight)
    (weight.T if transposed(module) else weight)[outputs] = True
    if getattr(module, "bias", None) is not None:
        entry(masks, f"{path}.bias", module.bias)[outputs] = True


def open_inputs(masks: dict[str, Mask], plain: Any, path: str, inputs: Any) -> None:
    """Let the weights of some inputs of a module change: columns of its weight."""
    module = plain.get_submodule(path)
    weight = entry(masks, f"{path}.weight", module.weight)
    (weight.T if transposed(module) else weight)[:, inputs] = True


def entry(masks: dict[str, Mask], name: str, like: Tensor) -> Mask:
    """Give a parameter's mask, closed where it is new."""
    return masks.setdefault(name, torch.zeros(like.shape, dtype=torch.bool))


def neurons_masks(plain: Any, places: Projections, neurons: Neurons) -> dict[str, Mask]:
    """Make masks of the input and output weights of some neurons.

    Of an MLP neuron, at whichever site: its rows of the gate and up projections and its column of
    the down projection. Of one at q, k or v its row; at z its column of the output projection.

    Raises:
        InputError: A neuron that the model lacks.
    """
    masks: dict[str, Mask] = {}
    for site, where in neurons.places.items():
        part = part_of(site)
        stem = site[: len(site) - len(part)]
        for layer in sorted(set(where[:, 0].tolist())):
            indices = where[where[:, 0] == layer, 1]
            for name in OUTPUT_OF[part]:
                if name == "up" and (f"{stem}up", layer) not in places:
                    continue  # a model without a gate
                projection = holder(places, f"{stem}{name}", site, layer)
                check_neurons(projection.width, site, layer, indices)
                open_outputs(masks, plain, projection.path, indices + projection.start)
            for name in INPUT_OF[part]:
                projection = holder(places, f"{stem}{name}", site, layer)
                check_neurons(projection.inputs, site, layer, indices)
                open_inputs(masks, plain, projection.path, indices)
    return masks


def holder(places: Projections, name: str, site: str, layer: int) -> Projection:
    """Find the projection that some neurons are in.

    Raises:
        InputError: The model has no such layer or site.
    """
    if (name, layer) not in places:
        raise InputError(
            f"the model has no site {site!r} in layer {layer}: find the neurons on the model that "
            "is to be trained."
        )
    return places[name, layer]


def check_neurons(width: int, site: str, layer: int, indices: Tensor) -> None:
    """Refuse neurons that a layer lacks.

    Raises:
        InputError: Names the site and layer.
    """
    if int(indices.max()) >= width:
        raise InputError(
            f"the model has {width} neurons at site {site!r} of layer {layer}, and no neuron "
            f"{int(indices.max())}: find the neurons on the model that is to be trained."
        )


def combined(
    base: Mapping[str, Mask],
    *,
    only: Mapping[str, Mask] | None = None,
    protect: Mapping[str, Mask] | None = None,
) -> dict[str, Mask]:
    """Narrow what may change to some neurons, or to everything but some.

    Raises:
        InputError: Nothing is left to train.

    Example:
        >>> base = {"w": torch.tensor([True, True])}
        >>> combined(base, protect={"w": torch.tensor([True, False])})["w"].tolist()
        [False, True]
    """
    found = {}
    for name, mask in base.items():
        if only is not None:
            mask = mask & only[name] if name in only else torch.zeros_like(mask)
        if protect is not None and name in protect:
            mask = mask & ~protect[name]
        if mask.any():
            found[name] = mask
    if not found:
        raise InputError(
            "nothing is left to train: the neurons and the modules have no parameter in common."
        )
    return found


def n_trainable(masks: Mapping[str, Mask]) -> int:
    """Count the entries that may change."""
    return sum(int(mask.sum()) for mask in masks.values())


def apply_masks(plain: Any, masks: Mapping[str, Mask]) -> list[Any]:
    """Let only masked parameters take gradients, set to 0 outside their masks.

    Returns:
        Handles of the hooks, to be removed after training.

    Example:
        ``apply_masks(plain, modules_masks(plain, projections))``
    """
    handles = []
    for name, parameter in plain.named_parameters():
        mask = masks.get(name)
        parameter.requires_grad_(mask is not None)
        if mask is not None and not mask.all():
            handles.append(parameter.register_hook(closed_elsewhere(mask)))
    return handles


def closed_elsewhere(mask: Mask) -> Any:
    """Make a hook that sets a gradient to 0 outside a mask, NaN included."""
    shut = ~mask

    def close(gradient: Tensor) -> Tensor:
        nonlocal shut
        shut = shut.to(gradient.device)
        return gradient.masked_fill(shut, 0.0)

    return close
