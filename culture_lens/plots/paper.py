"""paper: a figure at the width of a printed column, with every word large enough to read.

Sizes are those of print: 96 pixels are an inch, so 8 pixels are 6 points, and only numbers in cells
are smaller, with 5 points at least. What does not fit is made to, in this order: lines are broken,
labels are turned, numbers of an axis are left out, and numbers in cells give way to their stars.
The data are not touched.
"""

from __future__ import annotations

import math

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, flag, instance, optional, real
from culture_lens.errors import InputError
from culture_lens.plots.fitting import (
    BAR_LENGTH,
    BODY,
    HEADING,
    LETTER,
    LINE,
    SMALL,
    axes,
    columns_of,
    fit_axes,
    fit_cells,
    has_bar,
    is_heading,
    tallest_rows,
    wide,
    wrapped,
)

FIGURE = instance(go.Figure, remedy="a figure, such as plots.layer_heatmap(found)")
"""The check of an argument that takes a figure."""
INCH = 96
"""Pixels."""
NARROWEST, WIDEST = 2.0, 20.0
BAR_HEIGHT = 24
"""Of a colour bar that lies over the cells, in pixels."""
SCREEN = 900
"""The width in pixels at which figures are looked at."""
LINES_BETWEEN = 2
"""Lines of a heading between two rows of panels."""
LOWEST = 0.45
"""Rows are at least this share of their height on a screen."""


@check_arguments(figure=FIGURE, width=real, height=optional(real), title=flag)
def paper(
    figure: go.Figure, width: float = 3.3, *, height: float | None = None, title: bool = False
) -> go.Figure:
    """Copy a figure for print, at a width in inches: 3.3 is a column, 7 a page of two.

    No letter is smaller than 6 points, and no number in a cell than 5. Where a cell has no room for
    its number, its star is kept; the numbers are in ``data(figure)``.

    Args:
        figure: A figure of this package; it is not changed.
        width: Width in inches, from 2 to 20.
        height: Height in inches; by default that of the rows.
        title: Keep title and subtitle; a paper has a caption instead.

    Raises:
        InputError: No figure, or a width or height outside 2 to 20 inches.

    Example:
        ``save(paper(layer_heatmap(found)), "layers.pdf")``
    """
    for name, inches in (("width", width), ("height", height)):
        if inches is not None and not NARROWEST <= inches <= WIDEST:
            raise InputError(f"{name}={inches}: give inches, from {NARROWEST:g} to {WIDEST:g}.")
    printed = go.Figure(figure)
    across = width * INCH
    inner = inner_height(figure) * min(1.0, max(LOWEST, across / SCREEN))
    shrink_letters(printed)
    shrink_marks(printed)
    fit_axes(printed, across, inner)
    inner = max(inner, tallest_rows(printed))
    fit_cells(printed, across)
    bar = BAR_HEIGHT if any(has_bar(trace) for trace in printed.data) else 0
    top = 6 + heading_lines(printed, across) + title_lines(printed, across, title) + bar
    bottom = 4 + axis_height(printed) + legend_below(printed, across)
    printed.update_layout(
        width=across,
        margin={"l": 4, "r": 6, "t": top, "b": bottom, "pad": 0},
        height=inner + top + bottom if height is None else height * INCH,
    )
    return printed


def inner_height(figure: go.Figure) -> float:
    """Give the height of a figure without its margins."""
    margin = figure.layout.margin
    around = (margin.t or 100) + (margin.b or 80)
    return float(max(80, (figure.layout.height or 450) - around))


def shrink_letters(figure: go.Figure) -> None:
    """Set every font to a size of print."""
    figure.update_layout(font_size=BODY, legend_font_size=SMALL, hoverlabel_font_size=BODY)
    for axis in axes(figure):
        axis.tickfont.size = SMALL
        axis.title.font.size = BODY
        axis.title.standoff = 4
    for note in figure.layout.annotations:
        note.font.size = SMALL
    for trace in figure.data:
        if getattr(trace, "textfont", None) is not None and trace.type == "scatter":
            trace.textfont.size = SMALL


