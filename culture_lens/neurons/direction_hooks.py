r"""Edits along a direction as ``(name, function)`` hooks, for ``run_with_hooks`` or ``hooks``.

With x the activation of a token, v a direction and u = v / |v|:

    add       x -> x + s v                    (Turner et al. 2023, arXiv 2308.10248)
    remove    x -> x - (x . u) u              (directional ablation; Arditi et al. 2024,
                                               arXiv 2406.11717)
    to mean   x -> x - (x . u) u + m u        m being the mean of x . u

at every token, in float32 or wider.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from culture_lens.checks import check_arguments, each, finite, optional, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.models.hookable import as_hookable
from culture_lens.models.sites import check_sites
from culture_lens.models.transformer_lens import HookList
from culture_lens.models.units import PREFIX
from culture_lens.neurons.directions import DIRECTION, Direction
from culture_lens.neurons.hooks import check_values

if TYPE_CHECKING:
    from typing import Literal

    Removal = Literal["zero", "mean"]
else:
    Removal = str  # a wrong name reaches the check that lists the right ones

REMOVALS = ("zero", "mean")
LAYERS = optional(each(whole(0), "a list of layers"))


@check_arguments(direction=DIRECTION, scale=finite, layers=LAYERS)
def addition_hooks(
    model: Any,
    direction: Direction,
    scale: float = 1.0,
    *,
    layers: Sequence[int] | None = None,
) -> HookList:
    """Make the hooks that add a direction to every token.

    Args:
        model: A ``LensModel``, or a ``TransformerBridge`` of any origin.
        direction: ``directions["Japan"]``.
        scale: How many times the vector; below 0 it is subtracted.
        layers: Where to add it; by default at the direction's own layer.

    Raises:
        InputError: No such site or layer, another width, or values that the model's dtype does
            not hold.

    Example:
        ``model.run_with_hooks("Tea?", fwd_hooks=addition_hooks(model, directions["Japan"], 2))``
    """
    vector = scale * direction.vector
    return hooks_at(model, direction, layers, lambda x: x + vector.to(x), vector)


@check_arguments(direction=DIRECTION, value=text, layers=LAYERS)
def removal_hooks(
    model: Any,
    direction: Direction,
    value: Removal = "zero",
    *,
    layers: Sequence[int] | None = None,
) -> HookList:
    """Make the hooks that project a direction out of every token.

    Args:
        model: A ``LensModel``, or a ``TransformerBridge`` of any origin.
        direction: ``directions["Japan"]``.
        value: What the projection on the unit vector becomes: ``"zero"``, or ``"mean"``, its mean
            over the cultures of the fit.
        layers: Where to remove it; by default at the direction's own layer.

    Raises:
        InputError: No such value, site or layer, or another width.

    Example:
        ``removal_hooks(model, directions["Japan"], "mean", layers=range(model.n_layers))``
    """
    if value not in REMOVALS:
        raise unknown("value", value, REMOVALS)
    unit, level = direction.unit, direction.mean if value == "mean" else 0.0

    def removed(x: Tensor) -> Tensor:
        u = unit.to(x)
        return x + (level - x @ u)[..., None] * u

    return hooks_at(model, direction, layers, removed, level * unit)


def hooks_at(
    model: Any,
    direction: Direction,
    layers: Sequence[int] | None,
    edit: Callable[[Tensor], Tensor],
    largest: Tensor,
) -> HookList:
    """Make a hook of an edit at each layer; what is added is checked against the model's dtype.

    Raises:
        InputError: No such site or layer, another width, or values that are too large.
    """
    target = as_hookable(model)
    at = [direction.layer] if layers is None else list(dict.fromkeys(layers))
    check_sites(direction.site, target.widths)
    names = [target.hook_name(direction.site, layer) for layer in at]
    if not names:
        raise InputError("layers is empty: give at least one layer, or leave it out.")
    for name in names:
        if name not in target.bridge.hook_dict and not name.startswith(PREFIX):
            raise InputError(f"{target.name!r} has no hook point {name!r}: use load_model.")
    width = target.widths[direction.site]
    if len(direction.vector) != width:
        raise InputError(
            f"the direction of {direction.name!r} has {len(direction.vector)} elements, "
            f"{direction.site!r} of {target.name!r} has {width}: it is of another model."
        )
    check_values(largest, target.dtype, f"the direction of {direction.name!r}")

    def hook(activation: Tensor, hook: Any) -> Tensor:
        wide = activation.flatten(2)
        wide = wide if wide.dtype == torch.float64 else wide.float()
        return edit(wide).to(activation.dtype).reshape(activation.shape)

    return [(name, hook) for name in names]


__all__ = ["addition_hooks", "removal_hooks"]
