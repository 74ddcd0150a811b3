"""What interventions do to written answers: the change of the score against perplexity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from culture_lens.checks import check_arguments, flag, instance, optional, text
from culture_lens.errors import InputError
from culture_lens.experiments.generation import (
    FLUENT,
    LARGEST_FACTOR,
    UNCHANGED,
    GenerationEffect,
    label_of,
)
from culture_lens.plots.comparison import SELECTOR_COLOURS, SYMBOLS
from culture_lens.plots.parts import LEGEND_BELOW, error_bars, points_axis
from culture_lens.plots.style import (
    FAINT,
    INK,
    INTERVALS,
    MUTED,
    PAPER,
    about,
    limits,
    plain,
    styled,
    with_interval,
)
from culture_lens.statistics.tables import as_estimates
from culture_lens.storage.display import interval_text

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.short_answers.matching import Matching

TALL_AS, ROOM = 12, 0.12
"""Rows of names that the figure is as tall as; room beside the marks, as a share of the axis."""
MARKS = (0.5, 1, 1.5, 2, 3, 5, 10, 30, 100, 1000, 10_000, 100_000)


@check_arguments(
    effect=instance(GenerationEffect), culture=optional(text), matching=text, weighted=flag
)
def generation_chart(
    effect: GenerationEffect,
    *,
    culture: str | None = None,
    matching: Matching = "contained",
    weighted: bool = True,
) -> go.Figure:
    """Draw the change of the score against the perplexity of what was written.

    A line per intervention goes through its doses. White marks are answers whose verdict is not
    fluent; right of the dashed line perplexity is more than three times that of unmodified answers.

    Args:
        effect: The result of ``generation_effect``.
        culture: Only questions of this culture.
        matching: ``"contained"`` or ``"exact"``.
        weighted: Take the score weighted by votes instead of 0 or 1.

    Raises:
        InputError: No such culture or matching, or no intervention wrote a token.

    Example:
        ``plots.generation_chart(generation_effect(model, interventions, questions)).show()``
    """
    table = effect.table(culture=culture, matching=matching, weighted=weighted)
    table = as_estimates(table)
    drawn = table[[not math.isnan(one.value) for one in table["perplexity"]]]
    if drawn.empty:
        raise InputError("nothing to draw: no intervention wrote a token.")
    figure = go.Figure()
    for place, (name, part) in enumerate(drawn.groupby("condition", sort=False)):
        colour = SELECTOR_COLOURS[place % len(SELECTOR_COLOURS)]
        figure.add_trace(line_of(str(name), part, colour, SYMBOLS[place % len(SYMBOLS)]))
    figure.add_vline(LARGEST_FACTOR, line={"color": MUTED, "width": 1.2, "dash": "dash"})
    figure.add_hline(0, line={"color": INK, "width": 1.2}, layer="below")
    told = (INTERVALS, "white: not fluent, or undecided")
    return styled(
        figure,
        "What is gained in written answers, and what their language loses",
        about(effect.metadata, culture or "", *told, selector=""),
        TALL_AS,
        xaxis=factor_axis(drawn),
        yaxis={
            **points_axis(limits(list(drawn["score"]))),
            "title": {"text": "change of the score, points"},
        },
        legend=LEGEND_BELOW,
        margin_b=110,
    )


def line_of(name: str, part: pd.DataFrame, colour: str, symbol: str) -> go.Scatter:
    """Make the line of one intervention through its doses."""
    scores, factors = list(part["score"]), list(part["perplexity"])
    labels = [label_of(name, float(dose)) for dose in part["dose"]]
    fluent = [verdict in (FLUENT, UNCHANGED) for verdict in part["verdict"]]
    return go.Scatter(
        x=[one.value for one in factors],
        y=[one.value for one in scores],
        error_x=error_bars(factors, colour, 1.0),
        error_y=error_bars(scores, colour, 1.0),
        mode="lines+markers+text",
        name=plain(name),
        text=["" if math.isnan(dose) else f"{dose:g}" for dose in part["dose"]],
        textposition="top right",
        textfont={"size": 11, "color": colour},
        customdata=[plain(label) for label in labels],
        line={"color": colour, "width": 1.4},
        marker={
            "size": 9,
            "symbol": symbol,
            "color": [colour if one else PAPER for one in fluent],
            "line": {"color": colour, "width": 1.5},
        },
        hovertext=[
            f"<b>{plain(label)}</b><br>score {with_interval(score)}<br>perplexity "
            f"{interval_text(factor.value, factor.low, factor.high, 2)} times<br>{verdict}"
            for label, score, factor, verdict in zip(
                labels, scores, factors, part["verdict"], strict=True
            )
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def factor_axis(drawn: pd.DataFrame) -> dict[str, Any]:
    """Give the layout of an axis of factors that holds every interval, 1 and the bound."""
    every = [end for one in drawn["perplexity"] for end in (one.value, one.low, one.high)]
    logs = np.log10([end for end in (*every, 1.0, LARGEST_FACTOR) if end > 0])
    room = ROOM * float(logs.max() - logs.min())
    low, high = float(logs.min()) - room, float(logs.max()) + room
    marks = [mark for mark in MARKS if low <= math.log10(mark) <= high]
    return {
        "type": "log",
        "range": [low, high],
        "tickvals": marks,
        "ticktext": [f"{mark:g}×" for mark in marks],
        "showgrid": True,
        "gridcolor": FAINT,
        "title": {"text": "perplexity under the unmodified model, times that of its own answers"},
    }


__all__ = ["generation_chart"]
