"""Kinds of units compared: change on own questions against change on others', a mark per kind."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, instance
from culture_lens.errors import InputError
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.units_compared import UnitsComparison
from culture_lens.plots.comparison import (
    COMPARISON_HEIGHT,
    SELECTOR_COLOURS,
    SYMBOLS,
    faded,
)
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.parts import error_bars, filled, points_axis
from culture_lens.plots.style import (
    INK,
    INTERVALS,
    MUTED,
    RANDOM_COLOUR,
    about,
    label,
    limits,
    percent,
    plain,
    styled,
    with_interval,
)
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import as_estimates

MARK, RANDOM_MARK = 12, 9
EQUALS = {"number": "equal numbers of units", "norm": "equal norm of the change of the stream"}
UNITS = instance(UnitsComparison, remedy="the UnitsComparison that compare_units gives")


@check_arguments(compared=UNITS, range=RANGE)
def units_chart(
    compared: UnitsComparison, *, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw the change on own questions against the change on others', a mark per kind of units.

    Grey marks of the same form are random units of the same kind. Below the dotted line a
    culture's units change its own accuracy more than others'; directly below 0, only its own.

    Args:
        compared: The result of ``compare_units``.
        range: The ends of both axes, to compare figures; by default they hold every interval.

    Raises:
        InputError: The comparison is empty.

    Example:
        ``units_chart(compare_units(model, questions, units)).show()``
    """
    if not compared.kinds:
        raise InputError("this comparison is empty: make it with compare_units.")
    table = as_estimates(compared.table())
    figure = go.Figure()
    held: dict[str, list[Estimate]] = {"self": [], "cross": []}
    for condition in (RANDOM, FOUND):  # what was found lies on top
        prefix = "random_" if condition == RANDOM else ""
        if f"{prefix}self" in table:
            for place, row in enumerate(table.to_dict("records")):
                figure.add_trace(mark_of(row, prefix, place))
                for metric, estimates in held.items():
                    estimates.append(row[prefix + metric])
    x, y = range or limits(held["cross"]), range or limits(held["self"])
    low, high = max(x[0], y[0]), min(x[1], y[1])
    line = {"color": MUTED, "width": 1.2, "dash": "dot"}
    figure.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line=line, layer="below")
    for add in (figure.add_hline, figure.add_vline):
        add(0, line={"color": INK, "width": 1.2}, layer="below")
    told = ("filled: gap excludes 0", "grey: random units", "dotted: the same change on both")
    equal = EQUALS.get(str(compared.metadata.get("equal")), "")
    styled(
        figure,
        "What units do to a culture’s own questions, and to others’",
        about(compared.metadata, *([equal] if equal else []), INTERVALS, *told, selector=""),
        1,
    )
    figure.update_xaxes(
        points_axis(x), title_text="cross: change on other cultures’ questions, percentage points"
    )
    figure.update_yaxes(points_axis(y), title_text="self: change on own questions, points")
    figure.update_layout(height=COMPARISON_HEIGHT, legend={"title": {"text": "units"}})
    return figure


def mark_of(row: dict[Any, Any], prefix: str, place: int) -> go.Scatter:
    """Make the mark of one kind of units, or of random ones, with intervals both ways."""
    own, cross, gap = (row[prefix + metric] for metric in ("self", "cross", "gap"))
    colour = RANDOM_COLOUR if prefix else SELECTOR_COLOURS[place % len(SELECTOR_COLOURS)]
    name = f"random {row['units']}" if prefix else str(row["units"])
    return go.Scatter(
        x=[cross.value],
        y=[own.value],
        error_x=error_bars([cross], faded(colour), 1.2),
        error_y=error_bars([own], faded(colour), 1.2),
        mode="markers",
        name=label(name),
        showlegend=not prefix,
        marker={
            "size": RANDOM_MARK if prefix else MARK,
            "symbol": SYMBOLS[place % len(SYMBOLS)],
            "color": filled([colour], [gap]),
            "line": {"color": colour, "width": 1.6},
        },
        hovertext=[
            f"<b>{plain(name)}</b>, {row[prefix + 'number']:.1f} units, "
            f"{percent(row[prefix + 'norm'], 1)} of the stream<br>self: {with_interval(own)}"
            f"<br>cross: {with_interval(cross)}<br>gap: {with_interval(gap)}"
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


__all__ = ["units_chart"]
