"""How selectors did on organisms: what they found, what they were taken in by, what it does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.errors import InputError
from culture_lens.plots.style import (
    FAINT,
    FOUND_COLOUR,
    INK,
    PAPER,
    RANDOM_COLOUR,
    house,
    label,
    limits,
    percent,
    plain,
    points,
    ticks,
    with_interval,
)
from culture_lens.statistics.estimates import CONFIDENCE_LEVEL, Estimate

if TYPE_CHECKING:
    from culture_lens.organism.scorecard import Scorecard

PANELS = {
    "precision": ("planted neurons<br>among those taken", False),
    "average_precision": ("average precision<br>of the whole ranking", False),
    "decoys": ("style decoys<br>taken, of the culture’s own", False),
    "own": ("ablated: change on<br>own culture, points", True),
    "others": ("ablated: change on<br>other cultures, points", True),
}
"""Column -> what it means, and whether it is a change."""
TRUTH = ("planted", "effective")
BAND = "#f4f5f7"


def scorecard_chart(card: Scorecard, *, columns: Sequence[str] = tuple(PANELS)) -> go.Figure:
    """Draw every selector's scores on organisms, with intervals over organisms.

    The truth itself stands on top; then selectors by the precision of what they take. Those that
    take another number of neurons than were planted say how many, a mean over cultures and
    organisms.

    Args:
        card: What ``score_selectors`` gave.
        columns: Which panels.

    Raises:
        InputError: No such panel.

    Example:
        ``scorecard_chart(score_selectors()).show()``
    """
    for column in columns:
        if column not in PANELS:
            raise InputError(f"no panel {column!r}: use {', '.join(PANELS)}.")
    truth = [name for name in card.selectors if name in TRUTH]
    others = [name for name in card.selectors if name not in TRUTH]
    others.sort(key=lambda name: -card.estimate(name, "precision").value)
    rows = [*truth, *others]
    figure = make_subplots(1, len(columns), shared_yaxes=True, horizontal_spacing=0.03)
    for number, column in enumerate(columns, start=1):
        estimates = [card.estimate(name, column) for name in rows]
        signed = PANELS[column][1]
        figure.add_trace(dots(rows, estimates, column, signed), 1, number)
        here = {"row": 1, "col": number}
        for row in range(0, len(rows), 2):
            figure.add_hrect(
                row - 0.5, row + 0.5, fillcolor=BAND, line_width=0, layer="below", **here
            )
        figure.add_vline(0, line={"color": INK, "width": 1.3}, layer="below", **here)
        if truth:
            figure.add_hline(len(truth) - 0.5, line={"color": INK, "width": 1.3}, **here)
        low, high = limits(estimates, None if signed else (0.0, 1.0))
        marks = ticks(low, high, 3)
        write = points if signed else percent
        figure.update_xaxes(
            range=[low, high],
            tickvals=marks,
            ticktext=[write(mark, 0) for mark in marks],
            showgrid=True,
            gridcolor=FAINT,
            **here,
        )
        figure.add_annotation(
            xref=f"x{'' if number == 1 else number} domain",
            yref="paper",
            x=0.5,
            y=1,
            yanchor="bottom",
            yshift=6,
            showarrow=False,
            text=PANELS[column][0],
            font={"size": 12},
        )
    models = card.frame["model"].nunique()
    drawn = f"{card.metadata.get('pictures')} pictures per culture and object"
    told = f"mean over cultures; {CONFIDENCE_LEVEL:.0%} t intervals over organisms"
    organisms = f"{models} organism{'s' if models > 1 else ''}"
    numbers = other_numbers(card)
    taken = f"as many neurons taken as were planted{', or (n)' if numbers else ''}"
    house(
        figure,
        "Selectors held against neurons that are known",
        f"{organisms} · {taken} · {drawn} · {told}",
        len(rows),
        showlegend=False,
    )
    figure.update_layout(margin_t=figure.layout.margin.t + 44)
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=list(range(len(rows))),
        ticktext=[
            (f"<b>{plain(name)}</b>" if name in TRUTH else label(name)) + numbers.get(name, "")
            for name in rows
        ],
    )
    return figure


def other_numbers(card: Scorecard) -> dict[str, str]:
    """Write how many neurons are taken by selectors that do not take as many as were planted."""
    means = card.frame.groupby("selector")[["sought", "taken"]].mean()
    differ = means[means["taken"] != means["sought"]]
    return {str(name): f" ({number:.0f})" for name, number in differ["taken"].items()}


def dots(
    rows: Sequence[str], estimates: Sequence[Estimate], column: str, signed: bool
) -> go.Scatter:
    """Make the dots of one panel; the truth and random neurons are grey."""
    grey = [name in (*TRUTH, "random") for name in rows]
    colours = [RANDOM_COLOUR if is_grey else FOUND_COLOUR for is_grey in grey]
    known = [not math.isnan(estimate.low) for estimate in estimates]
    return go.Scatter(
        x=[estimate.value for estimate in estimates],
        y=list(range(len(rows))),
        error_x={
            "array": [e.high - e.value if k else 0 for e, k in zip(estimates, known, strict=True)],
            "arrayminus": [
                e.value - e.low if k else 0 for e, k in zip(estimates, known, strict=True)
            ],
            "color": RANDOM_COLOUR,
            "thickness": 1.3,
            "width": 0,
        },
        mode="markers",
        marker={"size": 9, "color": colours, "line": {"color": PAPER, "width": 1}},
        hovertext=[
            f"<b>{plain(name)}</b><br>{column}: {with_interval(estimate, signed=signed)}"
            for name, estimate in zip(rows, estimates, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


__all__ = ["scorecard_chart"]
