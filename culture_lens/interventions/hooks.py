"""Edit neurons while a model runs: context managers made of ``neurons.hooks``.

Ablate (ConAct's paper): a -> 0 at every token; or a -> a fixed value such as the mean. Steer
(ConAct's paper): a -> (1 + alpha) a. Suppress and enhance (CULNIG): n -> 0 and n -> 2n at the raw
output of a projection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from culture_lens.checks import check_arguments, real
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL, state_of, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import RAW_SITES, part_of
from culture_lens.neurons.edits import edit_hook, replaced, scaled
from culture_lens.neurons.hooks import (
    Value,
    ablation_hooks,
    ablation_value,
    edit_hooks,
    rows_of,
    steering_hooks,
)
from culture_lens.neurons.neurons import Neurons

NeuronsPerRow = Neurons | Sequence[Neurons]


def described(neurons: Neurons | None, value: Value) -> tuple[Any, Any]:
    """Which neurons are ablated and to what, as plain data for the key of a kept result."""
    members = sorted(neurons.members()) if neurons is not None else None
    given: Any = neurons.means if neurons is not None and value == "mean" else value
    how = {s: v.tolist() for s, v in given.items()} if isinstance(given, Mapping) else given
    return members, how


def condition(model: LensModel, neurons: NeuronsPerRow | None, how: str) -> str:
    """Say in a few words what is done to a model, for errors.

    Example:
        ``condition(model, found["Japan"], "ablated")`` is ``"92 neurons ablated"``
    """
    if neurons is None:
        return state_of(model)
    rows = [neurons] if isinstance(neurons, Neurons) else list(neurons)
    return f"{' or '.join(sorted({str(len(row)) for row in rows}))} neurons {how}"


def ablated_how(value: Value) -> str:
    """Say in a few words what neurons are set to.

    Example:
        >>> ablated_how("mean")
        "ablated (value='mean')"
    """
    given = "tensors" if isinstance(value, Mapping) else repr(value)
    return f"ablated (value={given})"


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
    hooks = ablation_hooks(model, neurons, value)
    with under(condition(model, neurons, ablated_how(value))), model.hooks(hooks):
        yield model


@check_arguments(model=MODEL, neurons=rows_of, alpha=real)
@contextmanager
def steered(model: LensModel, neurons: NeuronsPerRow, alpha: float = 0.5) -> Iterator[LensModel]:
    """Scale neurons by 1 + alpha for the time of the block.

    Example:
        ``with steered(model, found["Japan"], alpha=0.5): evaluate(model, questions)``
    """
    hooks = steering_hooks(model, neurons, alpha)
    with under(condition(model, neurons, f"scaled by 1 + {alpha:g}")), model.hooks(hooks):
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


@check_arguments(model=MODEL, neurons=rows_of, factor=real)
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


__all__ = [
    "NeuronsPerRow",
    "Value",
    "ablated",
    "ablated_how",
    "ablation_hooks",
    "ablation_value",
    "condition",
    "described",
    "edit_hook",
    "edit_hooks",
    "enhance",
    "replaced",
    "scaled",
    "steered",
    "steering_hooks",
    "suppress",
]
