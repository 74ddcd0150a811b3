"""Readings with their intervals: per culture, and per selector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.errors import InputError
from culture_lens.experiments.matrix import FOUND, RANDOM, AblationMatrix
from culture_lens.plots.heatmaps import check_matrix
from culture_lens.plots.style import (
    FAINT,
    FOUND_COLOUR,
    INK,
    INTERVALS,
    NOTHING,
    PAPER,
    RANDOM_COLOUR,
    about,
    clear,
    font_size,
    house,
    label,
    limits,
    plain,
    points,
    ticks,
    with_interval,
)
from culture_lens.statistics.estimates import Estimate

MEAN = "mean over cultures"
MEANING = {
    "self": "own neurons ablated,<br>own questions",
    "cross": "own neurons ablated,<br>other cultures’ questions",
    "cross_masks": "other cultures’ neurons ablated,<br>own questions",
    "gap": "self minus cross:<br>what is specific to the culture",
}
SERIES = {
    FOUND: ("found neurons", FOUND_COLOUR, "circle", 8),
    RANDOM: ("random neurons, as many per layer", RANDOM_COLOUR, "diamond", 7),
}
BESIDE, MANY = 0.34, 16
BAND = "#f4f5f7"
Row = dict[str, dict[str, Estimate]]


def self_cross_chart(matrix: AblationMatrix) -> go.Figure:
    """Draw self, cross and cross_masks of every culture and their means, with intervals.

    Cultures with the largest loss of their own come first; random neurons, where they were run,
    stand under the found ones.

    Raises:
        InputError: Fewer than two cultures that were both ablated and evaluated.

    Example:
        ``self_cross_chart(matrix).show()``
    """
    check_matrix(matrix)
    metrics = ("self", "cross", "cross_masks")
    conditions = [FOUND, RANDOM] if matrix.has_random else [FOUND]
    tables = {condition: matrix.summary(condition) for condition in conditions}
    own = tables[FOUND]["self"]
    cultures = sorted(own.index, key=lambda culture: (own[culture].value, culture))
    rows: dict[str, Row] = {
        culture: {
            metric: {condition: tables[condition].loc[culture, metric] for condition in conditions}
            for metric in metrics
        }
        for culture in cultures
    }
    mean: Row = {
        metric: {condition: matrix.overall(metric, condition) for condition in conditions}
        for metric in metrics
    }
    return dots(
        "What ablating does to a culture’s own questions, and to others’",
        about(matrix.metadata, INTERVALS, "filled: interval excludes 0", "sorted by self"),
        [*rows.items(), (MEAN, mean)],
        metrics,
        line_before=len(rows),
    )


def method_comparison(matrices: Mapping[str, AblationMatrix]) -> go.Figure:
    """Draw the mean over cultures of self, cross and gap for every selector, with intervals.

    Args:
        matrices: Selector -> its matrix, all of one model and the same questions.

    Raises:
        InputError: No matrices, or fewer than two cultures in one.

    Example:
        ``method_comparison({"conact": matrix, "lape": other}).show()``
    """
    if not matrices:
        raise InputError("nothing to compare: give {selector: matrix, ...}.")
    metrics = ("self", "cross", "gap")
    rows: list[tuple[str, Row]] = []
    for name, matrix in matrices.items():
        check_matrix(matrix)
        conditions = [FOUND, RANDOM] if matrix.has_random else [FOUND]
        rows.append(
            (
                name,
                {
                    r: {condition: matrix.overall(r, condition) for condition in conditions}
                    for r in metrics
                },
            )
        )
    return dots(
        "Selectors compared: mean effect of ablating over cultures",
        about(joined(matrices), INTERVALS, "filled: interval excludes 0", selector=""),
        rows,
        metrics,
    )


def joined(matrices: Mapping[str, AblationMatrix]) -> dict[str, Any]:
    """Join what is known of several matrices, differing values side by side."""
    known: dict[str, Any] = {}
    for key in ("model", "benchmark", "items"):
        values: list[Any] = sorted({m.metadata.get(key) for m in matrices.values()} - {None, ""})
        if key == "items" and len(values) > 1:
            known[key] = f"{values[0]}{NOTHING}{values[-1]}"
        elif values:
            known[key] = " and ".join(str(value) for value in values)
    return known


def dots(
    title: str,
    subtitle: str,
    rows: Sequence[tuple[str, Row]],
    metrics: Sequence[str],
    line_before: int | None = None,
) -> go.Figure:
    """Draw estimates as dots with intervals: one row per name, one panel per metric."""
    figure = make_subplots(1, len(metrics), shared_yaxes=True, horizontal_spacing=0.025)
    low, high = limits(
        e for _, cells in rows for conditions in cells.values() for e in conditions.values()
    )
    marks = ticks(low, high)
    digits = 0 if all(abs(100 * m - round(100 * m)) < 1e-6 for m in marks) else 1
    conditions = [
        condition
        for condition in SERIES
        if any(condition in cells[metrics[0]] for _, cells in rows)
    ]
    for condition in conditions:
        figure.add_trace(key(condition), 1, 1)
    for column, metric in enumerate(metrics, start=1):
        for place, condition in enumerate(conditions):
            offset = BESIDE * (place - (len(conditions) - 1) / 2)
            figure.add_trace(series(rows, metric, condition, offset), 1, column)
        here = {"row": 1, "col": column}
        for row in range(0, len(rows), 2):
            band = {"fillcolor": BAND, "line_width": 0, "layer": "below"}
            figure.add_hrect(row - 0.5, row + 0.5, **band, **here)
        line = {"color": INK, "width": 1.3}
        figure.add_vline(0, line=line, layer="below", **here)
        if line_before is not None:
            figure.add_hline(line_before - 0.5, line=line, **here)
        axis = "" if column == 1 else str(column)
        figure.add_annotation(
            xref=f"x{axis} domain",
            yref="paper",
            x=0.5,
            y=1,
            yanchor="bottom",
            yshift=6,
            showarrow=False,
            align="center",
            text=f"<b>{metric}</b><br>{MEANING[metric]}",
            font={"size": 12},
        )
    house(figure, title, subtitle, len(rows))
    figure.update_layout(
        margin_t=figure.layout.margin.t + 44,
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yref": "container"},
    )
    figure.update_xaxes(
        range=[low, high],
        tickvals=marks,
        ticktext=[points(mark, digits) for mark in marks],
        showgrid=True,
        gridcolor=FAINT,
    )
    middle = (len(metrics) + 1) // 2
    figure.update_xaxes(title_text="change in accuracy, percentage points", col=middle)
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=list(range(len(rows))),
        tickfont={"size": font_size(len(rows))},
        ticktext=[f"<b>{plain(n)}</b>" if n == MEAN else label(n) for n, _ in rows],
    )
    return figure


def key(condition: str) -> go.Scatter:
    """Make an entry of the legend: a trace without data, its marker filled."""
    name, colour, symbol, size = SERIES[condition]
    marker = {"symbol": symbol, "size": size, "color": colour}
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=name, legendgroup=condition, marker=marker
    )


def series(
    rows: Sequence[tuple[str, Row]], metric: str, condition: str, offset: float
) -> go.Scatter:
    """Make the trace of one reading of one condition of neurons."""
    name, colour, symbol, size = SERIES[condition]
    held = [
        (position, row, cells[metric][condition])
        for position, (row, cells) in enumerate(rows)
        if condition in cells[metric]
    ]
    estimates = [estimate for *_, estimate in held]
    return go.Scatter(
        x=[estimate.value for estimate in estimates],
        y=[position + offset for position, *_ in held],
        error_x={
            "array": [estimate.high - estimate.value for estimate in estimates],
            "arrayminus": [estimate.value - estimate.low for estimate in estimates],
            "color": colour,
            "thickness": 1.3,
            "width": 0,
        },
        mode="markers",
        name=name,
        legendgroup=condition,
        showlegend=False,
        customdata=[row for _, row, _ in held],
        marker={
            "symbol": symbol,
            "size": size if len(rows) <= MANY else size - 3,
            "color": [colour if clear(estimate) else PAPER for estimate in estimates],
            "line": {"color": colour, "width": 1.5},
        },
        hovertext=[
            f"<b>{plain(row)}</b>, {name}<br>{metric}: {with_interval(estimate)} points"
            for _, row, estimate in held
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


__all__ = ["method_comparison", "self_cross_chart"]
