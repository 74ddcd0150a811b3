"""The figure of a predicted matrix, beside the measured one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments, instance, optional
from culture_lens.errors import InputError
from culture_lens.experiments.ablation_fidelity import matrix_fidelity
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.fidelity_units import CELL
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.experiments.predicted_matrix import PredictedMatrix
from culture_lens.plots.fidelity import TITLE_LINE, agreement
from culture_lens.plots.heatmap import (
    BOLD,
    LEAST_ROWS,
    OUTLINED,
    RANGE,
    SMALLEST_P_CHANGE,
    cell_font,
    cell_map,
    check_symmetric,
    estimate_text,
    hatch,
    largest_of,
    marked,
    outline,
    telling_digits,
    whose_cell,
)
from culture_lens.plots.objectives import QUANTITIES, Quantity, how_predicted, quantity_of
from culture_lens.plots.parts import add_heading
from culture_lens.plots.style import (
    INTERVALS,
    about,
    across,
    name_axis,
    points,
    styled,
)
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    import pandas as pd

PREDICTED, MEASURED = "predicted", "measured"
Cells = Mapping[tuple[str, str], Estimate]
"""Mask and culture -> measured change."""


@check_arguments(predicted=instance(PredictedMatrix), matrix=optional(MATRIX), range=RANGE)
def predicted_heatmap(
    predicted: PredictedMatrix,
    matrix: AblationMatrix | None = None,
    *,
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw the predicted matrix, and beside it the measured one with the same colours.

    Args:
        predicted: The result of ``predicted_ablation_matrix``.
        matrix: The measured matrix of the same neurons, questions and scoring.
        range: The ends of the scale in the unit of the prediction, such as ``(-0.8, 0.8)``.

    Raises:
        InputError: Nothing was predicted, the matrix cannot be compared with the prediction, or
            the middle of the range is not 0.

    Example:
        ``predicted_heatmap(predicted, matrix).show()``
    """
    if predicted.frame.empty:
        raise InputError("nothing was predicted: see predicted_ablation_matrix().")
    # First: refuses a matrix that cannot be compared.
    compared = None if matrix is None else matrix_fidelity(predicted, matrix)
    said = agreement_of(compared)
    quantity = quantity_of(predicted.metadata)
    measured = measured_cells(predicted, compared)
    tables = tables_of(predicted, measured)
    span = check_symmetric(range)
    limit = largest_shown(tables, quantity) if span is None else span[1]
    figure = panels(tables, measured, quantity, limit)
    masks, cultures = predicted.masks, predicted.cultures
    both = "predicted and measured" if matrix is not None else "predicted"
    styled(
        figure,
        f"{quantity.name.capitalize()} when neurons are ablated: {both} change",
        about(
            predicted.metadata,
            f"change in {quantity.unit}, {how_predicted(predicted.metadata)}",
            f"over cells: {', '.join(said)}" if said else "",
            f"{INTERVALS}; {BOLD}" if matrix is not None else "",
            OUTLINED if set(masks) & set(cultures) else "",
        ),
        max(len(masks), LEAST_ROWS),
    )
    axis = across([*cultures] * len(tables))
    names = {"tickvals": list(cultures), "ticktext": axis["ticktext"][: len(cultures)]}
    figure.update_xaxes({**axis, **names, "title": {"text": "asked: questions about"}})
    figure.update_yaxes({**name_axis(masks), "autorange": "reversed"})
    figure.update_yaxes(title_text="ablated: neurons found for", col=1)
    if len(tables) > 1:
        figure.update_layout(margin_t=figure.layout.margin.t + TITLE_LINE + 4)
        figure.update_layout(height=figure.layout.height + TITLE_LINE + 4)
    return figure


def measured_cells(predicted: PredictedMatrix, compared: Fidelity | None) -> Cells:
    """Give the measured cells with their intervals; none where nothing was measured."""
    if compared is None:
        return {}
    units = as_estimates(compared.units(CELL))["measured"]
    return {
        (mask, culture): units.loc[f"{mask} on {culture}"]
        for mask, culture in product(predicted.masks, predicted.cultures)
    }


def tables_of(predicted: PredictedMatrix, measured: Cells) -> dict[str, pd.DataFrame]:
    """Give the predicted table, and the measured one with the same rows and columns."""
    table = predicted.table()
    if not measured:
        return {PREDICTED: table}
    other = table.copy()
    for (mask, culture), estimate in measured.items():
        other.loc[mask, culture] = estimate.value
    return {PREDICTED: table, MEASURED: other}


def agreement_of(compared: Fidelity | None) -> list[str]:
    """Write how well cells agree; nothing where there are too few."""
    if compared is None or len(compared.units(CELL)) <= 2:
        return []
    return agreement(compared, CELL)


def largest_shown(tables: Mapping[str, pd.DataFrame], quantity: Quantity) -> float:
    """Give the end of a scale that holds every cell."""
    limit = max(SMALLEST_P_CHANGE, *(largest_of(table, 0.0) for table in tables.values()))
    # No probability can lose more than 100 points, though a prediction may.
    return min(limit, 1.0) if quantity is QUANTITIES["probability"] else limit


def panels(
    tables: dict[str, pd.DataFrame], measured: Cells, quantity: Quantity, limit: float
) -> go.Figure:
    """Draw one heat map per table, all with the same colours and decimals."""
    largest = max(largest_of(table, 0.0) for table in tables.values())
    masks, cultures = list(tables[PREDICTED].index), list(tables[PREDICTED].columns)
    columns = len(cultures) * len(tables)
    digits = max(1 if columns <= 12 else 0, telling_digits(quantity.as_share(largest)))
    figure = make_subplots(1, len(tables), shared_yaxes=True, horizontal_spacing=0.03)
    for column, (name, table) in enumerate(tables.items(), start=1):
        known = measured if name == MEASURED else {}
        hover = [
            [cell_hover(mask, culture, tables, known, quantity) for culture in cultures]
            for mask in masks
        ]
        text = [
            [
                cell_text(quantity.as_share(table.loc[m, c]), known.get((m, c)), digits)
                for c in cultures
            ]
            for m in masks
        ]
        trace = cell_map(table, text, hover, limit, signed=True, unit=quantity.short)
        trace.update(textfont=cell_font(columns), showscale=column == len(tables))
        trace.update(name=name, meta={"panel": name})
        figure.add_trace(trace, 1, column)
        here = {"row": 1, "col": column}
        hatch(figure, table, here)
        outline(figure, masks, cultures, here)
        if len(tables) > 1:
            add_heading(figure, column, f"<b>{name}</b>", yshift=8, align="center")
    return figure


def cell_text(share: float, estimate: Estimate | None, digits: int) -> str:
    """Write a cell: bold where its interval excludes 0."""
    if math.isnan(share):
        return ""
    return marked(points(share, digits), estimate)


def cell_hover(
    mask: str,
    culture: str,
    tables: dict[str, pd.DataFrame],
    measured: Cells,
    quantity: Quantity,
) -> str:
    """Write what a cell is: whose neurons and questions, predicted and measured change."""
    parts = [whose_cell(mask, culture)]
    for name, table in tables.items():
        if name == MEASURED and (mask, culture) in measured:
            text = estimate_text(quantity.shares(measured[mask, culture]), "p_change")
        else:
            share = quantity.as_share(float(table.loc[mask, culture]))
            text = points(share, max(1, telling_digits(share)))
        parts.append(f"{name}: {text} {quantity.short}".strip())
    return "<br>".join(parts)


__all__ = ["predicted_heatmap"]
