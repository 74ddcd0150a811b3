"""Metrics with their intervals: per culture, and per selector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments, mapping
from culture_lens.errors import InputError
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.plots.ablation import check_matrix
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.parts import (
    HEADING_LINES,
    LEGEND_BELOW,
    add_bands,
    add_heading,
    error_bars,
    filled,
    legend_key,
    points_axis,
)
from culture_lens.plots.style import (
    DASH,
    FOUND_COLOUR,
    INK,
    INTERVALS,
    RANDOM_COLOUR,
    about,
    font_size,
    label,
    limits,
    plain,
    styled,
    with_interval,
)
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    from culture_lens.experiments.conditions import Condition, Metric

MEAN_ROW = "mean over cultures"
METRIC_MEANING: dict[Metric, str] = {
    "self": "own neurons ablated,<br>own questions",
    "cross": "own neurons ablated,<br>other cultures’ questions",
    "cross_masks": "other cultures’ neurons ablated,<br>own questions",
    "gap": "self minus cross:<br>what is specific to the culture",
}
SERIES: dict[Condition, tuple[str, str, str, int]] = {
    FOUND: ("found neurons", FOUND_COLOUR, "circle", 8),
    RANDOM: ("random neurons, as many per layer", RANDOM_COLOUR, "diamond", 7),
}
"""Condition -> name, colour, symbol and size of its marks."""
BESIDE, MANY_ROWS = 0.34, 16
MetricEstimates = dict["Metric", dict["Condition", Estimate]]
"""The estimates of a row: metric -> condition -> estimate."""


@check_arguments(matrix=MATRIX, range=RANGE)
def self_cross_chart(
    matrix: AblationMatrix, *, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw self, cross and cross_masks of every culture and their means, with intervals.

    Cultures with the largest loss of their own come first; random neurons, where they were ablated
    too, are below the found ones.

    Args:
        matrix: The matrix.
        range: The ends of the scale, such as ``(-0.5, 0.1)``, to compare figures.

    Raises:
        InputError: Fewer than two cultures that were both ablated and evaluated.

    Example:
        ``self_cross_chart(matrix).show()``
    """
    check_matrix(matrix)
    metrics: tuple[Metric, ...] = ("self", "cross", "cross_masks")
    conditions = conditions_of(matrix)
    tables = {condition: as_estimates(matrix.summary(condition)) for condition in conditions}
    own = tables[FOUND]["self"]
    cultures = sorted(own.index, key=lambda culture: (own[culture].value, culture))
    rows: dict[str, MetricEstimates] = {
        culture: {
            metric: {condition: tables[condition].loc[culture, metric] for condition in conditions}
            for metric in metrics
        }
        for culture in cultures
    }
    return dots(
        "What ablating does to a culture’s own questions, and to others’",
        about(matrix.metadata, INTERVALS, "filled: interval excludes 0", "sorted by self"),
        [*rows.items(), (MEAN_ROW, means_of(matrix, metrics))],
        metrics,
        line_before=len(rows),
        span=range,
    )


