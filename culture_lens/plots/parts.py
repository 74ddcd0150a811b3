"""Parts that several figures have: error bars, axes, headings, bands, legends."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go

from culture_lens.plots.style import BAND, FAINT, PAPER, clear, points, ticks
from culture_lens.statistics.estimates import Estimate

LEGEND_BELOW = {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yref": "container"}
HEADING_LINES = 44
"""Height of a heading of two lines over a panel."""


def error_bars(
    estimates: Iterable[Estimate], colour: str, thickness: float = 1.3
) -> dict[str, object]:
    """Give plotly's error bars of some intervals; none where an interval is not known.

    Example:
        >>> bars = error_bars([Estimate(0.5, 0.25, 1.0), Estimate(0.5, math.nan, math.nan)], "red")
        >>> bars["array"], bars["arrayminus"]
        ([0.5, 0], [0.25, 0])
    """
    pairs = [(estimate, not math.isnan(estimate.low + estimate.high)) for estimate in estimates]
    return {
        "array": [estimate.high - estimate.value if known else 0 for estimate, known in pairs],
        "arrayminus": [estimate.value - estimate.low if known else 0 for estimate, known in pairs],
        "color": colour,
        "thickness": thickness,
        "width": 0,
    }


def filled(colours: Sequence[str], estimates: Iterable[Estimate]) -> list[str]:
    """Give the colour inside each marker: its own where the interval excludes 0, else white."""
    pairs = zip(colours, estimates, strict=True)
    return [colour if clear(estimate) else PAPER for colour, estimate in pairs]


def points_axis(ends: tuple[float, float]) -> dict[str, Any]:
    """Give the layout of an axis of changes in percentage points."""
    marks = ticks(*ends)
    digits = 0 if all(abs(100 * mark - round(100 * mark)) < 1e-6 for mark in marks) else 1
    return {
        "range": list(ends),
        "tickvals": marks,
        "ticktext": [points(mark, digits) for mark in marks],
        "showgrid": True,
        "gridcolor": FAINT,
    }


def layer_step(layers: int) -> int:
    """Give the distance of labelled layers at which at most about sixteen are labelled.

    Example:
        >>> layer_step(12), layer_step(32)
        (1, 2)
    """
    return next(step for step in (1, 2, 5, 10, 20, 50) if layers / step <= 16)


def add_heading(figure: go.Figure, column: int, text: str, **layout: Any) -> None:
    """Write a heading over a panel of a figure with one row of panels."""
    axis = "" if column == 1 else str(column)
    known = {"yshift": 6, "showarrow": False, "text": text, "font": {"size": 12}, **layout}
    figure.add_annotation(
        xref=f"x{axis} domain", yref="paper", x=0.5, y=1, yanchor="bottom", **known
    )


def add_bands(figure: go.Figure, rows: int, **panel: int) -> None:
    """Shade every second row of a panel."""
    for row in range(0, rows, 2):
        band = {"fillcolor": BAND, "line_width": 0, "layer": "below"}
        figure.add_hrect(row - 0.5, row + 0.5, **band, **panel)


def legend_key(name: str, marker: dict[str, Any], group: str | None = None) -> go.Scatter:
    """Make an entry of the legend: a trace without data, with a filled marker."""
    return go.Scatter(
        x=[None], y=[None], mode="markers", name=name, legendgroup=group, marker=marker
    )
