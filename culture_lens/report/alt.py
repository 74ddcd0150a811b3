"""What each figure shows, in a sentence: its caption, and its text for screen readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.plots.style import percent, points
from culture_lens.report.sentences import lost, spoken

if TYPE_CHECKING:
    import pandas as pd


def on_and_off(
    table: pd.DataFrame, signed: bool, of: Callable[[str, str], str], unit: str = "points"
) -> str:
    """Write the mean on and off the diagonal of a table, and its largest value or loss.

    Args:
        table: A table in shares.
        signed: Whether it holds changes, in points; otherwise shares, in per cent.
        of: Writes what a cell is of, from its row and column.
        unit: The unit of changes.

    Example:
        ``on_and_off(matrix.table("change"), True, lambda mask, asked: f"{mask}, {asked}")``
    """
    write: Callable[..., str] = points if signed else percent
    unit = f" {unit}" if signed else ""
    values = table.to_numpy(dtype=float)
    if np.isnan(values).all():
        return "It holds no values."
    own = np.array([[row == column for column in table.columns] for row in table.index])
    parts = []
    if own.any() and not own.all() and not np.isnan(values[own]).all():
        on, off = np.nanmean(values[own]), np.nanmean(values[~own])
        parts.append(
            f"Mean of the outlined diagonal {write(on, 1)}{unit}, elsewhere {write(off, 1)}{unit}."
        )
    place = np.nanargmin(values) if signed else np.nanargmax(values)
    row, column = divmod(int(place), values.shape[1])
    name = of(str(table.index[row]), str(table.columns[column]))
    which = "Lowest" if signed else "Highest"
    parts.append(f"{which}: {write(values[row, column], 1)}{unit}, {name}.")
    return " ".join(parts)


def on_questions(mask: str, culture: str) -> str:
    """Write whose neurons and questions a cell is of.

    Example:
        >>> on_questions("Iran", "Japan")
        'neurons of Iran, questions about Japan'
    """
    return f"neurons of {mask}, questions about {culture}"


def of_self_cross(matrix: AblationMatrix) -> str:
    """Write how many cultures lose accuracy on their own questions, and the means."""
    own = matrix.metrics()["self"].estimates()
    losing = sum(lost(estimate) for estimate in own)
    return (
        f"{losing} of {len(own)} cultures clearly lose accuracy on their own questions. Means: "
        f"self {spoken(matrix.overall('self'))}, cross {spoken(matrix.overall('cross'))}."
    )


def of_layers(found: NeuronSet) -> str:
    """Write which layer and which half of the layers hold most neurons."""
    shares = found.layer_share()
    counts = np.array([len(found[culture]) for culture in shares.index], dtype=float)
    if not counts.sum():
        return "No neurons were found."
    mean = counts @ shares.to_numpy() / counts.sum()
    late = float(mean[len(mean) // 2 :].sum())
    return (
        f"Layer {int(mean.argmax())} holds most of the neurons, {percent(mean.max(), 1)}; the "
        f"later half of the layers holds {percent(late)}."
    )


def of_overlap(found: NeuronSet) -> str:
    """Write which two cultures share most, and the mean over pairs."""
    table = found.overlap()
    apart = np.triu(np.ones(table.shape, dtype=bool), 1)
    values = np.where(apart, table.to_numpy(dtype=float), np.nan)
    if np.isnan(values).all():
        return "There are no two cultures with neurons."
    if not np.nanmax(values):
        return "No two cultures share a neuron."
    row, column = divmod(int(np.nanargmax(values)), values.shape[1])
    return (
        f"{table.index[row]} and {table.columns[column]} share most (Jaccard overlap "
        f"{values[row, column]:.3f}); the mean over pairs is {np.nanmean(values):.3f}."
    )


def of_selectors(matrices: Mapping[str, AblationMatrix]) -> str:
    """Write self and cross of every selector."""
    return "; ".join(
        f"{name}: self {spoken(matrix.overall('self'))}, cross {spoken(matrix.overall('cross'))}"
        for name, matrix in matrices.items()
    )


def of_fidelity(held: Fidelity) -> str:
    """Write how predicted and measured effects correlate, for each kind of unit."""
    found = []
    for kind in held.kinds:
        r = held.correlation(kind)
        found.append(f"{r.value:.2f} ({r.low:.2f} to {r.high:.2f}) over {kind}s")
    return "Correlation of predicted with measured effects: " + "; ".join(found) + "."
