"""Dose curves: the effect on each culture against the share of its neurons that is ablated."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments, either, instance, mapping, text
from culture_lens.errors import InputError
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.dose import DoseCurve
from culture_lens.experiments.matrix import MEAN
from culture_lens.plots.comparison import SELECTOR_COLOURS, SYMBOLS
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.parts import LEGEND_BELOW, error_bars, filled, points_axis
from culture_lens.plots.style import (
    FAINT,
    INK,
    INTERVALS,
    RANDOM_COLOUR,
    about,
    label,
    limits,
    plain,
    styled,
    with_interval,
)
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import DoseMetric

CURVE = instance(DoseCurve, remedy="the DoseCurve that dose_curve gives")
CURVES = either(CURVE, mapping(CURVE), remedy="a DoseCurve, or {name: DoseCurve}")
TITLES: dict[str, tuple[str, str]] = {
    "self": ("Own questions, the more neurons are ablated", "change in accuracy, points"),
    "p_change": ("Own questions, the more neurons are ablated", "change in P(right), points"),
    "flips": ("Answers that change, the more neurons are ablated", "share of answers, points"),
    "cross": ("Other cultures’ questions, the more neurons are ablated", "change, points"),
    "gap": ("Own beyond other questions, the more neurons are ablated", "difference, points"),
}
PANEL, PANELS, LETTERS, HEADINGS = 130, 4, 20, 16
"""Height of a panel, panels beside each other, letters of a heading, and its height."""


@check_arguments(curves=CURVES, metric=text, range=RANGE)
def dose_chart(
    curves: DoseCurve | Mapping[str, DoseCurve],
    *,
    metric: DoseMetric = "self",
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw the effect of ablating ever more neurons, a panel per culture and one for the mean.

    The share of neurons grows by equal factors along the axis. Filled marks have an interval that
    excludes 0. Of one curve the random neurons are drawn too.

    Args:
        curves: The result of ``dose_curve``, or several by name, such as those of two selectors.
        metric: ``"self"``, ``"p_change"``, ``"flips"``, ``"cross"`` or ``"gap"``.
        range: The ends of the vertical axis; by default it holds every interval.

    Raises:
        InputError: No curve, an unknown metric, or what ``DoseCurve.table`` refuses.

    Example:
        ``dose_chart({"conact": one, "knowledge": other}, metric="gap").show()``
    """
    named = {"": curves} if isinstance(curves, DoseCurve) else dict(curves)
    if not named:
        raise InputError("nothing to draw: give a DoseCurve, or {name: DoseCurve}.")
    series = all_series(named, metric)
    names = panels_of([table for _, _, _, table in series])
    figure, rows, columns = grid_of_panels(names)
    for (key, colour, symbol, table), (place, name) in product(series, enumerate(names)):
        here = {"row": place // columns + 1, "col": place % columns + 1}
        own = table[table["culture"] == name]
        figure.add_trace(curve_of(own, key, name, colour, symbol, first=place == 0), **here)
    title, axis = TITLES[metric]
    styled(
        figure,
        title,
        about(
            next(iter(named.values())).metadata,
            INTERVALS,
            "filled: interval excludes 0",
            selector="" if len(named) > 1 else None,
        ),
        1,
        legend=LEGEND_BELOW,
    )
    tables = [table for _, _, _, table in series]
    scale_axes(figure, tables, range)
    figure.update_annotations(font={"size": 12, "color": INK})
    top = figure.layout.margin.t + HEADINGS
    figure.update_layout(height=top + 120 + rows * (PANEL + 20), margin_t=top, margin_b=90)
    figure.update_yaxes(title_text=axis, col=1, row=(rows + 1) // 2)
    last = {"col": (columns + 1) // 2, "row": rows}
    figure.update_xaxes(title_text="share of neurons ablated", **last)
    return figure


def grid_of_panels(names: Sequence[str]) -> tuple[go.Figure, int, int]:
    """Make a figure with a panel for each name on the same axes, and give its rows and columns."""
    columns = min(PANELS, math.ceil(math.sqrt(len(names))))
    rows = math.ceil(len(names) / columns)
    figure = make_subplots(
        rows,
        columns,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.02,
        vertical_spacing=0.4 / (rows + 1),
        subplot_titles=[heading(name) for name in names],
    )
    return figure, rows, columns


def all_series(
    named: Mapping[str, DoseCurve], metric: DoseMetric
) -> list[tuple[str, str, str, pd.DataFrame]]:
    """Give name, colour, symbol and table of every line."""
    if len(named) > 1 or "" not in named:
        return [
            (
                name,
                SELECTOR_COLOURS[place % len(SELECTOR_COLOURS)],
                SYMBOLS[place % len(SYMBOLS)],
                curve.table(metric),
            )
            for place, (name, curve) in enumerate(named.items())
        ]
    curve = named[""]
    found = ("found neurons", SELECTOR_COLOURS[0], SYMBOLS[0], curve.table(metric, FOUND))
    if not curve.has_random:
        return [found]
    random = ("random neurons, as many per layer", RANDOM_COLOUR, SYMBOLS[2])
    return [found, (*random, curve.table(metric, RANDOM))]


def panels_of(tables: Sequence[pd.DataFrame]) -> list[str]:
    """List the cultures of all curves, and the mean last."""
    every = dict.fromkeys(name for table in tables for name in table["culture"])
    return [name for name in every if name != MEAN] + [MEAN] * (MEAN in every)


def heading(name: str) -> str:
    """Write the heading of a panel."""
    return "<b>mean over cultures</b>" if name == MEAN else label(name, LETTERS)


def curve_of(
    table: pd.DataFrame, key: str, culture: str, colour: str, symbol: str, *, first: bool
) -> go.Scatter:
    """Make the line of one culture."""
    cells = zip(table["value"], table["low"], table["high"], strict=True)
    estimates = [Estimate(*map(float, cell)) for cell in cells]
    shares, numbers = list(table["share"]), list(table["neurons"])
    return go.Scatter(
        x=shares,
        y=[estimate.value for estimate in estimates],
        error_y=error_bars(estimates, colour, 1.0),
        mode="lines+markers",
        name=plain(key),
        legendgroup=key,
        showlegend=first,
        customdata=[culture] * len(shares),
        meta={"panel": culture},
        line={"color": colour, "width": 1.6},
        marker={
            "size": 7,
            "symbol": symbol,
            "color": filled([colour] * len(estimates), estimates),
            "line": {"color": colour, "width": 1.4},
        },
        hovertext=[
            f"<b>{plain(culture)}</b>, {plain(key)}<br>{number:.0f} neurons, {100 * share:.3g}%"
            f"<br>{with_interval(estimate)}"
            for share, number, estimate in zip(shares, numbers, estimates, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def scale_axes(
    figure: go.Figure, tables: Sequence[pd.DataFrame], span: tuple[float, float] | None
) -> None:
    """Give all panels the same axes: shares by factors, and effects with a line at 0."""
    every = [
        Estimate(*map(float, cell))
        for table in tables
        for cell in zip(table["value"], table["low"], table["high"], strict=True)
    ]
    figure.update_yaxes(points_axis(span or limits(every)))
    figure.update_yaxes(zeroline=True, zerolinecolor=INK, zerolinewidth=1.2)
    shares = sorted({float(share) for table in tables for share in table["share"]})
    low, high = np.log10(shares[0]), np.log10(shares[-1])
    room = 0.08 * (high - low) or 0.3
    marks = [share for place, share in enumerate(shares) if place in (0, len(shares) - 1)]
    if len(shares) > 2:
        marks.insert(1, shares[len(shares) // 2])
    layout: dict[str, Any] = {
        "type": "log",
        "range": [low - room, high + room],
        "tickvals": marks,
        "ticktext": [f"{100 * share:.2g}%" for share in marks],
    }
    figure.update_xaxes(showgrid=True, gridcolor=FAINT, **layout)


__all__ = ["dose_chart"]
