"""Heat maps: the trace of a table, its cells in words, and outlined cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from culture_lens.checks import finite, optional
from culture_lens.errors import InputError
from culture_lens.experiments.cell_tests import MARK
from culture_lens.plots.style import (
    AMOUNT,
    EMPTY,
    FONT,
    HATCH,
    INK,
    LOSS_TO_GAIN,
    MUTED,
    clear,
    label,
    percent,
    plain,
    points,
    ticks,
    with_interval,
)
from culture_lens.selectors.culnig_general import GENERAL
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

Span = tuple[float, float]
"""The ends of a scale."""
Panel = Mapping[str, int]
"""``row`` and ``col`` of a panel."""
ALONE: Panel = {}
"""The panel of a figure that has one only."""
MOST_DIGITS = 5
LEAST_ROWS = 3
"""Rows that a figure has room for at least: one row alone leaves none for the axis titles."""
SMALLEST_CHANGE = 0.05
"""The colour scale reaches at least this far."""
SMALLEST_P_CHANGE = 1e-5
"""The same for changes of probability, which may be much smaller."""
BOLD = "bold: interval excludes 0"
OUTLINED = "outlined: own neurons, own questions"


def value_range(name: str, value: Any) -> Span:
    """Check for two finite numbers, the smaller first.

    Example:
        >>> value_range("range", (0, 0.5))
        (0.0, 0.5)
    """
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or len(value) != 2:
        raise InputError(f"{name}: give two numbers, the ends of the scale, such as (0, 0.5).")
    low, high = (float(finite(f"{name}[{place}]", end)) for place, end in enumerate(value))
    if low >= high:
        raise InputError(f"{name}=({low:g}, {high:g}): give the smaller end first.")
    return low, high


RANGE = optional(value_range)
"""The check of an argument that fixes a scale."""


def cell_map(
    table: pd.DataFrame,
    text: Sequence[Sequence[str]],
    hover: Sequence[Sequence[str]],
    largest: float,
    *,
    signed: bool,
    unit: str = "points",
    span: Span | None = None,
) -> go.Heatmap:
    """Make the trace of changes (in points) or shares (in per cent), with a text in every cell.

    Changes in another unit are written as they are. The scale ends at ``span``, else at
    ``largest``.
    """
    trace = heatmap(
        table,
        hover,
        LOSS_TO_GAIN if signed else AMOUNT,
        span or ((-largest, largest) if signed else (0.0, largest)),
        unit if signed else "per cent",
        signed=signed,
        plain_ticks=unit != "points",
    )
    font = cell_font(len(table.columns))
    return trace.update(text=[list(row) for row in text], texttemplate="%{text}", textfont=font)


def check_symmetric(span: Span | None) -> Span | None:
    """Refuse a scale of changes whose middle, the colour of no change, is not 0.

    Raises:
        InputError: It is not.

    Example:
        >>> check_symmetric((-0.2, 0.2))
        (-0.2, 0.2)
    """
    if span is not None and not math.isclose(span[0], -span[1]):
        raise InputError(
            f"range=({span[0]:g}, {span[1]:g}): changes have a colour for no change in the middle, "
            f"so give ends such as ({-span[1]:g}, {span[1]:g})."
        )
    return span


def hatch(figure: go.Figure, table: pd.DataFrame, panel: Panel = ALONE) -> None:
    """Hatch the cells without a value, so that none looks like 0.

    Args:
        figure: The figure.
        table: What its heat map, or that of one panel, shows.
        panel: The panel.
    """
    empty = np.argwhere(table.isna().to_numpy())
    if not len(empty):
        return
    squares, lines = [], []
    for row, column in empty.tolist():
        left, right, top, bottom = column - 0.5, column + 0.5, row - 0.5, row + 0.5
        squares.append(f"M{left},{top}L{right},{top}L{right},{bottom}L{left},{bottom}Z")
        if table.index[row] == table.columns[column]:
            continue  # the diagonal has no value by its meaning, not for lack of one: plain grey
        lines += [f"M{left},{row}L{column},{top}", f"M{left},{bottom}L{right},{top}"]
        lines += [f"M{column},{bottom}L{right},{row}"]
    here = {"type": "path", "layer": "below", **panel}
    figure.add_shape(path="".join(squares), fillcolor=EMPTY, line={"width": 0}, **here)
    if lines:
        figure.add_shape(path="".join(lines), line={"color": HATCH, "width": 1}, **here)


def largest_of(table: pd.DataFrame, least: float = SMALLEST_CHANGE) -> float:
    """Give the largest absolute value of a table, or ``least`` where all are smaller."""
    return max(float(np.nanmax(np.abs(table.to_numpy()), initial=0)), least)


def heatmap(
    table: pd.DataFrame,
    hover: Sequence[Sequence[str]],
    colours: Sequence[str],
    limits: tuple[float, float],
    unit: str,
    *,
    signed: bool = False,
    plain_ticks: bool = False,
) -> go.Heatmap:
    """Make the trace of a table: values, hover texts, and a colour bar with round numbers."""
    marks = ticks(*limits)
    if plain_ticks:
        words = [f"{mark:g}" for mark in marks]
    else:
        digits = tick_digits(marks)
        words = [points(m, digits) if signed else percent(m, digits) for m in marks]
    return go.Heatmap(
        z=table.to_numpy(),
        x=list(table.columns),
        y=list(table.index),
        hovertext=[list(row) for row in hover],
        hovertemplate="%{hovertext}<extra></extra>",
        colorscale=list(colours),
        zmin=limits[0],
        zmax=limits[1],
        xgap=1,
        ygap=1,
        colorbar={
            "title": {"text": f"{unit}<br>&nbsp;", "font": {"size": 12, "color": MUTED}},
            "tickvals": marks,
            "ticktext": words,
            "tickfont": {"size": 12},
            "thickness": 12,
            "outlinewidth": 0,
        },
    )


def outline(
    figure: go.Figure, rows: Sequence[str], columns: Sequence[str], panel: Panel = ALONE
) -> None:
    """Outline the cells whose row and column are the same culture, in one panel of several."""
    for i, j in product(range(len(rows)), range(len(columns))):
        if rows[i] == columns[j]:
            figure.add_shape(
                type="rect",
                x0=j - 0.5,
                x1=j + 0.5,
                y0=i - 0.5,
                y1=i + 0.5,
                line={"color": INK, "width": 1.5},
                **panel,
            )


def tick_digits(marks: Sequence[float]) -> int:
    """Give the decimals that percentage points need on an axis with these marks.

    Example:
        >>> tick_digits([0.0, 0.05]), tick_digits([0.0, 0.005]), tick_digits([0.0, 0.000002])
        (0, 1, 4)
    """
    if len(marks) < 2:
        return 1
    return max(0, -math.floor(math.log10(100 * (marks[1] - marks[0])) + 1e-9))


def telling_digits(share: float) -> int:
    """Give the decimals at which a share in points has two significant digits, at most five.

    Example:
        >>> telling_digits(0.123), telling_digits(0.0123), telling_digits(0.0000012)
        (0, 1, 5)
    """
    if not share or math.isnan(share):
        return 1
    return min(MOST_DIGITS, max(0, 1 - math.floor(math.log10(100 * abs(share)))))


def marked(text: str, estimate: Estimate | None, star: bool = False) -> str:
    """Write the text of a cell: bold where its interval excludes 0, with a star where a test says.

    Example:
        >>> marked("+5.0", Estimate(0.05, 0.01, 0.09)), marked("+5.0", Estimate(0.05, -0.1, 0.2))
        ('<b>+5.0</b>', '+5.0')
        >>> marked("+5.0", Estimate(0.05, 0.01, 0.09), star=True)
        '<b>+5.0*</b>'
    """
    told = f"{text}{MARK}" if text and star else text
    return f"<b>{told}</b>" if text and estimate is not None and clear(estimate) else told


def whose_cell(mask: str, culture: str, verb: str = "ablated", note: str = "") -> str:
    """Write whose neurons were ablated and whose questions were asked, for the hover of a cell."""
    return (
        f"neurons of <b>{plain(mask)}</b>{note} {verb}<br>questions about <b>{plain(culture)}</b>"
    )


def estimate_text(estimate: Estimate, what: str) -> str:
    """Write a cell with its interval; small changes of probability with more decimals."""
    if what != "p_change":
        return with_interval(estimate, signed=what == "change")
    digits = max(1, telling_digits(estimate.value))
    value, low, high = (points(x, digits) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def cell_font(columns: int) -> dict[str, Any]:
    """Give the font of values in cells that fits a figure 900 wide."""
    return {"size": max(5.5, min(13.0, 225 / columns)), "family": FONT}


def whose(masks: Sequence[str]) -> str:
    """Write whose neurons a figure shows.

    Example:
        >>> whose(["Iran", "Japan"]), whose(["Japan"]), whose(["general"])
        ('each culture’s', 'Japan’s', 'culture-general')
    """
    if list(masks) == [GENERAL]:
        return "culture-general"
    return f"{label(masks[0])}’s" if len(masks) == 1 else "each culture’s"
