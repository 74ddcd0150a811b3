"""The style of all figures: colours, labels, numbers, and one layout."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from culture_lens.statistics.estimates import CONFIDENCE_LEVEL, Estimate

# ColorBrewer RdBu and Blues: both are told apart with every kind of colour blindness.
LOSS_TO_GAIN = ["#b2182b", "#d6604d", "#f4a582", "#fddbc7", "#f7f7f7"]
LOSS_TO_GAIN += ["#d1e5f0", "#92c5de", "#4393c3", "#2166ac"]
AMOUNT = ["#f7f9fb", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08306b"]
FOUND_COLOUR, RANDOM_COLOUR = "#c1440e", "#7a7f87"
INK, MUTED, FAINT, PAPER, EMPTY = "#1f2430", "#5b6270", "#e3e6ea", "#ffffff", "#d3d7de"
HATCH = "#9aa1ac"
"""Lines over cells without a value, which are of the colour EMPTY."""
BAND = "#f4f5f7"
"""Every second row of a chart."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FIGURE_HEIGHT, ROW_HEIGHT, TALL_ROW, AROUND = 600, 22, 46, 230
UPLOADS = ["sendChartToCloud", "sendDataToCloud", "editInChartStudio"]
"""Buttons of plotly that upload a figure. Taken out in the figure, they are nowhere it is shown."""
SUBTITLE_WIDTH, LONGEST_LABEL, LONGEST_TURNED = 128, 24, 18
INTERVALS = f"{CONFIDENCE_LEVEL:.0%} intervals, clustered by question group"
MINUS, DASH = "\u2212", "\u2013"


def plain(text: object) -> str:
    """Escape a text, because plotly reads tags in labels.

    Example:
        >>> plain("<b>")
        '&lt;b&gt;'
    """
    return html.escape(" ".join(str(text).split()), quote=False)


def label(name: object, most: int = LONGEST_LABEL) -> str:
    """Write a name as an axis label: escaped, and cut where it is too long.

    Example:
        >>> label("a very long name indeed", 10)
        'a very lo…'
    """
    text = " ".join(str(name).split())
    return plain(text if len(text) <= most else text[: most - 1].rstrip() + "…")


def points(share: float, digits: int = 1) -> str:
    """Write a difference of two shares as signed percentage points, with a proper minus.

    Example:
        >>> points(0.2), points(-0.0001)
        ('+20.0', '0.0')
    """
    if math.isnan(share):
        return DASH
    value = round(100 * share, digits)
    text = f"{value:+.{digits}f}" if value else f"{0:.{digits}f}"
    return text.replace("-", MINUS)


def percent(share: float, digits: int = 0) -> str:
    """Write a share in per cent.

    Example:
        >>> percent(0.25)
        '25%'
    """
    return DASH if math.isnan(share) else f"{100 * share:.{digits}f}%"


def with_interval(estimate: Estimate, *, signed: bool = True) -> str:
    """Write an estimate and its interval, in signed points or in per cent.

    Example:
        >>> with_interval(Estimate(0.5, 0.4, 0.6), signed=False)
        '50.0% [40.0%, 60.0%]'
    """
    write = points if signed else lambda share: percent(share, 1)
    if math.isnan(estimate.low + estimate.high):
        return f"{write(estimate.value)} [no interval]"
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"


def clear(estimate: Estimate, value: float = 0.0) -> bool:
    """Say whether an estimate has an interval, and the interval excludes a value.

    Example:
        >>> clear(Estimate(0.5, 0.4, 0.6)), clear(Estimate(0.5, math.nan, math.nan))
        (True, False)
    """
    return not math.isnan(estimate.low + estimate.high) and estimate.excludes(value)


