"""Predicted effects of ablating against measured ones: as points, and as two matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from culture_lens.errors import InputError, unknown
from culture_lens.experiments.fidelity import CELL, METHODS, NEURON, SET, Fidelity, matrix_fidelity
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.predicted_matrix import PredictedMatrix
from culture_lens.plots.heatmaps import (
    LEAST_ROWS,
    MARK,
    MOST_DIGITS,
    OUTLINED,
    SMALLEST_P_CHANGE,
    cell_font,
    heatmap,
    in_words,
    outline,
    telling_digits,
    tick_digits,
)
from culture_lens.plots.style import (
    AMOUNT,
    EMPTY,
    FAINT,
    FONT,
    FOUND_COLOUR,
    INK,
    INTERVALS,
    LOSS_TO_GAIN,
    MINUS,
    MUTED,
    NOTHING,
    PAPER,
    RANDOM_COLOUR,
    about,
    across,
    clear,
    house,
    label,
    name_axis,
    plain,
    points,
    ticks,
)
from culture_lens.statistics.estimates import Estimate, ranks

if TYPE_CHECKING:
    import pandas as pd

PANELS = {NEURON: "single neurons", SET: "sets of neurons", CELL: "cells of the matrix"}
HEIGHT, TITLE_LINE, MANY = 560, 16, 10
BAR_COLOUR, OTHER_COLOUR = "#c3c9d1", "#4292c6"
LETTER, LINE, GAP = 0.0085, 0.045, 0.008  # of a label, as shares of the figure's size
Range = tuple[float, float]
Box = tuple[float, float, float, float]
WHERE = "change of the probability of the right answer, percentage points"


@dataclass(frozen=True)
class Series:
    """Units that are drawn alike, with an entry in the legend; or each in a shade of its own."""

    name: str
    units: list[str]
    colour: str
    symbol: str
    size: int
    labelled: bool = False
    shades: tuple[str, ...] = ()


def fidelity_chart(fidelity: Fidelity, kind: str | None = None) -> go.Figure:
    """Draw predicted against measured changes of P(gold): a point per unit, a panel per kind.

    A prediction that holds lies on the dashed line. Filled points have a measured change whose
    interval excludes 0. Every panel has a scale of its own: a neuron does much less than a set.

    Args:
        fidelity: Predicted and measured changes.
        kind: ``"neuron"``, ``"set"`` or ``"cell"``; every kind there is where not given.

    Raises:
        InputError: Nothing was compared, or nothing of that kind.

    Example:
        ``fidelity_chart(fidelity(model, questions, scores)).show()``
    """
    if fidelity.frame.empty:
        raise InputError("nothing was ablated, so there is nothing to draw: see fidelity().")
    if kind is not None and kind not in fidelity.kinds:
        raise unknown("kind of unit", kind, fidelity.kinds)
    kinds = fidelity.kinds if kind is None else (kind,)
    figure = house(
        make_subplots(1, len(kinds), horizontal_spacing=0.18 / len(kinds)),
        "What ablating was predicted to do, and what it did",
        about(
            fidelity.metadata,
            INTERVALS,
            "dashed: measured as predicted",
            "filled: measured interval excludes 0",
            "darker: higher attribution score" if NEURON in kinds else "",
            "every panel has its own scale" if len(kinds) > 1 else "",
            selector=str(fidelity.metadata.get("selector") or ""),
        ),
        1,
    )
    words = [metrics(fidelity, name) for name in kinds]
    lines = 1 + max(len(text) for text in words)
    for column, (name, text) in enumerate(zip(kinds, words, strict=True), start=1):
        panel(figure, fidelity.units(name), name, column, 1 / len(kinds))
        add_heading(figure, column, [f"<b>{PANELS.get(name, name)}</b>", *text], lines)
    figure.update_layout(
        margin_t=figure.layout.margin.t + TITLE_LINE * lines,
        height=HEIGHT + TITLE_LINE * lines,
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yref": "container"},
    )
    figure.update_xaxes(title_text=f"predicted {WHERE}", col=(len(kinds) + 1) // 2)
    figure.update_yaxes(title_text="measured change", col=1)
    return figure


def metrics(fidelity: Fidelity, kind: str) -> list[str]:
    """Write how well the units of a kind agree, one reading a line."""
    number = len(fidelity.units(kind))
    if number < 3:
        return [f"{number} only: too few to correlate"]
    found = {method.capitalize(): fidelity.correlation(kind, method) for method in METHODS}
    found["slope"] = fidelity.slope(kind)
    if kind == NEURON:
        found["score and loss, Spearman"] = fidelity.score_correlation()
    return [
        f"{name} {NOTHING if math.isnan(value.value) else str(value).replace('-', MINUS)}"
        for name, value in found.items()
    ]


def add_heading(figure: go.Figure, column: int, text: Sequence[str], lines: int) -> None:
    """Write lines over a panel, as high as the tallest heading."""
    axis = "" if column == 1 else str(column)
    figure.add_annotation(
        xref=f"x{axis} domain",
        yref="paper",
        x=0.5,
        y=1,
        yanchor="bottom",
        yshift=8,
        showarrow=False,
        align="center",
        text="<br>".join([*text, *["&nbsp;"] * (lines - len(text))]),
        font={"size": 12},
    )


def panel(figure: go.Figure, table: pd.DataFrame, kind: str, column: int, width: float) -> None:
    """Draw the units of one kind into a column of the figure, with axes and lines."""
    here = {"row": 1, "col": column}
    x_range, y_range = ranges(list(table["predicted"]), list(table["measured"]))
    figure.update_xaxes(range=list(x_range), **marks(*x_range, 7 if width == 1 else 4), **here)
    figure.update_yaxes(range=list(y_range), **marks(*y_range, 7), **here)
    for series in all_series(table, kind):
        figure.add_trace(legend_key(series), **here)
        figure.add_trace(scatter(table.loc[series.units], series), **here)
    # Lines after the traces: plotly leaves empty panels out.
    for line in (figure.add_vline, figure.add_hline):
        line(0, line={"color": INK, "width": 1.3}, layer="below", **here)
    low, high = min(x_range[0], y_range[0]), max(x_range[1], y_range[1])
    dashed = {"color": MUTED, "width": 1.2, "dash": "dash"}
    figure.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line=dashed, layer="below", **here
    )
    add_labels(figure, table, all_series(table, kind), (x_range, y_range), width, here)


def all_series(table: pd.DataFrame, kind: str) -> list[Series]:
    """Part the units of a kind into what is drawn alike."""
    names = list(table.index)
    if kind == NEURON:
        blues = shades(table["score"])
        return [Series("single neurons", names, AMOUNT[-2], "circle", 8, shades=blues)]
    if kind == SET:
        random = [name for name in names if name.startswith("random ")]
        rest = [name for name in names if name not in random]
        parts = [
            Series("random neurons", random, RANDOM_COLOUR, "diamond", 8, labelled=True),
            Series("chosen neurons", rest, FOUND_COLOUR, "circle", 9, labelled=True),
        ]
    else:
        # A cell is named "whose neurons on whose questions".
        own = [name for name in names if len(set(name.split(" on ", 1))) == 1]
        rest = [name for name in names if name not in own]
        size = 8 if len(names) <= 64 else 5
        parts = [
            Series("other cultures’ questions", rest, OTHER_COLOUR, "circle", size),
            Series("own questions", own, FOUND_COLOUR, "circle", size + 1, len(own) <= MANY),
        ]
    return [part for part in parts if part.units]


def shades(scores: pd.Series) -> tuple[str, ...]:
    """Give each neuron a blue by the rank of its score; none where scores are not known."""
    values = scores.to_numpy(dtype=float)
    if np.isnan(values).any() or len(values) < 2:
        return ()
    places = (ranks(values[None])[0] - 1) / (len(values) - 1)
    return tuple(sample_colorscale(AMOUNT[3:], places.tolist()))


def legend_key(series: Series) -> go.Scatter:
    """Make an entry of the legend: a trace without data, its marker filled."""
    marker = {"symbol": series.symbol, "size": series.size, "color": series.colour}
    return go.Scatter(x=[None], y=[None], mode="markers", name=series.name, marker=marker)


def scatter(table: pd.DataFrame, series: Series) -> go.Scatter:
    """Make the trace of a series: points with both intervals, filled where the change is clear."""
    colours = series.shades or (series.colour,) * len(table)
    filled = [clear(estimate) for estimate in table["measured"]]
    return go.Scatter(
        x=[estimate.value for estimate in table["predicted"]],
        y=[estimate.value for estimate in table["measured"]],
        error_x=bars(list(table["predicted"])),
        error_y=bars(list(table["measured"])),
        mode="markers",
        name=series.name,
        showlegend=False,
        customdata=list(table.index),
        marker={
            "symbol": series.symbol,
            "size": series.size,
            "color": [c if full else PAPER for c, full in zip(colours, filled, strict=True)],
            "line": {"color": list(colours), "width": 1.5},
        },
        hovertext=[hover(str(unit), row) for unit, row in table.iterrows()],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def bars(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Make thin error bars of intervals."""
    return {
        "array": [estimate.high - estimate.value for estimate in estimates],
        "arrayminus": [estimate.value - estimate.low for estimate in estimates],
        "color": BAR_COLOUR,
        "thickness": 1,
        "width": 0,
    }


