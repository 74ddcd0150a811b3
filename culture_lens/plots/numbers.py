"""data: the numbers behind a figure, as a table."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from culture_lens.checks import check_arguments
from culture_lens.plots.paper import FIGURE

if TYPE_CHECKING:
    import pandas as pd

TAGS = re.compile(r"<[^>]+>")
ENDS = ("x_low", "x_high", "y_low", "y_high")


@check_arguments(figure=FIGURE)
def data(figure: go.Figure) -> pd.DataFrame:
    """Give the numbers that a figure draws, one row per cell, mark or bar.

    Shares are between 0 and 1, whatever the labels of the figure say.

    Args:
        figure: A figure of this package, before or after ``paper``.

    Returns:
        Columns ``panel`` (where there are several) and ``series``; ``x`` and ``y`` with ``x_low``,
        ``x_high``, ``y_low`` and ``y_high``, the ends of intervals, or of the range over cultures
        where a figure draws that; ``value`` of the cells of a
        heat map, NaN where there is none; ``label``, the name of what a mark stands for, where it
        has one. Columns without anything are left out.

    Raises:
        InputError: No figure.

    Example:
        ``data(ablation_heatmap(matrix)).pivot(index="y", columns="x", values="value")``
    """
    import pandas as pd

    several = len({trace.xaxis for trace in figure.data if "xaxis" in trace}) > 1
    rows: list[dict[str, Any]] = []
    for trace in figure.data:
        if trace.hoverinfo == "skip":
            continue  # lines of a tree and other guides
        shared = {"panel": panel_of(trace) if several else None, "series": words(trace.name)}
        make = cells if trace.type == "heatmap" else marks
        rows += [{**shared, **row} for row in make(trace)]
    columns = ["panel", "series", "label", "x", "y", *ENDS, "value"]
    return pd.DataFrame(rows, columns=columns).dropna(axis="columns", how="all")


def panel_of(trace: Any) -> str:
    """Give the name of a trace's panel, or the number of its axis."""
    held = trace.meta or {}
    return str(held.get("panel", (trace.xaxis or "x")[1:] or "1"))


def words(text: Any) -> str | None:
    """Write a label as text, without tags and entities.

    Example:
        >>> words("<b>top</b> &amp; all")
        'top & all'
    """
    return None if text is None else html.unescape(TAGS.sub("", str(text)))


def cells(trace: Any) -> Iterator[dict[str, Any]]:
    """Give the cells of a heat map."""
    for y, row in zip(trace.y, trace.z, strict=True):
        for x, value in zip(trace.x, row, strict=True):
            yield {"x": x, "y": y, "value": math.nan if value is None else float(value)}


def marks(trace: Any) -> Iterator[dict[str, Any]]:
    """Give the marks of a scatter or the bars of a bar chart."""
    labels = trace.customdata if trace.customdata is not None else [None] * len(trace.x)
    meta = trace.meta or {}
    bars = (None, None) if meta.get("interval") is False else (trace.error_x, trace.error_y)
    values = meta.get("y", trace.y)  # counts, where an axis of factors cannot show 0
    ends = [*bounds(trace.x, bars[0]), *bounds(trace.y, bars[1])]
    for place, (x, y, label) in enumerate(zip(trace.x, values, labels, strict=True)):
        if x is None and y is None:
            continue  # the entry of a legend
        held = {name: values[place] for name, values in zip(ENDS, ends, strict=True)}
        yield {"x": x, "y": y, "label": words(label), **held}


def bounds(values: Sequence[Any], bars: Any) -> tuple[list[float], list[float]]:
    """Give the ends of intervals; NaN where a mark has none."""
    if bars is None or bars.array is None:
        nothing = [math.nan] * len(values)
        return nothing, nothing
    known = [over + under > 0 for over, under in zip(bars.array, bars.arrayminus, strict=True)]
    rows = list(zip(values, bars.arrayminus, bars.array, known, strict=True))
    low = [value - under if is_known else math.nan for value, under, _, is_known in rows]
    return low, [value + over if is_known else math.nan for value, _, over, is_known in rows]


__all__ = ["data"]