@check_arguments(matrices=mapping(MATRIX, "{selector: matrix}"), range=RANGE)
def method_comparison(
    matrices: Mapping[str, AblationMatrix], *, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw the mean over cultures of self, cross and gap for every selector, with intervals.

    Args:
        matrices: Selector -> its matrix, all of one model and the same questions.
        range: The ends of the scale, such as ``(-0.5, 0.1)``, to compare figures.

    Raises:
        InputError: No matrices, or fewer than two cultures in one.

    Example:
        ``method_comparison({"conact": matrix, "lape": other}).show()``
    """
    if not matrices:
        raise InputError("nothing to compare: give {selector: matrix, ...}.")
    metrics: tuple[Metric, ...] = ("self", "cross", "gap")
    for matrix in matrices.values():
        check_matrix(matrix)
    rows = [(name, means_of(matrix, metrics)) for name, matrix in matrices.items()]
    return dots(
        "Selectors compared: mean effect of ablating over cultures",
        about(facts_of(matrices), INTERVALS, "filled: interval excludes 0", selector=""),
        rows,
        metrics,
        span=range,
    )


def conditions_of(matrix: AblationMatrix) -> list[Condition]:
    """List the conditions of a matrix in which neurons were ablated."""
    return [FOUND, RANDOM] if matrix.has_random else [FOUND]


def means_of(matrix: AblationMatrix, metrics: Sequence[Metric]) -> MetricEstimates:
    """Give the mean of each metric over cultures, in every condition."""
    return {
        metric: {
            condition: matrix.overall(metric, condition) for condition in conditions_of(matrix)
        }
        for metric in metrics
    }


def facts_of(matrices: Mapping[str, AblationMatrix]) -> dict[str, Any]:
    """Join the metadata of several matrices; values that differ are listed."""
    known: dict[str, Any] = {}
    for key in ("model", "benchmark", "items"):
        values: list[Any] = sorted({m.metadata.get(key) for m in matrices.values()} - {None, ""})
        if key == "items" and len(values) > 1:
            known[key] = f"{values[0]}{DASH}{values[-1]}"
        elif values:
            known[key] = " and ".join(str(value) for value in values)
    return known


def dots(
    title: str,
    subtitle: str,
    rows: Sequence[tuple[str, MetricEstimates]],
    metrics: Sequence[Metric],
    line_before: int | None = None,
    span: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw estimates as dots with intervals: one row per name, one panel per metric."""
    figure = make_subplots(1, len(metrics), shared_yaxes=True, horizontal_spacing=0.025)
    conditions = [c for c in SERIES if any(c in cells[metrics[0]] for _, cells in rows)]
    for condition in conditions:
        name, colour, symbol, size = SERIES[condition]
        marker = {"symbol": symbol, "size": size, "color": colour}
        figure.add_trace(legend_key(name, marker, condition), 1, 1)
    for column, metric in enumerate(metrics, start=1):
        for place, condition in enumerate(conditions):
            offset = BESIDE * (place - (len(conditions) - 1) / 2)
            figure.add_trace(series(rows, metric, condition, offset), 1, column)
        add_bands(figure, len(rows), row=1, col=column)
        line = {"color": INK, "width": 1.3}
        figure.add_vline(0, line=line, layer="below", row=1, col=column)
        if line_before is not None:
            figure.add_hline(line_before - 0.5, line=line, row=1, col=column)
        add_heading(figure, column, f"<b>{metric}</b><br>{METRIC_MEANING[metric]}", align="center")
    styled(figure, title, subtitle, len(rows))
    figure.update_layout(margin_t=figure.layout.margin.t + HEADING_LINES, legend=LEGEND_BELOW)
    figure.update_xaxes(points_axis(span or limits(every_estimate(rows))))
    middle = (len(metrics) + 1) // 2
    figure.update_xaxes(title_text="change in accuracy, percentage points", col=middle)
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=list(range(len(rows))),
        tickfont={"size": font_size(len(rows))},
        ticktext=[f"<b>{plain(name)}</b>" if name == MEAN_ROW else label(name) for name, _ in rows],
    )
    return figure


def every_estimate(rows: Sequence[tuple[str, MetricEstimates]]) -> list[Estimate]:
    """List the estimates of all rows, metrics and conditions."""
    return [e for _, cells in rows for conditions in cells.values() for e in conditions.values()]


def series(
    rows: Sequence[tuple[str, MetricEstimates]], metric: Metric, condition: Condition, offset: float
) -> go.Scatter:
    """Make the trace of one metric under one condition."""
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
        error_x=error_bars(estimates, colour),
        mode="markers",
        name=name,
        legendgroup=condition,
        showlegend=False,
        customdata=[row for _, row, _ in held],
        meta={"panel": metric},
        marker={
            "symbol": symbol,
            "size": size if len(rows) <= MANY_ROWS else size - 3,
            "color": filled([colour] * len(held), estimates),
            "line": {"color": colour, "width": 1.5},
        },
        hovertext=[
            f"<b>{plain(row)}</b>, {name}<br>{metric}: {with_interval(estimate)} points"
            for _, row, estimate in held
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


__all__ = ["method_comparison", "self_cross_chart"]
