"""Found neurons, random neurons, and their difference, as three matrices on one scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments, text
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.cell_tests import MARK, against_random
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.matrix import MATRIX, MEAN, AblationMatrix
from culture_lens.experiments.means import beyond_sets
from culture_lens.plots.ablation import check_matrix, edited, masked, stars_of
from culture_lens.plots.heatmap import (
    BOLD,
    LEAST_ROWS,
    OUTLINED,
    RANGE,
    SMALLEST_CHANGE,
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
from culture_lens.plots.style import INK, INTERVALS, about, across, name_axis, points, styled
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition, MatrixTable

DIFFERENCE = "found minus random"
CHANGES = {"change": "accuracy", "p_change": "probability of the right answer"}
Stars = set[tuple[str, str]]
HEADING_HEIGHT = 26
MOST_BESIDE = 12
"""Cultures up to which the panels stand beside each other; those of more are stacked."""


@check_arguments(matrix=MATRIX, what=text, range=RANGE)
def beside_random_heatmap(
    matrix: AblationMatrix,
    *,
    what: MatrixTable = "change",
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw the changes under found neurons, under random ones, and their difference, on one scale.

    Stars are corrected tests of accuracy: ``cell_tests`` over all cells of the first two panels,
    and in the third ``against_random`` over each culture's own cell.

    Args:
        matrix: A matrix with random neurons.
        what: ``"change"`` of accuracy, or ``"p_change"`` of the probability of the right answer.
        range: The ends of the scale, such as ``(-0.3, 0.3)``; by default it reaches to the largest
            change.

    Raises:
        InputError: No such change, no random neurons, fewer than two cultures evaluated, or a
            scale whose middle is not 0.

    Example:
        ``beside_random_heatmap(matrix).show()``
    """
    if what not in CHANGES:
        raise unknown("change", what, CHANGES)
    check_matrix(matrix)
    if not matrix.has_random:
        raise InputError("no random neurons were ablated: run ablation_matrix(random_seeds=5).")
    panels = {
        FOUND: cells_under(matrix, what, FOUND),
        RANDOM: cells_under(matrix, what, RANDOM),
        DIFFERENCE: differences(matrix, what),
    }
    values = {name: cells.map(lambda cell: cell.value) for name, cells in panels.items()}
    least = SMALLEST_P_CHANGE if what == "p_change" else SMALLEST_CHANGE
    largest = max(largest_of(table, least) for table in values.values())
    span = check_symmetric(range) or (-largest, largest)
    stacked = len(matrix.cultures) > MOST_BESIDE
    rows = len(panels) if stacked else 1
    figure = make_subplots(
        rows,
        len(panels) // rows,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.025,
        vertical_spacing=0.04,
        subplot_titles=[f"<b>{name}</b>" for name in panels],
    )
    columns = len(panels) // rows * len(matrix.cultures)
    digits = 1 if columns <= 12 else 0
    digits = max(digits, telling_digits(largest)) if what == "p_change" else digits
    for place, (name, cells) in enumerate(panels.items(), start=1):
        stars = stars_in(matrix, name) if what == "change" else set()
        trace = panel(matrix, cells, name, what, stars, digits, span)
        trace.update(textfont=cell_font(columns), showscale=place == len(panels))
        here = {"row": place, "col": 1} if stacked else {"row": 1, "col": place}
        figure.add_trace(trace, **here)
        hatch(figure, values[name], here)
        outline(figure, matrix.masks, matrix.cultures, here)
    lay_out(figure, matrix, what, rows)
    return figure


def cells_under(matrix: AblationMatrix, what: MatrixTable, condition: Condition) -> pd.DataFrame:
    """Give the cells of a table as Estimates."""
    import pandas as pd

    means = matrix.means(what, condition)
    cells = [means.at(place).estimates() for place, _ in enumerate(matrix.masks)]
    return pd.DataFrame(cells, index=list(matrix.masks), columns=list(matrix.cultures))


