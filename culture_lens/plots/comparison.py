"""Selectors side by side: effect against collateral damage, and where their neurons lie."""

from __future__ import annotations

import math

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.errors import InputError
from culture_lens.experiments.comparison.result import RANDOM, Comparison
from culture_lens.plots.style import (
    FAINT,
    INK,
    INTERVALS,
    MUTED,
    PAPER,
    RANDOM_COLOUR,
    about,
    clear,
    house,
    label,
    limits,
    percent,
    plain,
    points,
    ticks,
    with_interval,
)
from culture_lens.statistics.estimates import Estimate

# Okabe and Ito's colours: told apart with every kind of colour blindness.
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
SMALLEST, LARGEST = 7, 15
HEIGHT, LAYER_HEIGHT, MOST_PANELS = 620, 13, 7


def comparison_chart(comparison: Comparison) -> go.Figure:
    """Draw the change on own questions against that on others', a line per selector.

    A line goes through the shares, its marks growing with them. Below the dotted line a selector
    hits its own culture more than others; straight below 0, its own alone.

    Args:
        comparison: What ``compare_selectors`` gave.

    Raises:
        InputError: There is nothing in it.

    Example:
        ``comparison_chart(compare_selectors(model, questions)).show()``
    """
    check_filled(comparison)
    figure = go.Figure()
    every: dict[str, list[Estimate]] = {"self": [], "cross": []}
    for place, selector in enumerate(comparison.selectors):
        estimates = {
            metric: [comparison.estimate(selector, share, metric) for share in comparison.shares]
            for metric in ("self", "cross", "gap")
        }
        for metric, held in every.items():
            held += estimates[metric]
        figure.add_trace(line_of(comparison, selector, place, estimates))
    x, y = limits(every["cross"]), limits(every["self"])
    low, high = max(x[0], y[0]), min(x[1], y[1])
    line = {"color": MUTED, "width": 1.2, "dash": "dot"}
    figure.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line=line, layer="below")
    for add in (figure.add_hline, figure.add_vline):
        add(0, line={"color": INK, "width": 1.2}, layer="below")
    numbers = ", ".join(
        f"{percent(share, 2).rstrip('%').rstrip('0').rstrip('.')}% ({comparison.number(share)})"
        for share in comparison.shares
    )
    house(
        figure,
        "What selectors hit, and what else they hit",
        about(
            comparison.metadata,
            f"ablated for each culture, small to large marks: {numbers} neurons",
            INTERVALS,
            "filled: gap excludes 0",
            "dotted: others lose as much",
            selector="",
        ),
        1,
    )
    figure.update_xaxes(
        axis_of(x), title_text="cross: change on other cultures’ questions, percentage points"
    )
    figure.update_yaxes(axis_of(y), title_text="self: change on own questions, points")
    figure.update_layout(height=HEIGHT, legend={"title": {"text": "selector"}})
    return figure


