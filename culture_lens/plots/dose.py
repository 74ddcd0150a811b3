"""Dose curves: the effect on each culture of ablating more neurons or steering more strongly."""

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
from culture_lens.experiments.effect_curve import NEURONS, EffectCurve
from culture_lens.experiments.matrix import MEAN
from culture_lens.experiments.steering import SteeringCurve
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

CURVE = instance(
    DoseCurve, SteeringCurve, remedy="the curve that dose_curve or steering_curve gives"
)
CURVES = either(CURVE, mapping(CURVE), remedy="a DoseCurve or SteeringCurve, or {name: curve}")
TITLES: dict[str, tuple[str, str]] = {
    "self": ("Own questions", "change in accuracy, points"),
    "p_change": ("Own questions", "change in P(right), points"),
    "flips": ("Answers that change", "share of answers, points"),
    "cross": ("Other cultures’ questions", "change, points"),
    "gap": ("Own beyond other questions", "difference, points"),
}
DOSES = {
    "share": ("the more neurons are ablated", "share of neurons ablated"),
    "strength": ("the stronger the steering", "strength of steering"),
}
"""What a dose is -> how the title goes on, and the name of the axis."""
NAMES = {
    "share": ("found neurons", "random neurons, as many per layer"),
    "strength": ("found neurons scaled", "random neurons scaled, as many per layer"),
    "directions": ("direction added", "random directions of the same length"),
}
PANEL, PANELS, LETTERS, HEADINGS = 130, 4, 20, 16
"""Height of a panel, panels beside each other, letters of a heading, and its height."""