def shrink_marks(figure: go.Figure) -> None:
    """Make marks and lines thinner, and lay colour bars over the cells."""
    for trace in figure.data:
        if has_bar(trace):
            words = (trace.colorbar.title.text or "").replace("<br>", " ").replace("&nbsp;", "")
            trace.colorbar.update(
                orientation="h",
                x=0,
                xanchor="left",
                y=1,
                yanchor="bottom",
                ypad=2 + 2 * SMALL * panelled(figure),
                xpad=0,
                thickness=6,
                lenmode="fraction",
                len=BAR_LENGTH,
                tickfont={"size": SMALL},
                title={"text": f" {words.strip()}", "side": "right", "font": {"size": SMALL}},
            )
            trace.update(xgap=0.5, ygap=0.5)
        if trace.type == "scatter":
            size = trace.marker.size
            if size is not None:
                several = not isinstance(size, (int, float))
                trace.marker.size = [0.6 * one for one in size] if several else 0.6 * size
            trace.marker.line.width = 0.8
            for bars in (trace.error_x, trace.error_y):
                if bars.thickness is not None:
                    bars.thickness = 0.8
    for shape in figure.layout.shapes:
        if shape.line.width:
            shape.line.width = 0.6 * shape.line.width


def panelled(figure: go.Figure) -> int:
    """Say whether panels have headings, which stand where the colour bar would."""
    return int(any(is_heading(note) for note in figure.layout.annotations))


def heading_lines(figure: go.Figure, across: float) -> float:
    """Break the headings of panels to their width, and give the height of the tallest."""
    most = 0
    panels, rows = columns_of(figure), rows_of(figure)
    for note in figure.layout.annotations:
        if is_heading(note):
            room = across * (0.72 if panels > 1 else 0.9) / panels
            note.text = wrapped(note.text, room)
            lines = note.text.split("<br>")
            if rows > 1 and len(lines) > LINES_BETWEEN:
                note.text = "<br>".join([*lines[: LINES_BETWEEN - 1], cut_off(lines, room)])
            note.yshift = 3
            most = max(most, note.text.count("<br>") + 1)
    return most * SMALL * LINE


def rows_of(figure: go.Figure) -> int:
    """Count the panels that stand below each other."""
    return len({round(axis.domain[0], 3) for axis in axes(figure, "y") if axis.domain}) or 1


def cut_off(lines: list[str], room: float) -> str:
    """Cut the last line that there is room for."""
    most = max(2, int(room / (LETTER * SMALL)) - 1)
    return lines[LINES_BETWEEN - 1][:most].rstrip(" .…") + "…"


def title_lines(figure: go.Figure, across: float, title: bool) -> float:
    """Take the title out, or break it over lines, and give its height."""
    if not title or not figure.layout.title.text:
        figure.layout.title = None
        return 0.0
    held = figure.layout.title
    held.text = wrapped(held.text, across - 12, HEADING)
    held.font.size = HEADING
    subtitle = (held.subtitle.text or "").replace("<br>", " ")
    held.subtitle.update(text=wrapped(subtitle, across - 12, SMALL), font_size=SMALL)
    held.pad = {"l": 4, "t": 4}
    lines = held.text.count("<br>") + 1, held.subtitle.text.count("<br>") + 1
    return float(LINE * (HEADING * lines[0] + SMALL * lines[1]) + 6)


def legend_below(figure: go.Figure, across: float) -> float:
    """Lay the legend below the axes, and give its height."""
    names = [
        trace.name
        for trace in figure.data
        if trace.type in ("scatter", "bar") and trace.name and trace.showlegend is not False
    ]
    if figure.layout.showlegend is False or len(names) < 2:
        figure.layout.showlegend = False
        return 0.0
    per_row = max(1, int(across / (max(wide(name) for name in names) + 40)))
    figure.update_layout(
        legend={
            **{"orientation": "h", "x": 0.5, "xanchor": "center", "y": 0, "yanchor": "bottom"},
            **{"yref": "container", "title": None, "itemsizing": "trace", "itemwidth": 30},
        }
    )
    return 1.9 * SMALL * math.ceil(len(names) / per_row) + 6


def axis_height(figure: go.Figure) -> float:
    """Give the height of the labels and the title below the lowest panels."""
    most = 0.0
    for axis in axes(figure, "x"):
        labels = [wide(text) for text in axis.ticktext or ()]
        shown = axis.visible is not False and axis.showticklabels is not False
        own = max(labels) if labels and axis.tickangle == -90 else LINE * SMALL
        lines = (axis.title.text or "").count("<br>") + 1 if axis.title.text else 0
        most = max(most, (own + 4 if shown else 0) + lines * LINE * BODY + 4 * bool(lines))
    return most


__all__ = ["paper"]