def differences(matrix: AblationMatrix, what: MatrixTable) -> pd.DataFrame:
    """Give found minus mean random change in every cell, paired, with intervals over sets too."""
    import pandas as pd

    found = matrix.means(what, FOUND)
    sets = [matrix.means(what, RANDOM, seed=seed) for seed in matrix.seeds]

    def cell(*place: int) -> Estimate:
        value, spread = beyond_sets(found.at(*place), [one.at(*place) for one in sets])
        return spread.estimate(value)

    rows = [
        [cell(row, column) for column, _ in enumerate(matrix.cultures)]
        for row, _ in enumerate(matrix.masks)
    ]
    return pd.DataFrame(rows, index=list(matrix.masks), columns=list(matrix.cultures))


def stars_in(matrix: AblationMatrix, name: str) -> Stars:
    """Give the cells of a panel that corrected tests mark; none where they cannot be run."""
    if name != DIFFERENCE:
        return stars_of(matrix, FOUND if name == FOUND else RANDOM) or set()
    if not matrix.both:
        return set()
    try:
        tests = against_random(matrix)
    except InputError:
        return set()
    marks = tests.index[(tests["mark"] == MARK) & (tests.index != MEAN)]
    return {(culture, culture) for culture in marks}


def panel(
    matrix: AblationMatrix,
    cells: pd.DataFrame,
    name: str,
    what: MatrixTable,
    stars: Stars,
    digits: int,
    span: tuple[float, float],
) -> go.Heatmap:
    """Make the trace of one panel."""
    text, hover = [], []
    verb = edited(matrix)
    for mask in cells.index:
        own = [(culture, cells.loc[mask, culture]) for culture in cells.columns]
        text.append(
            [
                ""
                if math.isnan(cell.value)
                else marked(points(cell.value, digits), cell, (mask, culture) in stars)
                for culture, cell in own
            ]
        )
        hover.append(
            [
                f"{whose_cell(mask, culture, verb)}<br>{name}: {estimate_text(cell, what)}"
                for culture, cell in own
            ]
        )
    values = cells.map(lambda cell: cell.value)
    trace = cell_map(values, text, hover, span[1], signed=True, span=span)
    return trace.update(name=name, meta={"panel": name})


def lay_out(figure: go.Figure, matrix: AblationMatrix, what: MatrixTable, rows: int) -> None:
    """Give the three panels their title and axes."""
    verb = edited(matrix)
    starred = f"{MARK}: corrected test of the cell; of the difference, of own cells"
    styled(
        figure,
        f"Change in {CHANGES[what]} when neurons are {verb}: found, random, difference",
        about(
            matrix.metadata,
            masked(matrix),
            f"{len(matrix.seeds)} sets of random neurons",
            "cells in percentage points",
            INTERVALS,
            BOLD,
            starred if what == "change" else "",
            OUTLINED if matrix.both else "",
        ),
        rows * max(len(matrix.masks), LEAST_ROWS),
    )
    cultures = list(matrix.cultures)
    axis = across([*cultures] * (3 // rows))
    names = {"tickvals": cultures, "ticktext": axis["ticktext"][: len(cultures)]}
    figure.update_xaxes({**axis, **names})
    middle = {"row": (rows + 1) // 2, "col": 1}
    below = {"row": rows, "col": 1 if rows > 1 else 2}
    figure.update_xaxes(title_text="asked: questions about", **below)
    figure.update_yaxes({**name_axis(matrix.masks), "autorange": "reversed"})
    figure.update_yaxes(title_text=f"{verb}: neurons found for", **middle)
    figure.update_annotations(font={"size": 12, "color": INK})
    margin, height = figure.layout.margin.t, figure.layout.height
    figure.update_layout(margin_t=margin + HEADING_HEIGHT, height=height + HEADING_HEIGHT)


__all__ = ["beside_random_heatmap"]
