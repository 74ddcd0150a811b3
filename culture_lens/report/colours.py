"""The colours of figures on a dark page, and ink that is read on every cell of a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from culture_lens.plots import style

DARK_PAPER = "#1d2026"
DARK_LOSS_TO_GAIN = ["#f4745e", "#d2553f", "#9c3f30", "#5f312b", "#2a2d33"]
DARK_LOSS_TO_GAIN += ["#263f57", "#2b5d8a", "#3b82bd", "#6bb0ee"]
DARK_AMOUNT = ["#22262d", "#1f3347", "#21425f", "#245a86", "#2a72ab", "#3f8fcb", "#6db1e3"]
DARK_AMOUNT += ["#b4dcf7"]
DARK: dict[str, str] = {
    style.INK: "#e6e8ec",
    style.MUTED: "#a9b0bc",
    style.FAINT: "#343943",
    style.PAPER: DARK_PAPER,
    style.EMPTY: "#2a2e36",
    style.BAND: "#23272e",
    style.FOUND_COLOUR: "#ff8a5c",
    style.RANDOM_COLOUR: "#9aa1ad",
    "#0072b2": "#4fa8e0",
    **dict(zip(style.LOSS_TO_GAIN, DARK_LOSS_TO_GAIN, strict=True)),
    **dict(zip(style.AMOUNT, DARK_AMOUNT, strict=True)),
}
"""Colour of a figure -> the colour in its place on a dark page."""
BLACK, WHITE = "#000000", "#ffffff"
"""The only two inks of which one has a contrast of 4.5:1 or more on every colour."""


def luminance(colour: str) -> float:
    """Give the relative luminance of a colour, as WCAG 2.2 defines it.

    Example:
        >>> luminance("#ffffff"), luminance("#000000")
        (1.0, 0.0)
    """
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return round(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2], 6)


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours, from 1 to 21, as WCAG 2.2 defines it.

    Example:
        >>> contrast("#ffffff", "#000000")
        21.0
    """
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def ink_on(colour: str) -> str:
    """Choose black or white, whichever is read better on a colour.

    Example:
        >>> ink_on("#f7f7f7"), ink_on("#08306b")
        ('#000000', '#ffffff')
    """
    return max((BLACK, WHITE), key=lambda ink: contrast(ink, colour))


def on_scale(value: float, low: float, high: float, scale: Sequence[str]) -> str:
    """Give the colour of a value on a scale, between two of its colours as plotly draws it.

    Example:
        >>> on_scale(0.5, 0.0, 1.0, ["#000000", "#ffffff"])
        '#808080'
    """
    place = min(max((value - low) / (high - low), 0.0), 1.0) * (len(scale) - 1)
    first = min(int(place), len(scale) - 2)
    pair = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in scale[first : first + 2]])
    mixed = pair[0] + (place - first) * (pair[1] - pair[0])
    return "#" + "".join(f"{round(float(part)):02x}" for part in mixed)


def cell_text(trace: Any) -> dict[str, Any]:
    """Make the texts of a heat map's cells a trace of their own, in black or white.

    Plotly's own choice, white or dark grey, has a contrast down to 2.6:1. The inks for a dark page
    are in ``meta``.

    Args:
        trace: A heat map with a text in every cell; the texts are taken out of it.
    """
    values, scale = np.asarray(trace.z, dtype=float), [colour for _, colour in trace.colorscale]
    low, high = float(trace.zmin), float(trace.zmax)
    rows, columns = values.shape
    cells = [(i, j) for i in range(rows) for j in range(columns) if trace.text[i][j]]
    light, dark = [], []
    for i, j in cells:
        empty = np.isnan(values[i, j])
        colour = style.PAPER if empty else on_scale(values[i, j], low, high, scale)
        night = [DARK.get(c, c) for c in scale]
        at_night = DARK_PAPER if empty else on_scale(values[i, j], low, high, night)
        light.append(ink_on(colour))
        dark.append(ink_on(at_night))
    made = {
        "type": "scatter",
        "mode": "text",
        "x": [trace.x[j] for _, j in cells],
        "y": [trace.y[i] for i, _ in cells],
        "text": [trace.text[i][j] for i, j in cells],
        "textfont": {"size": trace.textfont.size, "family": trace.textfont.family, "color": light},
        "hoverinfo": "skip",
        "showlegend": False,
        "xaxis": trace.xaxis or "x",
        "yaxis": trace.yaxis or "y",
        "meta": {"dark": dark},
    }
    trace.update(text=None, texttemplate=None)
    return made
