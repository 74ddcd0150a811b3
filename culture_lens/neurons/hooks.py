"""Edits of neurons as ``(name, function)`` hooks, for ``run_with_hooks`` or ``hooks``.

Ablate (ConAct's paper): a -> 0 at every token; or a -> a fixed value such as the mean. Steer
(ConAct's paper): a -> (1 + alpha) a. A neuron is edited at its own site: at site "gate", doubling
the raw output is not the same as doubling act(gate).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import check_arguments, each, mapping, real
from culture_lens.errors import InputError
from culture_lens.models.hookable import Hookable, as_hookable
from culture_lens.models.sites import part_of, unknown_site
from culture_lens.models.units import HookList, spliced
from culture_lens.neurons.edits import Edit, edit_hook, replaced, scaled

if TYPE_CHECKING:
    Value = str | float | Mapping[str, Tensor]
else:
    Value = Any  # a wrong kind reaches the check that says the right ones

NAMED_VALUES = ("zero", "mean", "double")
PRODUCTS = {"act": 1, "post": 2}
LARGEST_FACTOR = 1000.0
"""Activations that are scaled further are none that the model has ever seen."""


@runtime_checkable
class Places(Protocol):
    """What an edit needs of ``Neurons``: where they are, and their means."""

    @property
    def places(self) -> Mapping[str, Tensor]:
        """Per site, ``(layer, index)`` of each neuron."""

    @property
    def means(self) -> Mapping[str, Tensor]:
        """Per site, the mean activation of each neuron; empty where not recorded."""


def rows_of(name: str, value: Any) -> Any:
    """Check for one set of neurons, or one for each row of a batch."""
    if isinstance(value, Places):
        return value
    rows = each(Places, 'neurons of one culture, such as found["Japan"]')(name, value)
    if not rows:
        raise InputError(f"{name} is empty: give one set of neurons, or one for each row.")
    return rows


def ablation_value(name: str, value: Any) -> Value:
    """Check for a name, a number, or a tensor for each site."""
    if isinstance(value, Mapping):
        tensors: dict[str, Tensor] = mapping(Tensor, "a tensor for each site")(name, value)
        return tensors
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number and value not in NAMED_VALUES:
        raise InputError(
            f"ablation value {value!r}: use 'zero', 'mean', 'double', a number or tensors."
        )
    known: Value = value
    return known


def hooks_on_product(
    model: Hookable, layer: int, site: str, edit: Edit, mask: Tensor, value: Tensor
) -> HookList:
    """Make the hooks that edit act(gate) in a bridge that has no hook point there.

    The input of the down projection is act(gate) * up, or act alone where there is no gate. So
    act -> f act is the same as scaling that input, and act -> c the same as setting it to c * up.
    """
    stem = site.removesuffix("act")
    product = model.hook_name(f"{stem}post", layer)
    if edit is scaled or not model.gated:
        return [(product, edit_hook(edit, mask, value))]
    held: list[Tensor] = []

    def keep(activation: Tensor, hook: Any) -> Tensor:
        held[:] = [activation]
        return activation

    return [
        (model.hook_name(f"{stem}up", layer), keep),
        (product, edit_hook(edit, mask, value, times=held.pop)),
    ]


def edit_hooks(
    model: Any,
    neurons: Places | Sequence[Places],
    edit: Edit,
    values: Callable[[Places, str], Float[Tensor, " neuron"]],
) -> HookList:
    """Make the ``(name, function)`` hooks that edit neurons, one for each site and layer in use.

    Args:
        model: A ``LensModel``, or a ``TransformerBridge`` of any origin.
        neurons: One set for all rows, or one for each row of the batch.
        edit: What to do with the masked neurons.
        values: Gives a value for each of a set's neurons at a site.

    Raises:
        InputError: A site that the model does not have, a neuron outside it, or a value that is
            not finite in the model's dtype.
    """
    target = as_hookable(model)
    rows = [neurons] if isinstance(neurons, Places) else list(neurons)
    check_inside(target, rows)
    hooks: HookList = []
    known = target.bridge.hook_dict  # the bridge makes it anew each time
    sites = dict.fromkeys(site for row in rows for site in row.places)
    # What is multiplied is edited before the product, and the product before its own edits.
    for site in sorted(sites, key=lambda site: PRODUCTS.get(part_of(site), 0)):
        here = [row.places[site][:, 0] for row in rows if site in row.places]
        used = sorted(set(torch.cat(here).tolist()))
        given = [values(row, site) if site in row.places else torch.empty(0) for row in rows]
        for some in given:
            check_values(some, target.dtype, f"values for neurons at site {site!r}")
        for layer in used:
            mask = torch.zeros(len(rows), target.widths[site], dtype=torch.bool)
            value = torch.zeros(len(rows), target.widths[site], dtype=target.dtype)
            for position, row in enumerate(rows):
                if site in row.places:
                    inside = row.places[site][:, 0] == layer
                    index = row.places[site][inside, 1]
                    mask[position, index] = True
                    value[position, index] = given[position][inside].to(target.dtype)
            mask, value = mask.to(target.device), value.to(target.device)
            name = target.hook_name(site, layer)
            if part_of(site) == "act" and name not in known:
                hooks += hooks_on_product(target, layer, site, edit, mask, value)
            else:
                hooks.append((name, edit_hook(edit, mask, value)))
    return spliced(target.units, hooks)


def check_inside(model: Hookable, rows: Sequence[Places]) -> None:
    """Check that a model has these neurons.

    Raises:
        InputError: A neuron lies outside the model.
    """
    for row in rows:
        for site, places in row.places.items():
            if len(places) and site not in model.widths:
                raise InputError(
                    f"neurons of another model than {model.name!r}: "
                    f"{unknown_site(site, model.widths)}"
                )
            shape = model.shape(site)
            if len(places) and ((places < 0) | (places >= torch.tensor(shape))).any():
                raise InputError(
                    f"neurons at site {site!r} lie outside {model.name!r}, which has "
                    f"{shape[0]} layers of {shape[1]}: they are of another model."
                )
            for layer in set(places[:, 0].tolist()):
                model.hook_name(site, layer)  # refuses layers without units


def check_values(values: Tensor, dtype: torch.dtype, what: str) -> None:
    """Refuse values that are NaN, infinite, or too large for the model's dtype.

    Raises:
        InputError: Names the value and the largest that the dtype holds.

    Example:
        ``check_values(torch.tensor([7e4]), torch.float16, "value")`` raises: 65504 is the largest
    """
    bad = ~torch.isfinite(values.to(dtype))
    if bad.any():
        raise InputError(
            f"{what}: {float(values[bad][0]):g} is not a finite number of the model's {dtype} "
            f"(at most {torch.finfo(dtype).max:g}): answers under it would mean nothing. Give "
            "finite, smaller values, or load the model in float32 or bfloat16."
        )


@check_arguments(neurons=rows_of, value=ablation_value)
def ablation_hooks(
    model: Any, neurons: Places | Sequence[Places], value: Value = "zero"
) -> HookList:
    """Make the hooks that set neurons to a value (ConAct's paper: g -> 0 at every token).

    Args:
        model: A ``LensModel``, or a ``TransformerBridge`` of any origin.
        neurons: ``found["Japan"]``, or one set for each row of the batch.
        value: ``"zero"``; ``"mean"``, the neurons' mean activation over all cultures' tokens;
            ``"double"``, twice their own value (CULNIG: enhance); a number; or
            ``{site: tensor}`` with a value for every neuron, ``layer neuron``.

    Returns:
        ``(name, function)`` pairs, as ``run_with_hooks`` and ``hooks`` of TransformerLens take
        them.

    Raises:
        InputError: An unknown value, one that is NaN, infinite or too large for the model's dtype,
            or ``"mean"`` where no means were recorded.

    Example:
        ``model.run_with_hooks("Tea?", fwd_hooks=ablation_hooks(model, found["Japan"]))``
    """
    target = as_hookable(model)
    if isinstance(value, str) and value == "double":
        return steering_hooks(target, neurons, alpha=1.0)
    if isinstance(value, Real):
        check_values(
            torch.tensor([float(value)], dtype=torch.float64), target.dtype, "ablation value"
        )

    def values(row: Places, site: str) -> Tensor:
        places = row.places[site]
        if isinstance(value, Mapping):
            shape = target.shape(site)
            if site not in value or tuple(value[site].shape) != shape:
                raise InputError(
                    f"no ablation values of shape {shape} (layer neuron) for site {site!r}; given: "
                    f"{ {name: tuple(tensor.shape) for name, tensor in value.items()} }."
                )
            check_values(value[site], target.dtype, f"ablation values for site {site!r}")
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

    return edit_hooks(target, neurons, replaced, values)


@check_arguments(neurons=rows_of, alpha=real)
def steering_hooks(model: Any, neurons: Places | Sequence[Places], alpha: float = 0.5) -> HookList:
    """Make the hooks that scale neurons by 1 + alpha (ConAct's paper, steering).

    Args:
        model: A ``LensModel``, or a ``TransformerBridge`` of any origin.
        neurons: ``found["Japan"]``, or one set for each row of the batch.
        alpha: -1 ablates, 0 changes nothing, 1 doubles.

    Returns:
        ``(name, function)`` pairs; see ``ablation_hooks``.

    Raises:
        InputError: 1 + alpha is NaN, or further from 0 than 1000: the model would answer at random,
            which looks like a strong effect.

    Example:
        ``model.run_with_hooks("Tea?", fwd_hooks=steering_hooks(model, found["Japan"], 0.5))``
    """
    if not abs(1 + alpha) <= LARGEST_FACTOR:
        raise InputError(
            f"alpha={alpha}: neurons are multiplied by 1 + alpha, which must be a number from "
            f"-{LARGEST_FACTOR:g} to {LARGEST_FACTOR:g}; beyond that the model answers at random, "
            "which looks like a strong effect. Papers use 0.1 to 2."
        )
    target, factor = as_hookable(model), torch.tensor([1 + alpha], dtype=torch.float64)
    return edit_hooks(
        target, neurons, scaled, lambda row, site: factor.expand(len(row.places[site]))
    )


__all__ = [
    "HookList",
    "Places",
    "Value",
    "ablation_hooks",
    "ablation_value",
    "edit_hooks",
    "steering_hooks",
]