def about(metadata: Mapping[str, Any], *more: str, selector: str | None = None) -> str:
    """Write what a figure shows in one line: model, benchmark, selector, items, and more.

    Example:
        >>> about({"model": "org/m", "selector": "lape", "items": 40})
        'm · benchmark not recorded · lape · 40 items'
    """
    model = str(metadata.get("model") or "model not recorded").rstrip("/").rsplit("/", 1)[-1]
    chosen = str(metadata.get("selector") or "selector not recorded")
    items = metadata.get("items")
    if isinstance(items, Mapping):  # per culture
        items = sum(items.values())
    parts = [
        model,
        str(metadata.get("benchmark") or "benchmark not recorded"),
        chosen if selector is None else selector,
        "items not recorded" if items is None else f"{items} items",
        *more,
    ]
    return " · ".join(part for part in parts if part)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Give round numbers between two shares, with zero where it lies between them.

    Example:
        >>> ticks(-0.1, 0.2, 3)
        [-0.1, 0.0, 0.1, 0.2]
    """
    span = max(high - low, 1e-6)
    size = 10.0 ** math.floor(math.log10(span / most))
    step = next(size * m for m in (1, 2, 5, 10, 20) if span / (size * m) <= most + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def limits(
    estimates: Iterable[Estimate],
    most: tuple[float, float] | None = None,
    *,
    room: float = 0.06,
    least: float = 0.05,
) -> tuple[float, float]:
    """Give a range that holds every interval and 0, with some room at both ends.

    Args:
        estimates: What is drawn.
        most: Where intervals are cut off, such as shares at 0 and 1.
        room: The room at each end, as a share of the range.
        least: The room where all estimates are 0.

    Example:
        >>> limits([Estimate(0.5, 0.0, 1.0)])
        (-0.06, 1.06)
    """
    ends = [end for e in estimates for end in (e.low, e.high, e.value) if not math.isnan(end)]
    if most is not None:
        ends = [min(max(end, most[0]), most[1]) for end in ends]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    beyond = room * (high - low) or least
    return low - beyond, high + beyond


def font_size(number: int, largest: int = 13, smallest: int = 7) -> int:
    """Give a font size at which so many labels fit below each other in a figure 600 high.

    Example:
        >>> font_size(8), font_size(30)
        (13, 10)
    """
    return max(smallest, min(largest, int(320 / max(number, 1))))


def name_axis(names: Sequence[str], labels: Sequence[str] | None = None) -> dict[str, Any]:
    """Give the layout of an axis of names, each with a label."""
    return {
        "type": "category",
        "tickmode": "array",
        "tickvals": list(names),
        "ticktext": list(labels) if labels is not None else [label(name) for name in names],
        "tickfont": {"size": font_size(len(names))},
    }


def across(names: Sequence[str], below: Sequence[str] | None = None) -> dict[str, Any]:
    """Give the layout of a horizontal axis of names, turned where they are many or long.

    Args:
        names: The names.
        below: A short text below or after each name.
    """
    labels = [label(name) for name in names]
    if below is None:
        below = [""] * len(labels)
    level = len(labels) * max(len(text) for text in labels) <= 90
    if not level:
        labels = [label(name, LONGEST_TURNED) for name in names]
    gap = "<br>" if level else "  "
    texts = [f"{a}{gap}{b}" if b else a for a, b in zip(labels, below, strict=True)]
    return {**name_axis(names, texts), "tickangle": 0 if level else -90}


def styled(figure: go.Figure, title: str, subtitle: str, rows: int, **layout: Any) -> go.Figure:
    """Give a figure its title, fonts, margins and height.

    Args:
        figure: The figure; it is changed and returned.
        title: One line.
        subtitle: What it shows; a long subtitle is broken over lines.
        rows: The number of rows of names, which sets the height.
        **layout: Further layout of plotly.
    """
    lines = textwrap.wrap(subtitle, SUBTITLE_WIDTH) or [""]
    figure.update_layout(
        template=go.layout.Template(),
        title={
            "text": plain(title),
            "font": {"size": 19, "color": INK},
            "subtitle": {
                "text": "<br>".join(plain(line) for line in lines),
                "font": {"size": 12, "color": MUTED},
            },
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 22, "t": 18},
        },
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        margin={"l": 70, "r": 24, "t": 72 + 16 * len(lines), "b": 60},
        height=AROUND + max(ROW_HEIGHT * rows, min(TALL_ROW * rows, FIGURE_HEIGHT - AROUND)),
        hoverlabel={"align": "left", "font": {"family": FONT, "size": 13}},
        modebar={"remove": UPLOADS},
    )
    axis = {
        "automargin": True,
        "showgrid": False,
        "zeroline": False,
        "ticks": "",
        "title": {"font": {"size": 13, "color": MUTED}, "standoff": 12},
    }
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)
    return figure.update_layout(**layout)
