"""Small pictures of results as inline SVG, for notebooks: intervals, and shares of layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

MOST_BARS = 12
"""Rows of a picture of intervals."""
ROW, LABEL, ROOM = 18, 150, 320
"""Height of a row, width of its label, and width of what is drawn, in pixels."""
BAR, HEIGHT = 10, 60
"""Width of a layer's bar, and height of the highest one, in pixels."""
INK = "#2166ac"


def drawn(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    """Put parts of a picture into an SVG with a title that readers of the screen say."""
    said = escape(title)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-label='{said}' "
        f"width='{width}' height='{height}' font-family='sans-serif' font-size='11' "
        f"fill='currentColor'><title>{said}</title>{''.join(parts)}</svg>"
    )


def interval_bars(
    title: str,
    labels: Sequence[str],
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
) -> str:
    """Draw a value with its interval in each row, and a line at 0.

    Example:
        >>> interval_bars("gap", ["Japan"], [0.5], [0.4], [0.6]).count("<circle")
        1
    """
    ends = [end for end in (*values, *lows, *highs, 0.0) if math.isfinite(end)]
    low, width = min(ends), (max(ends) - min(ends)) or 1.0

    def at(value: float) -> float:
        return LABEL + 6 + (ROOM - 12) * (value - low) / width

    height = ROW * len(labels)
    parts = [
        f"<line x1='{at(0.0):.1f}' x2='{at(0.0):.1f}' y1='0' y2='{height}' stroke='#999' "
        "stroke-dasharray='2 2'/>"
    ]
    for row, (label, value, *held) in enumerate(zip(labels, values, lows, highs, strict=True)):
        y = ROW * (row + 0.5)
        short = label if len(label) <= 22 else label[:21] + "…"
        parts.append(
            f"<text x='{LABEL - 4}' y='{y + 4:.1f}' text-anchor='end'>{escape(short)}</text>"
        )
        if all(map(math.isfinite, held)):
            x1, x2 = map(at, held)
            parts.append(
                f"<line x1='{x1:.1f}' x2='{x2:.1f}' y1='{y}' y2='{y}' stroke='{INK}' "
                "stroke-width='2'/>"
            )
        if math.isfinite(value):
            parts.append(f"<circle cx='{at(value):.1f}' cy='{y}' r='3.5' fill='{INK}'/>")
    told = f"{title} with its interval, from {low:.3g} to {low + width:.3g}"
    parts.append(f"<text x='{LABEL}' y='{height + 12}'>{escape(told)}</text>")
    return drawn(told, LABEL + ROOM, height + 18, parts)


def layer_bars(shares: Sequence[float]) -> str:
    """Draw the share of each layer as a bar, the first layer on the left.

    Example:
        >>> layer_bars([0.25, 0.75]).count("<rect")
        2
    """
    most = max(shares, default=0.0) or 1.0
    parts = [
        f"<rect x='{BAR * layer}' y='{HEIGHT * (1 - share / most):.1f}' width='{BAR - 2}' "
        f"height='{HEIGHT * share / most:.1f}' fill='{INK}'><title>layer {layer}: {share:.1%}"
        "</title></rect>"
        for layer, share in enumerate(shares)
    ]
    last = len(shares) - 1
    parts.append(f"<text x='0' y='{HEIGHT + 14}'>layer 0 to {last}, up to {most:.1%}</text>")
    peak = max(range(len(shares)), key=lambda layer: shares[layer], default=0)
    told = f"share of the neurons in each layer, most in layer {peak}"
    return drawn(told, max(BAR * len(shares), 160), HEIGHT + 20, parts)