@check_arguments(curves=CURVES, metric=text, range=RANGE)
def dose_chart(
    curves: DoseCurve | SteeringCurve | Mapping[str, DoseCurve] | Mapping[str, SteeringCurve],
    *,
    metric: DoseMetric = "self",
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw the effect of every dose, a panel per culture and one for the mean.

    The dose is the share of neurons ablated, which grows by equal factors along the axis, or the
    strength of steering. Filled marks have an interval that excludes 0. Of one curve the random
    neurons or directions are drawn too.

    Args:
        curves: The result of ``dose_curve`` or ``steering_curve``, or several of one kind by name,
            such as those of two selectors.
        metric: ``"self"``, ``"p_change"``, ``"flips"``, ``"cross"`` or ``"gap"``.
        range: The ends of the vertical axis; by default it holds every interval.

    Raises:
        InputError: No curve, curves of both kinds, an unknown metric, or what the curve's ``table``
            refuses.

    Example:
        ``dose_chart({"conact": one, "knowledge": other}, metric="gap").show()``
    """
    named = {"": curves} if isinstance(curves, EffectCurve) else dict(curves)
    kinds = {curve.by for curve in named.values()}
    if len(kinds) != 1:
        raise InputError(
            "nothing to draw: give a curve, or {name: curve}."
            if not kinds
            else "a DoseCurve and a SteeringCurve have no axis in common: draw each by itself."
        )
    (by,) = kinds
    series = all_series(named, metric)
    names = panels_of([table for _, _, _, table in series])
    figure, rows, columns = grid_of_panels(names)
    for (key, colour, symbol, table), (place, name) in product(series, enumerate(names)):
        here = {"row": place // columns + 1, "col": place % columns + 1}
        own = table[table["culture"] == name]
        figure.add_trace(curve_of(own, by, key, name, colour, symbol, first=place == 0), **here)
    (title, axis), (goes_on, along) = TITLES[metric], DOSES[by]
    styled(
        figure,
        f"{title}, {goes_on}",
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
    scale_effects(figure, tables, range)
    doses = sorted({float(dose) for table in tables for dose in table[by]})
    figure.update_xaxes(**(share_axis(doses) if by == "share" else strength_axis(doses)))
    figure.update_annotations(font={"size": 12, "color": INK})
    top = figure.layout.margin.t + HEADINGS
    figure.update_layout(height=top + 120 + rows * (PANEL + 20), margin_t=top, margin_b=90)
    figure.update_yaxes(title_text=axis, col=1, row=(rows + 1) // 2)
    last = {"col": (columns + 1) // 2, "row": rows}
    figure.update_xaxes(title_text=along, **last)
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
    named: Mapping[str, EffectCurve], metric: DoseMetric
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
    labels = NAMES[curve.by if NEURONS in curve.frame else "directions"]
    found = (labels[0], SELECTOR_COLOURS[0], SYMBOLS[0], curve.table(metric, FOUND))
    if not curve.has_random:
        return [found]
    random = (labels[1], RANDOM_COLOUR, SYMBOLS[2])
    return [found, (*random, curve.table(metric, RANDOM))]


def panels_of(tables: Sequence[pd.DataFrame]) -> list[str]:
    """List the cultures of all curves, and the mean last."""
    every = dict.fromkeys(name for table in tables for name in table["culture"])
    return [name for name in every if name != MEAN] + [MEAN] * (MEAN in every)


def heading(name: str) -> str:
    """Write the heading of a panel."""
    return "<b>mean over cultures</b>" if name == MEAN else label(name, LETTERS)


def curve_of(
    table: pd.DataFrame,
    by: str,
    key: str,
    culture: str,
    colour: str,
    symbol: str,
    *,
    first: bool,
) -> go.Scatter:
    """Make the line of one culture."""
    cells = zip(table["value"], table["low"], table["high"], strict=True)
    estimates = [Estimate(*map(float, cell)) for cell in cells]
    doses = list(table[by])
    told = [f"{100 * dose:.3g}%" if by == "share" else f"{by} {dose:g}" for dose in doses]
    if NEURONS in table:
        told = [f"{n:.0f} neurons, {one}" for n, one in zip(table[NEURONS], told, strict=True)]
    return go.Scatter(
        x=doses,
        y=[estimate.value for estimate in estimates],
        error_y=error_bars(estimates, colour, 1.0),
        mode="lines+markers",
        name=plain(key),
        legendgroup=key,
        showlegend=first,
        customdata=[culture] * len(doses),
        meta={"panel": culture},
        line={"color": colour, "width": 1.6},
        marker={
            "size": 7,
            "symbol": symbol,
            "color": filled([colour] * len(estimates), estimates),
            "line": {"color": colour, "width": 1.4},
        },
        hovertext=[
            f"<b>{plain(culture)}</b>, {plain(key)}<br>{dose}<br>{with_interval(estimate)}"
            for dose, estimate in zip(told, estimates, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def scale_effects(
    figure: go.Figure, tables: Sequence[pd.DataFrame], span: tuple[float, float] | None
) -> None:
    """Give all panels the same axis of effects, with a line at 0."""
    every = [
        Estimate(*map(float, cell))
        for table in tables
        for cell in zip(table["value"], table["low"], table["high"], strict=True)
    ]
    figure.update_yaxes(points_axis(span or limits(every)))
    figure.update_yaxes(zeroline=True, zerolinecolor=INK, zerolinewidth=1.2)


def share_axis(shares: Sequence[float]) -> dict[str, Any]:
    """Make an axis of shares that grow by equal factors."""
    low, high = np.log10(shares[0]), np.log10(shares[-1])
    room = 0.08 * (high - low) or 0.3
    marks = [share for place, share in enumerate(shares) if place in (0, len(shares) - 1)]
    if len(shares) > 2:
        marks.insert(1, shares[len(shares) // 2])
    return {
        "type": "log",
        "range": [low - room, high + room],
        "tickvals": marks,
        "ticktext": [f"{100 * share:.2g}%" for share in marks],
        "showgrid": True,
        "gridcolor": FAINT,
    }


def strength_axis(strengths: Sequence[float]) -> dict[str, Any]:
    """Make an axis of strengths, with 0 in it."""
    low, high = min(0.0, strengths[0]), max(0.0, strengths[-1])
    room = 0.08 * (high - low)
    return {"range": [low - room, high + room], "showgrid": True, "gridcolor": FAINT}


__all__ = ["dose_chart"]
