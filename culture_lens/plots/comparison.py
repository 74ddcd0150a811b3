"""Selectors compared: effect on own against other cultures, and the layers of their neurons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import check_arguments, instance, optional, real
from culture_lens.errors import InputError
from culture_lens.experiments.comparison.result import Comparison
from culture_lens.experiments.conditions import RANDOM
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.parts import error_bars, filled, layer_step, points_axis
from culture_lens.plots.style import (
    INK,
    INTERVALS,
    MUTED,
    RANDOM_COLOUR,
    about,
    label,
    limits,
    percent,
    plain,
    styled,
    ticks,
    with_interval,
)
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

# Okabe and Ito's colours, which can be told apart with every kind of colour blindness.
SELECTOR_COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
SMALLEST_MARK, LARGEST_MARK = 7, 15
COMPARISON_HEIGHT, LAYER_HEIGHT, MOST_PANELS = 620, 13, 7


COMPARISON = instance(Comparison, remedy="the Comparison that compare_selectors gives")


@check_arguments(comparison=COMPARISON, range=RANGE)
def comparison_chart(
    comparison: Comparison, *, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw the change on own questions against the change on others', a line per selector.

    Each line goes through the shares, with larger marks for larger shares. Below the dotted line a
    culture's neurons change its own accuracy more than others'; directly below 0, only its own.

    Args:
        comparison: The result of ``compare_selectors``.
        range: The ends of both axes, to compare figures; by default they hold every interval.

    Raises:
        InputError: The comparison is empty.

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
    x, y = range or limits(every["cross"]), range or limits(every["self"])
    low, high = max(x[0], y[0]), min(x[1], y[1])
    line = {"color": MUTED, "width": 1.2, "dash": "dot"}
    figure.add_shape(type="line", x0=low, y0=low, x1=high, y1=high, line=line, layer="below")
    for add in (figure.add_hline, figure.add_vline):
        add(0, line={"color": INK, "width": 1.2}, layer="below")
    numbers = ", ".join(
        f"{percent(share, 2).rstrip('%').rstrip('0').rstrip('.')}% ({comparison.number(share)})"
        for share in comparison.shares
    )
    styled(
        figure,
        "Change on a culture’s own questions, and on others’",
        about(
            comparison.metadata,
            f"ablated for each culture, small to large marks: {numbers} neurons",
            INTERVALS,
            "filled: gap excludes 0",
            "dotted: the same change on both",
            selector="",
        ),
        1,
    )
    figure.update_xaxes(
        points_axis(x), title_text="cross: change on other cultures’ questions, percentage points"
    )
    figure.update_yaxes(points_axis(y), title_text="self: change on own questions, points")
    figure.update_layout(height=COMPARISON_HEIGHT, legend={"title": {"text": "selector"}})
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
        error_x=error_bars(cross, faded(colour), 1.2),
        error_y=error_bars(own, faded(colour), 1.2),
        mode="lines+markers",
        name=label(selector),
        line={"color": colour, "width": 1.6},
        marker={
            "size": [
                SMALLEST_MARK + (LARGEST_MARK - SMALLEST_MARK) * i / steps for i in range(len(own))
            ],
            "symbol": SYMBOLS[place // len(SELECTOR_COLOURS) % len(SYMBOLS)],
            "color": filled([colour] * len(gaps), gaps),
            "opacity": 1,  # plotly makes marks of different sizes transparent
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
    return RANDOM_COLOUR if selector == RANDOM else SELECTOR_COLOURS[place % len(SELECTOR_COLOURS)]


def faded(colour: str) -> str:
    """Give a colour half transparent.

    Example:
        >>> faded("#0072b2")
        'rgba(0, 114, 178, 0.45)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.45)"


@check_arguments(comparison=COMPARISON, share=optional(real), range=RANGE)
def layer_profile_chart(
    comparison: Comparison,
    *,
    share: float | None = None,
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw the share of each selector's neurons in every layer, with the last layer on top.

    The dotted line is the share of each layer if neurons were spread evenly.

    Args:
        comparison: The result of ``compare_selectors``.
        share: At which share; the largest by default.
        range: The ends of the scale, such as ``(0, 0.3)``, to compare figures.

    Raises:
        InputError: The comparison is empty, or there is no such share.

    Example:
        ``layer_profile_chart(comparison, share=0.003).show()``
    """
    check_filled(comparison)
    at = comparison.shares[-1] if share is None else share
    profiles = comparison.layer_profiles(at)
    columns = min(len(profiles), MOST_PANELS)
    rows = math.ceil(len(profiles) / columns)
    figure = make_subplots(
        rows,
        columns,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.02,
        vertical_spacing=0.12,
        subplot_titles=[
            f"{label(name, 18)}<br>{comparison.taken(name, at):.0f} neurons"
            for name in profiles.index
        ],
    )
    even = 1 / len(profiles.columns)
    for place, name in enumerate(profiles.index):
        here = {"row": place // columns + 1, "col": place % columns + 1}
        figure.add_trace(layer_bars(profiles.loc[name], name, place), **here)
        figure.add_vline(even, line={"color": INK, "width": 1, "dash": "dot"}, **here)
    styled(
        figure,
        "Where selectors’ neurons sit",
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
    layers = len(profiles.columns)
    scale_profiles(figure, layers, range or (0.0, 1.08 * max(even, float(profiles.max().max()))))
    figure.update_layout(
        height=figure.layout.margin.t + 150 + rows * max(220, LAYER_HEIGHT * layers),
        margin_t=figure.layout.margin.t + 40,
    )
    figure.update_annotations(font={"size": 12, "color": INK})
    return figure


def scale_profiles(figure: go.Figure, layers: int, span: tuple[float, float]) -> None:
    """Give all panels the same axes: shares, and layers with the last one on top."""
    low, high = span
    marks = ticks(low, min(high, 1.0), 3)
    figure.update_xaxes(
        range=[low, high], tickvals=marks, ticktext=[percent(mark) for mark in marks]
    )
    figure.update_yaxes(tick0=0, dtick=layer_step(layers), range=[-0.6, layers - 0.4])
    figure.update_yaxes(title_text="layer (0 is the first)", col=1)


def layer_bars(shares: pd.Series, selector: str, place: int) -> go.Bar:
    """Make the bars of one selector: the share of its neurons in every layer."""
    return go.Bar(
        x=shares.tolist(),
        y=list(shares.index),
        orientation="h",
        name=selector,
        meta={"panel": selector},
        marker={"color": colour_of(selector, place)},
        hovertext=[
            f"<b>{plain(selector)}</b>, layer {layer}<br>{percent(shares[layer], 1)} of its neurons"
            for layer in shares.index
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def check_filled(comparison: Comparison) -> None:
    """Refuse a comparison without answers under ablated neurons."""
    if not comparison.selectors:
        raise InputError("this comparison is empty: make it with compare_selectors.")


__all__ = ["comparison_chart", "layer_profile_chart"]
