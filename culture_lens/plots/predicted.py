"""The figure of a predicted matrix, beside the measured one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments, instance, optional
from culture_lens.errors import InputError
from culture_lens.experiments.ablation_fidelity import matrix_fidelity
from culture_lens.experiments.cell_tests import MARK
from culture_lens.experiments.fidelity_units import CELL
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.experiments.predicted_matrix import PredictedMatrix
from culture_lens.plots.fidelity import TITLE_LINE, agreement
from culture_lens.plots.heatmap import (
    LEAST_ROWS,
    OUTLINED,
    SMALLEST_P_CHANGE,
    cell_font,
    cell_map,
    estimate_text,
    largest_of,
    marked,
    outline,
    telling_digits,
    whose_cell,
)
from culture_lens.plots.parts import add_heading
from culture_lens.plots.style import (
    EMPTY,
    INTERVALS,
    about,
    across,
    name_axis,
    points,
    styled,
)
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

PREDICTED, MEASURED = "predicted", "measured"


@check_arguments(predicted=instance(PredictedMatrix), matrix=optional(MATRIX))
def predicted_heatmap(
    predicted: PredictedMatrix, matrix: AblationMatrix | None = None
) -> go.Figure:
    """Draw the predicted matrix, and beside it the measured one with the same colours.

    Args:
        predicted: The result of ``predicted_ablation_matrix``.
        matrix: The measured matrix of the same neurons and questions, scored by letter.

    Raises:
        InputError: Nothing was predicted, or the matrix cannot be compared with the prediction.

    Example:
        ``predicted_heatmap(predicted, matrix).show()``
    """
    if predicted.frame.empty:
        raise InputError("nothing was predicted: see predicted_ablation_matrix().")
    said = agreement_of(predicted, matrix)  # first: refuses a matrix that cannot be compared
    tables = tables_of(predicted, matrix)
    figure = panels(tables, matrix)
    masks, cultures = predicted.masks, predicted.cultures
    both = "predicted and measured" if matrix is not None else "predicted"
    styled(
        figure,
        f"Probability of the right answer when neurons are ablated: {both} change",
        about(
            predicted.metadata,
            "change in percentage points, from one backward pass",
            f"over cells: {', '.join(said)}" if said else "",
            f"{INTERVALS}; bold {MARK}: interval excludes 0" if matrix is not None else "",
            OUTLINED if set(masks) & set(cultures) else "",
        ),
        max(len(masks), LEAST_ROWS),
        plot_bgcolor=EMPTY,
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


def tables_of(predicted: PredictedMatrix, matrix: AblationMatrix | None) -> dict[str, pd.DataFrame]:
    """Give the predicted table, and the measured one with the same rows and columns."""
    tables = {PREDICTED: predicted.table()}
    if matrix is not None:
        rows, columns = list(predicted.masks), list(predicted.cultures)
        tables[MEASURED] = matrix.table("p_change").reindex(index=rows, columns=columns)
    return tables


def agreement_of(predicted: PredictedMatrix, matrix: AblationMatrix | None) -> list[str]:
    """Write how well cells agree; nothing where there are too few.

    Raises:
        InputError: The matrix cannot be compared with the prediction.
    """
    if matrix is None:
        return []
    compared = matrix_fidelity(predicted, matrix)
    if len(predicted.masks) * len(predicted.cultures) <= 2:
        return []
    return [text for text in agreement(compared, CELL) if "only" not in text]


def panels(tables: dict[str, pd.DataFrame], matrix: AblationMatrix | None) -> go.Figure:
    """Draw one heat map per table, all with the same colours and decimals."""
    largest = max(largest_of(table, 0.0) for table in tables.values())
    # No probability can lose more than 100 points, though a prediction may.
    limit = min(max(largest, SMALLEST_P_CHANGE), 1.0)
    masks, cultures = list(tables[PREDICTED].index), list(tables[PREDICTED].columns)
    columns = len(cultures) * len(tables)
    digits = max(1 if columns <= 12 else 0, telling_digits(largest))
    figure = make_subplots(1, len(tables), shared_yaxes=True, horizontal_spacing=0.03)
    for column, (name, table) in enumerate(tables.items(), start=1):
        estimates = cells(matrix if name == MEASURED else None, table)
        hover = [
            [cell_hover(mask, culture, tables, estimates) for culture in cultures] for mask in masks
        ]
        text = [
            [cell_text(float(table.loc[m, c]), estimates.get((m, c)), digits) for c in cultures]
            for m in masks
        ]
        trace = cell_map(table, text, hover, limit, signed=True)
        trace.update(textfont=cell_font(columns), showscale=column == len(tables))
        figure.add_trace(trace, 1, column)
        outline(figure, masks, cultures, column)
        if len(tables) > 1:
            add_heading(figure, column, f"<b>{name}</b>", yshift=8, align="center")
    return figure


def cells(matrix: AblationMatrix | None, table: pd.DataFrame) -> dict[tuple[str, str], Estimate]:
    """Give the measured cells of a table with their intervals; none without a matrix."""
    if matrix is None:
        return {}
    return {
        (mask, culture): matrix.cell(mask, culture, "p_change")
        for mask in table.index
        for culture in table.columns
        if mask in matrix.masks and culture in matrix.cultures
    }


def cell_text(value: float, estimate: Estimate | None, digits: int) -> str:
    """Write a cell: bold and marked where its interval excludes 0."""
    if math.isnan(value):
        return ""
    return marked(points(value, digits), estimate)


def cell_hover(
    mask: str,
    culture: str,
    tables: dict[str, pd.DataFrame],
    estimates: dict[tuple[str, str], Estimate],
) -> str:
    """Write what a cell is: whose neurons and questions, predicted and measured change."""
    parts = [whose_cell(mask, culture)]
    for name, table in tables.items():
        value = float(table.loc[mask, culture])
        if (mask, culture) in estimates and name == MEASURED:
            text = estimate_text(estimates[mask, culture], "p_change")
        else:
            text = points(value, max(1, telling_digits(value)))
        parts.append(f"{name}: {text} points")
    return "<br>".join(parts)


__all__ = ["predicted_heatmap"]
