"""Add a direction or project it out while a model runs: context managers of ``direction_hooks``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from culture_lens.checks import check_arguments
from culture_lens.models.checks import MODEL, under
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.direction_hooks import Removal, addition_hooks, removal_hooks
from culture_lens.neurons.directions import DIRECTION, Direction


@check_arguments(model=MODEL, direction=DIRECTION)
@contextmanager
def direction_added(
    model: LensModel,
    direction: Direction,
    scale: float = 1.0,
    *,
    layers: Sequence[int] | None = None,
) -> Iterator[LensModel]:
    """Add a direction to every token for the time of the block; see ``addition_hooks``.

    Args:
        model: The model.
        direction: ``directions["Japan"]``.
        scale: How many times the vector; below 0 it is subtracted.
        layers: Where to add it; by default at the direction's own layer.

    Example:
        ``with direction_added(model, directions["Japan"], -1): evaluate(model, questions)``
    """
    hooks = addition_hooks(model, direction, scale, layers=layers)
    with under(f"direction {direction.name} added {scale:g} times"), model.hooks(hooks):
        yield model


@check_arguments(model=MODEL, direction=DIRECTION)
@contextmanager
def direction_removed(
    model: LensModel,
    direction: Direction,
    value: Removal = "zero",
    *,
    layers: Sequence[int] | None = None,
) -> Iterator[LensModel]:
    """Project a direction out of every token for the time of the block; see ``removal_hooks``.

    Args:
        model: The model.
        direction: ``directions["Japan"]``.
        value: What the projection becomes: ``"zero"``, or ``"mean"``, its mean in the fit.
        layers: Where to remove it; by default at the direction's own layer.

    Example:
        ``with direction_removed(model, directions["Japan"]): evaluate(model, questions)``
    """
    hooks = removal_hooks(model, direction, value, layers=layers)
    with under(f"direction {direction.name} removed ({value})"), model.hooks(hooks):
        yield model


__all__ = ["direction_added", "direction_removed"]