def hover(unit: str, row: pd.Series) -> str:
    """Say what a point is: unit, size, score, predicted and measured with intervals."""
    size = row["size"]
    parts = [f"<b>{plain(unit)}</b>"]
    if not math.isnan(size):
        parts[0] += f", {int(size):,} neuron{'s' if size != 1 else ''}"
    if not math.isnan(row["score"]):
        parts.append(f"attribution score {row['score']:.3g}".replace("-", MINUS))
    parts += [
        f"{name}: {in_words(row[name], 'p_change')} points" for name in ("predicted", "measured")
    ]
    return "<br>".join(parts)


def add_labels(
    figure: go.Figure,
    table: pd.DataFrame,
    parts: Sequence[Series],
    area: tuple[Range, Range],
    width: float,
    here: dict[str, int],
) -> None:
    """Name the units of labelled series, largest change first, where there is room beside them."""

    def place(row: pd.Series) -> tuple[float, float]:
        """Where a unit lies, as shares of the axes."""
        values = (row["predicted"].value, row["measured"].value)
        x, y = ((v - low) / (high - low) for v, (low, high) in zip(values, area, strict=True))
        return x, y

    taken = [(x, y, x, y) for x, y in (place(row) for _, row in table.iterrows())]
    colours = {unit: part.colour for part in parts if part.labelled for unit in part.units}
    for unit in sorted(colours, key=lambda unit: -abs(table.loc[unit, "measured"].value)):
        x, y = place(table.loc[unit])
        text = label(unit.split(" on ")[0])
        size = LETTER * len(text) / width
        for right, up in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            ends = sorted((x + right * GAP, x + right * (GAP + size)))
            rows = sorted((y + up * GAP, y + up * (GAP + LINE)))
            box = (ends[0], rows[0], ends[1], rows[1])
            if min(box) >= 0 and max(box) <= 1 and not any(overlap(box, other) for other in taken):
                taken.append(box)
                figure.add_annotation(
                    x=table.loc[unit, "predicted"].value,
                    y=table.loc[unit, "measured"].value,
                    text=text,
                    showarrow=False,
                    xanchor="left" if right > 0 else "right",
                    yanchor="bottom" if up > 0 else "top",
                    xshift=5 * right,
                    yshift=2 * up,
                    font={"size": 11, "color": colours[unit], "family": FONT},
                    **here,
                )
                break