def line_of(
    comparison: Comparison, selector: str, place: int, estimates: dict[str, list[Estimate]]
) -> go.Scatter:
    """Make one selector's line through the shares, with intervals both ways."""
    colour = colour_of(selector, place)
    own, cross, gaps = estimates["self"], estimates["cross"], estimates["gap"]
    steps = max(len(own) - 1, 1)
    return go.Scatter(
        x=[one.value for one in cross],
        y=[one.value for one in own],
        error_x=bars(cross, colour),
        error_y=bars(own, colour),
        mode="lines+markers",
        name=label(selector),
        line={"color": colour, "width": 1.6},
        marker={
            "size": [SMALLEST + (LARGEST - SMALLEST) * i / steps for i in range(len(own))],
            "symbol": SYMBOLS[place // len(COLOURS) % len(SYMBOLS)],
            "color": [colour if clear(gap) else PAPER for gap in gaps],
            "opacity": 1,  # marks of unlike size would be see-through
            "line": {"color": colour, "width": 1.6},
        },
        hovertext=[
            f"<b>{plain(selector)}</b>, {comparison.taken(selector, share):.0f} neurons<br>"
            f"self: {with_interval(s)}<br>cross: {with_interval(c)}<br>gap: {with_interval(g)}"
            for share, s, c, g in zip(comparison.shares, own, cross, gaps, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def colour_of(selector: str, place: int) -> str:
    """Give a selector's colour; random neurons are grey."""
    return RANDOM_COLOUR if selector == RANDOM else COLOURS[place % len(COLOURS)]


def axis_of(ends: tuple[float, float]) -> dict[str, object]:
    """Lay out an axis of changes."""
    marks = ticks(*ends)
    digits = 0 if all(abs(100 * mark - round(100 * mark)) < 1e-6 for mark in marks) else 1
    return {
        "range": list(ends),
        "tickvals": marks,
        "ticktext": [points(mark, digits) for mark in marks],
        "showgrid": True,
        "gridcolor": FAINT,
    }


def bars(estimates: list[Estimate], colour: str) -> dict[str, object]:
    """Lay out error bars; none where the interval is not known."""
    known = [not math.isnan(one.low + one.high) for one in estimates]
    pairs = list(zip(estimates, known, strict=True))
    return {
        "array": [e.high - e.value if k else 0 for e, k in pairs],
        "arrayminus": [e.value - e.low if k else 0 for e, k in pairs],
        "color": faded(colour),
        "thickness": 1.2,
        "width": 0,
    }


def faded(colour: str) -> str:
    """Give a colour half transparent.

    Example:
        >>> faded("#0072b2")
        'rgba(0, 114, 178, 0.45)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.45)"


def layer_profile_chart(comparison: Comparison, *, share: float | None = None) -> go.Figure:
    """Draw where every selector's neurons lie, side by side, the last layer on top.

    The dotted line is where neurons drawn evenly from all layers would be.

    Args:
        comparison: What ``compare_selectors`` gave.
        share: At which share; the largest where not given.

    Raises:
        InputError: There is nothing in it, or no such share.

    Example:
        ``layer_profile_chart(comparison, share=0.003).show()``
    """
    check_filled(comparison)
    at = comparison.shares[-1] if share is None else share
    profiles = comparison.layer_profiles(at)
    names, layers = list(profiles.index), list(profiles.columns)
    columns = min(len(names), MOST_PANELS)
    rows = math.ceil(len(names) / columns)
    figure = make_subplots(
        rows,
        columns,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.02,
        vertical_spacing=0.12,
        subplot_titles=[
            f"{label(name, 18)}<br>{comparison.taken(name, at):.0f} neurons" for name in names
        ],
    )
    even = 1 / len(layers)
    for place, name in enumerate(names):
        here = {"row": place // columns + 1, "col": place % columns + 1}
        shares = profiles.loc[name]
        figure.add_trace(
            go.Bar(
                x=shares.tolist(),
                y=layers,
                orientation="h",
                marker={"color": colour_of(name, place)},
                hovertext=[
                    f"<b>{plain(name)}</b>, layer {layer}<br>{percent(shares[layer], 1)} of its "
                    "neurons"
                    for layer in layers
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            ),
            **here,
        )
        figure.add_vline(even, line={"color": INK, "width": 1, "dash": "dot"}, **here)
    house(
        figure,
        "Where selectors’ neurons lie",
        about(
            comparison.metadata,
            f"{comparison.number(at)} neurons for each culture",
            "share of neurons per layer, mean over cultures",
            "dotted: spread evenly",
            selector="",
        ),
        1,
        showlegend=False,
        bargap=0.15,
    )
    figure.update_layout(
        height=figure.layout.margin.t + 150 + rows * max(220, LAYER_HEIGHT * len(layers)),
        margin_t=figure.layout.margin.t + 40,
    )
    figure.update_annotations(font={"size": 12, "color": INK})
    highest = float(max([even, *profiles.max().dropna()]))
    marks = ticks(0.0, highest, 3)
    figure.update_xaxes(
        range=[0, 1.08 * highest], tickvals=marks, ticktext=[percent(mark) for mark in marks]
    )
    every = next(step for step in (1, 2, 5, 10, 20, 50) if len(layers) / step <= 16)
    figure.update_yaxes(tick0=0, dtick=every, range=[-0.6, len(layers) - 0.4])
    figure.update_yaxes(title_text="layer (0 is the first)", col=1)
    return figure


def check_filled(comparison: Comparison) -> None:
    """Refuse a comparison without answers under ablated neurons."""
    if not comparison.selectors:
        raise InputError("this comparison is empty: make it with compare_selectors.")


__all__ = ["comparison_chart", "layer_profile_chart"]
