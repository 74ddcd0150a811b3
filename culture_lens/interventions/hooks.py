"""Edit neurons while a model runs: hook factories and the context managers made of them.

Deactivate (ConAct's paper): a -> 0 at every token; or a -> a fixed value such as the mean. Steer
(ConAct's paper): a -> (1 + alpha) a. Neurons are edited at their own site. Suppress and
enhance (CULNIG): n -> 0 and n -> 2n at the raw output of a projection. At site "gate", doubling
the raw output is not the same as doubling act(gate).

A mask over neurons has one row for all items, or one row per item of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from culture_lens.checks import check_arguments, each, finite, mapping
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import HookList, LensModel
from culture_lens.models.rows import of_rows
from culture_lens.models.sites import RAW_SITES, part_of
from culture_lens.neurons.neurons import Neurons

NeuronsPerRow = Neurons | Sequence[Neurons]
Value = str | float | Mapping[str, Tensor]
NAMED_VALUES = ("zero", "mean", "double")


def rows_of(name: str, value: Any) -> NeuronsPerRow:
    """Check for one set of neurons, or one for each row of a batch."""
    if isinstance(value, Neurons):
        return value
    rows: list[Neurons] = each(Neurons, 'neurons of one culture, such as found["Japan"]')(
        name, value
    )
    if not rows:
        raise InputError(f"{name} is empty: give one set of neurons, or one for each row.")
    return rows


def ablation_value(name: str, value: Any) -> Value:
    """Check for a name, a finite number, or a tensor for each site."""
    if isinstance(value, str):
        if value not in NAMED_VALUES:
            raise InputError(
                f"ablation value {value!r}: use 'zero', 'mean', 'double', a number or tensors."
            )
        return value
    if not isinstance(value, Mapping):
        return float(finite(name, value))
    tensors: dict[str, Tensor] = mapping(Tensor, "a tensor for each site")(name, value)
    return tensors


def replaced(
    activation: Float[Tensor, "batch pos neuron"],
    mask: Bool[Tensor, "rows neuron"],
    value: Float[Tensor, "rows neuron"],
) -> Float[Tensor, "batch pos neuron"]:
    """Replace the masked neurons by a value.

    Example:
        >>> mask = torch.tensor([[True, False]])
        >>> replaced(torch.ones(1, 1, 2), mask, torch.zeros(1, 2)).tolist()
        [[[0.0, 1.0]]]
    """
    return torch.where(mask[:, None], value[:, None].to(activation.dtype), activation)


def scaled(
    activation: Float[Tensor, "batch pos neuron"],
    mask: Bool[Tensor, "rows neuron"],
    factor: Float[Tensor, "rows neuron"],
) -> Float[Tensor, "batch pos neuron"]:
    """Multiply the masked neurons by a factor.

    Example:
        >>> mask = torch.tensor([[True, False]])
        >>> scaled(torch.ones(1, 1, 2), mask, torch.full((1, 2), 1.5)).tolist()
        [[[1.5, 1.0]]]
    """
    return torch.where(mask[:, None], activation * factor[:, None].to(activation.dtype), activation)


def edit_hook(
    edit: Callable[[Tensor, Tensor, Tensor], Tensor], mask: Tensor, value: Tensor
) -> Callable[..., Tensor]:
    """Make a hook function of an edit; it returns a new tensor of the activation's shape.

    Args:
        edit: ``replaced`` or ``scaled``.
        mask: One row for all rows of a batch, or one for each.
        value: Likewise.
    """

    def run(activation: Tensor, hook: Any) -> Tensor:
        device = activation.device
        masks, values = mask.to(device), value.to(device)
        if len(masks) > 1:
            masks, values = of_rows(masks), of_rows(values)
        if len(masks) not in (1, len(activation)):
            raise InputError(
                f"neurons were given for {len(mask)} rows, but {len(activation)} rows are run: "
                "give one set for all rows, or one for each. Rows that share their prefixes "
                "cannot differ: make such a batch with collate(prompts, pad_id), without "
                "prefix_lengths."
            )
        return edit(activation.flatten(2), masks, values).reshape(activation.shape)

    return run


def edit_hooks(
    model: LensModel,
    neurons: NeuronsPerRow,
    edit: Callable[[Tensor, Tensor, Tensor], Tensor],
    values: Callable[[Neurons, str], Float[Tensor, " neuron"]],
) -> HookList:
    """Make the ``(name, function)`` hooks that edit neurons, one for each site and layer in use.

    Args:
        model: The model.
        neurons: One set for all rows, or one for each row of the batch.
        edit: What to do with the masked neurons.
        values: Gives a value for each of a set's neurons at a site.

    Raises:
        InputError: A site that the model does not have, or a neuron outside it.
    """
    rows = [neurons] if isinstance(neurons, Neurons) else list(neurons)
    check_inside(model, rows)
    hooks: HookList = []
    for site in dict.fromkeys(site for row in rows for site in row.places):
        here = [row.places[site][:, 0] for row in rows if site in row.places]
        used = sorted(set(torch.cat(here).tolist()))
        for layer in used:
            mask = torch.zeros(len(rows), model.widths[site], dtype=torch.bool)
            value = torch.zeros(len(rows), model.widths[site], dtype=model.dtype)
            for position, row in enumerate(rows):
                if site in row.places:
                    inside = row.places[site][:, 0] == layer
                    index = row.places[site][inside, 1]
                    mask[position, index] = True
                    value[position, index] = values(row, site)[inside].to(model.dtype)
            device = model.device
            hook = edit_hook(edit, mask.to(device), value.to(device))
            hooks.append((model.hook_name(site, layer), hook))
    return hooks


def check_inside(model: LensModel, rows: Sequence[Neurons]) -> None:
    """Check that a model has these neurons.

    Raises:
        InputError: A neuron lies outside the model.
    """
    for row in rows:
        for site, places in row.places.items():
            shape = model.shape(site)
            if len(places) and ((places < 0) | (places >= torch.tensor(shape))).any():
                raise InputError(
                    f"neurons at site {site!r} lie outside {model.name!r}, which has "
                    f"{shape[0]} layers of {shape[1]}: they are of another model."
                )


@check_arguments(neurons=rows_of, value=ablation_value)
def ablation_hooks(model: LensModel, neurons: NeuronsPerRow, value: Value = "zero") -> HookList:
    """Make the hooks that set neurons to a value (ConAct's paper: g -> 0 at every token).

    Args:
        model: The model.
        neurons: One set for all rows, or one for each row of the batch.
        value: ``"zero"``; ``"mean"``, the neurons' mean activation over all cultures' tokens;
            ``"double"``, twice their own value (CULNIG: enhance); a number; or
            ``{site: tensor}`` with a value for every neuron, ``layer neuron``.

    Raises:
        InputError: An unknown value, or ``"mean"`` where no means were recorded.

    Example:
        ``with model.hooks(ablation_hooks(model, found["Japan"])): model.logits(batch)``
    """
    if value == "double":
        return steering_hooks(model, neurons, alpha=1.0)

    def values(row: Neurons, site: str) -> Tensor:
        places = row.places[site]
        if isinstance(value, Mapping):
            shape = model.shape(site)
            if site not in value or tuple(value[site].shape) != shape:
                raise InputError(
                    f"no ablation values of shape {shape} (layer neuron) for site {site!r}; given: "
                    f"{ {name: tuple(tensor.shape) for name, tensor in value.items()} }."
                )
            return value[site][places[:, 0], places[:, 1]]
        if value == "mean":
            if site not in row.means:
                raise InputError(
                    f"no means were recorded for site {site!r}: record with magnitudes=True, or "
                    "give the values as {site: tensor}."
                )
            return row.means[site]
        constant = 0.0 if value == "zero" else float(value)
        return torch.full((len(places),), constant, dtype=torch.float64)

    return edit_hooks(model, neurons, replaced, values)


def described(neurons: Neurons | None, value: Value) -> tuple[Any, Any]:
    """Which neurons are ablated and to what, as plain data for the key of a kept result."""
    members = sorted(neurons.members()) if neurons is not None else None
    given: Any = neurons.means if neurons is not None and value == "mean" else value
    how = {s: v.tolist() for s, v in given.items()} if isinstance(given, Mapping) else given
    return members, how


@check_arguments(neurons=rows_of, alpha=finite)
def steering_hooks(model: LensModel, neurons: NeuronsPerRow, alpha: float = 0.5) -> HookList:
    """Make the hooks that scale neurons by 1 + alpha (ConAct's paper, steering).

    Example:
        ``with model.hooks(steering_hooks(model, found["Japan"], 0.5)): model.logits(batch)``
    """
    return edit_hooks(
        model,
        neurons,
        scaled,
        lambda row, site: torch.full((len(row.places[site]),), 1 + alpha, dtype=torch.float64),
    )


@check_arguments(model=MODEL, neurons=rows_of)
@contextmanager
def ablated(model: LensModel, neurons: NeuronsPerRow, value: Value = "zero") -> Iterator[LensModel]:
    """Ablate neurons for the time of the block, whatever runs in it.

    Args:
        model: The model.
        neurons: ``found["Japan"]``, or one set for each row of the batches that are run.
        value: ``"zero"``, ``"mean"``, ``"double"``, a number, or ``{site: tensor}``; see
            ``ablation_hooks``.

    Example:
        ``with ablated(model, found["Japan"]): evaluate(model, questions)``
    """
    with model.hooks(ablation_hooks(model, neurons, value)):
        yield model


@check_arguments(model=MODEL, neurons=rows_of, alpha=finite)
@contextmanager
def steered(model: LensModel, neurons: NeuronsPerRow, alpha: float = 0.5) -> Iterator[LensModel]:
    """Scale neurons by 1 + alpha for the time of the block.

    Example:
        ``with steered(model, found["Japan"], alpha=0.5): evaluate(model, questions)``
    """
    with model.hooks(steering_hooks(model, neurons, alpha)):
        yield model


@check_arguments(model=MODEL, neurons=rows_of)
@contextmanager
def suppress(model: LensModel, neurons: NeuronsPerRow) -> Iterator[LensModel]:
    """Set raw projection outputs to 0 for the time of the block: n -> 0 (CULNIG).

    Raises:
        InputError: Neurons of a site that is not the raw output of a projection.

    Example:
        ``with suppress(model, found["general"]): evaluate(model, questions)``
    """
    check_raw(neurons)
    with ablated(model, neurons):
        yield model


@check_arguments(model=MODEL, neurons=rows_of, factor=finite)
@contextmanager
def enhance(model: LensModel, neurons: NeuronsPerRow, factor: float = 2.0) -> Iterator[LensModel]:
    """Multiply raw projection outputs for the time of the block: n -> 2n (CULNIG).

    Raises:
        InputError: Neurons of a site that is not the raw output of a projection.

    Example:
        ``with enhance(model, found["general"]): evaluate(model, questions)``
    """
    check_raw(neurons)
    with steered(model, neurons, alpha=factor - 1):
        yield model


def check_raw(neurons: NeuronsPerRow) -> None:
    """Check that the neurons' site is the raw output of a projection.

    Raises:
        InputError: It is another site.
    """
    for row in [neurons] if isinstance(neurons, Neurons) else neurons:
        for site in row.places:
            if part_of(site) not in RAW_SITES:
                raise InputError(
                    f"suppress and enhance act on raw projections ({', '.join(RAW_SITES)}), these "
                    f"neurons are at {site!r}: use ablated or steered, or find neurons at a raw "
                    "site."
                )
