"""Letters of a printed figure made to fit: broken over lines, turned, thinned out or left out."""

from __future__ import annotations

import math
import re
from typing import Any

import plotly.graph_objects as go

from culture_lens.experiments.cell_tests import MARK

BODY, SMALL, HEADING = 9.3, 8.0, 12.0
"""Sizes of letters in pixels: 7, 6 and 9 points, as 96 pixels are an inch."""
LETTER, LINE = 0.54, 1.3
"""Width of a letter and height of a line, as shares of its size."""
BAR_LENGTH = 0.6
"""Of a colour bar, as a share of the cells' width."""
WIDEST_LABEL, PANEL_ROOM, BAR_ROOM = 0.42, 0.75, 0.45
"""Shares of the width that labels of rows, numbers below one of several panels, and numbers of a
colour bar take at most."""
GAP = 4.0
"""Between labels that stand beside each other, in pixels."""
LINES_OF_LABEL = 2
LEAST_CELL = 7.0
"""Numbers in cells are not smaller, in pixels: 5 points."""


def has_bar(trace: Any) -> bool:
    """Say whether a trace has a colour bar."""
    return trace.type == "heatmap" and trace.showscale is not False


def is_heading(note: Any) -> bool:
    """Say whether an annotation is the heading of a panel, not a label in it."""
    return str(note.yref) == "paper" or "domain" in str(note.yref)


def axes(figure: go.Figure, letter: str = "xy") -> list[Any]:
    """List the axes of a figure."""
    return [
        figure.layout[name]
        for name in figure.layout
        if name[0] in letter and name[1:].startswith("axis")
    ]


def wide(text: str, size: float = SMALL) -> float:
    """Give the width of the longest line of a text, in pixels.

    Example:
        >>> wide("ab<br>abcd", 10.0)
        21.6
    """
    lines = text.replace("<b>", "").replace("</b>", "").split("<br>")
    return LETTER * size * max(map(len, lines))


def wrapped(text: str, pixels: float, size: float = SMALL) -> str:
    """Break the lines of a text that are wider than so many pixels; words may break at ``_``.

    Example:
        >>> wrapped("culnig_specific", 50.0, 10.0)
        'culnig_<br>specific'
    """
    most = max(4, int(pixels / (LETTER * size)))
    lines: list[str] = []
    for line in text.split("<br>"):
        bold = line.startswith("<b>") and line.endswith("</b>")
        held = [""]
        for word in re.split(r"(?<=[ _])", line[3:-4] if bold else line):
            if held[-1] and len((held[-1] + word).rstrip()) > most:
                held.append("")
            held[-1] += word
        lines += [f"<b>{one.rstrip()}</b>" if bold else one.rstrip() for one in held]
    return "<br>".join(lines)


def short_label(text: str, pixels: float) -> str:
    """Break the label of a row over two lines at most, and cut what is longer.

    Example:
        >>> short_label("one two three four", 25.0)
        'one<br>two…'
    """
    lines = wrapped(text, pixels).split("<br>")
    cut = "…" if len(lines) > LINES_OF_LABEL else ""
    return "<br>".join(lines[:LINES_OF_LABEL]) + cut


def columns_of(figure: go.Figure) -> int:
    """Count the panels that stand beside each other."""
    starts = {round(axis.domain[0], 3) for axis in axes(figure, "x") if axis.domain}
    return len(starts) or 1


def panel_width(figure: go.Figure, axis: Any, across: float) -> float:
    """Estimate the width of a panel: what labels of rows leave, and its share of that."""
    names = [str(text) for y in axes(figure, "y") for text in y.ticktext or ()]
    room = across - 24 - max(map(wide, names), default=24.0)
    low, high = axis.domain or (0, 1)
    return max(20.0, room * float(high - low))


def fit_axes(figure: go.Figure, across: float, inner: float) -> None:
    """Break long labels, turn those that are wider than their columns, and thin out numbers."""
    for axis in axes(figure, "y"):
        if axis.title.text:
            axis.title.text = wrapped(axis.title.text, inner, BODY)
        if axis.ticktext:
            axis.ticktext = [short_label(text, WIDEST_LABEL * across) for text in axis.ticktext]
    panels = columns_of(figure)
    for axis in axes(figure, "x"):
        room = panel_width(figure, axis, across)
        if axis.title.text:
            wide_enough = room if panels == 1 else 0.8 * across
            axis.title.text = wrapped(axis.title.text, wide_enough, BODY)
        labels = list(axis.ticktext or ())
        if not labels:
            continue
        if axis.type == "category":
            if axis.tickangle == -90 or max(map(wide, labels)) + GAP > room / len(labels):
                axis.tickangle = -90
                axis.ticktext = [text.replace("<br>", "  ") for text in labels]
                # In panels too narrow for all names some are left out; rows have them in order.
                step = math.ceil(0.9 * SMALL * len(labels) / room)
                axis.tickvals, axis.ticktext = axis.tickvals[::step], axis.ticktext[::step]
        else:
            thin_out(axis, room if panels == 1 else PANEL_ROOM * room)


def thin_out(scale: Any, room: float) -> None:
    """Leave out labels of numbers, on an axis or a bar, until they fit; 0 stays."""
    values, labels = list(scale.tickvals), list(scale.ticktext)
    zero = values.index(0) if 0 in values else 0
    for step in (1, 2, 3, 4, 5, len(values)):
        kept = [i for i in range(len(values)) if (i - zero) % step == 0]
        if sum(wide(labels[i]) + 8 for i in kept) <= room:
            break
    scale.tickvals = [values[i] for i in kept]
    scale.ticktext = [labels[i] for i in kept]


def fit_cells(figure: go.Figure, across: float) -> None:
    """Write in cells what fits, the same in all panels: numbers, else their stars."""
    traces = [trace for trace in figure.data if trace.type == "heatmap"]
    size, written = SMALL, [trace for trace in traces if trace.text is not None]
    for trace in traces:
        axis = figure.layout[f"xaxis{(trace.xaxis or 'x')[1:]}"]
        room = panel_width(figure, axis, across)
        if has_bar(trace) and trace.colorbar.tickvals:
            low, high = axis.domain or (0, 1)
            thin_out(trace.colorbar, BAR_ROOM * room / (high - low))  # it lies over all panels
            trace.colorbar.tickangle = 0
        if trace.text is not None:
            longest = max((wide(text, 1.0) for row in trace.text for text in row), default=0.0)
            size = min(size, 0.95 * room / max(1, len(trace.x)) / max(longest, 0.1))
    stars_only = size < LEAST_CELL
    for trace in written:
        if stars_only:
            trace.text = [["<b>*</b>" if MARK in text else "" for text in r] for r in trace.text]
        trace.textfont.size = SMALL if stars_only else size
    if stars_only and written:
        figure.layout.annotations = [n for n in figure.layout.annotations if is_heading(n)]


def tallest_rows(figure: go.Figure) -> float:
    """Give the height that labels of rows need, where they take more than a line.

    Example:
        >>> axis = {"ticktext": ["one<br>two", "three"], "tickvals": [0, 1]}
        >>> tallest_rows(go.Figure(layout={"yaxis": axis}))
        41.6
    """
    needed = 0.0
    for axis in axes(figure, "y"):
        lines = max((text.count("<br>") + 1 for text in axis.ticktext or ()), default=1)
        if lines > 1:
            needed = max(needed, len(axis.ticktext) * lines * LINE * SMALL)
    return needed