def overlap(a: Box, b: Box) -> bool:
    """Say whether two boxes, (left, bottom, right, top), have a point in common.

    Example:
        >>> a = (0.0, 0.0, 2.0, 2.0)
        >>> overlap(a, (1.0, 1.0, 1.0, 1.0)), overlap(a, (3.0, 3.0, 4.0, 4.0))
        (True, False)
    """
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def ranges(predicted: Sequence[Estimate], measured: Sequence[Estimate]) -> tuple[Range, Range]:
    """Give ranges of both axes: one and the same, unless one effect would be lost in it."""
    x, y = extent(predicted), extent(measured)
    spans = sorted((x[1] - x[0], y[1] - y[0]))
    if spans[1] > 5 * spans[0]:
        return x, y
    both = (min(x[0], y[0]), max(x[1], y[1]))
    return both, both


def extent(estimates: Sequence[Estimate]) -> Range:
    """Give a range that holds every interval and 0, with a little room."""
    ends = [end for e in estimates for end in (e.value, e.low, e.high) if not math.isnan(end)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    room = 0.08 * (high - low) or 1e-6
    return low - room, high + room


def marks(low: float, high: float, most: int) -> dict[str, Any]:
    """Lay out an axis of probability changes: round numbers, however small, written in points."""
    scale = 10.0 ** math.floor(math.log10(high - low))  # ticks() counts in whole numbers then
    values = [mark * scale for mark in ticks(low / scale, high / scale, most)]
    digits = tick_digits(values)
    return {
        "tickvals": values,
        "ticktext": [small_points(value, digits) for value in values],
        "showgrid": True,
        "gridcolor": FAINT,
    }


def small_points(share: float, digits: int) -> str:
    """Write signed percentage points, as a power of ten where decimals would fill the line.

    Example:
        >>> small_points(0.000003, 4), small_points(2e-9, 7)
        ('+0.0003', '+2e\u22127')
    """
    if digits <= MOST_DIGITS or not share:
        return points(share, min(digits, MOST_DIGITS) if share else 0)
    size = 10.0**-digits
    power = math.floor(math.log10(abs(100 * share)) + 1e-9)
    number = round(100 * share / size) * size / 10.0**power
    return f"{number:+.2g}e{power}".replace("-", MINUS)


def predicted_heatmap(
    predicted: PredictedMatrix, matrix: AblationMatrix | None = None
) -> go.Figure:
    """Draw the predicted matrix, and beside it, on the same colours, the measured one.

    Args:
        predicted: What ``predicted_ablation_matrix`` gave.
        matrix: The measured matrix of the same neurons and questions, scored by letter.

    Raises:
        InputError: Nothing was predicted, or the matrix cannot be compared with the prediction.

    Example:
        ``predicted_heatmap(predicted, matrix).show()``
    """
    if predicted.frame.empty:
        raise InputError("nothing was predicted: see predicted_ablation_matrix().")
    masks, cultures = predicted.masks, predicted.cultures
    tables = {"predicted": predicted.table()}
    agreement = []
    if matrix is not None:
        compared = matrix_fidelity(predicted, matrix)
        measured = matrix.table("p_change")
        tables["measured"] = measured.reindex(index=list(masks), columns=list(cultures))
        if len(masks) * len(cultures) > 2:
            agreement = [text for text in metrics(compared, CELL) if "only" not in text]
    largest = max(float(np.nanmax(np.abs(table.to_numpy()))) for table in tables.values())
    # A prediction may promise more than 100 points, which no probability can lose.
    limit = min(max(largest, SMALLEST_P_CHANGE), 1.0)
    columns = len(cultures) * len(tables)
    digits = max(1 if columns <= 12 else 0, telling_digits(largest))
    figure = make_subplots(1, len(tables), shared_yaxes=True, horizontal_spacing=0.03)
    for column, (name, table) in enumerate(tables.items(), start=1):
        estimates = cells(matrix if name == "measured" else None, table)
        hovers = [
            [cell_hover(mask, culture, tables, estimates) for culture in cultures] for mask in masks
        ]
        trace = heatmap(table, hovers, LOSS_TO_GAIN, (-limit, limit), "points", signed=True)
        written = [
            [cell_text(float(table.loc[m, c]), estimates.get((m, c)), digits) for c in cultures]
            for m in masks
        ]
        trace.update(
            text=written,
            texttemplate="%{text}",
            textfont=cell_font(columns),
            showscale=column == len(tables),
        )
        figure.add_trace(trace, 1, column)
        outline(figure, masks, cultures, column)
        if len(tables) > 1:
            add_heading(figure, column, [f"<b>{name}</b>"], 1)
    title = "Probability of the right answer when neurons are ablated"
    house(
        figure,
        f"{title}: {'predicted and measured' if matrix is not None else 'predicted'} change",
        about(
            predicted.metadata,
            "change in percentage points, from one backward pass",
            f"over cells: {', '.join(agreement)}" if agreement else "",
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
    text = points(value, digits)
    return f"<b>{text}{MARK}</b>" if estimate is not None and clear(estimate) else text


def cell_hover(
    mask: str,
    culture: str,
    tables: dict[str, pd.DataFrame],
    estimates: dict[tuple[str, str], Estimate],
) -> str:
    """Say what a cell is: whose neurons, whose questions, predicted and measured."""
    parts = [f"neurons of <b>{plain(mask)}</b> ablated<br>questions about <b>{plain(culture)}</b>"]
    for name, table in tables.items():
        value = float(table.loc[mask, culture])
        if (mask, culture) in estimates and name == "measured":
            text = in_words(estimates[mask, culture], "p_change")
        else:
            text = points(value, max(1, telling_digits(value)))
        parts.append(f"{name}: {text} points")
    return "<br>".join(parts)


__all__ = ["fidelity_chart", "predicted_heatmap"]
