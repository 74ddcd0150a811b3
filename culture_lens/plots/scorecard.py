"""The figure of a scorecard: how well selectors find the known neurons of organisms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from culture_lens.checks import any_names, check_arguments, instance
from culture_lens.errors import InputError
from culture_lens.experiments.conditions import RANDOM
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.parts import HEADING_LINES, add_bands, add_heading, error_bars
from culture_lens.plots.style import (
    FAINT,
    FOUND_COLOUR,
    INK,
    PAPER,
    RANDOM_COLOUR,
    label,
    limits,
    percent,
    plain,
    points,
    styled,
    ticks,
    with_interval,
)
from culture_lens.statistics.estimates import CONFIDENCE_LEVEL, Estimate

if TYPE_CHECKING:
    from culture_lens.organism.scorecard import Scorecard

SCORE_PANELS = {
    "precision": ("planted neurons<br>among those taken", False),
    "average_precision": ("average precision<br>of the whole ranking", False),
    "decoys": ("style decoys<br>taken, of the culture’s own", False),
    "own": ("ablated: change on<br>own culture, points", True),
    "others": ("ablated: change on<br>other cultures, points", True),
}
"""Column -> its meaning, and whether it is a change."""
TRUTH_ROWS = ("planted", "effective")
"""The true neurons, as if a selector had found them."""


@check_arguments(card=instance("Scorecard"), columns=any_names, range=RANGE)
def scorecard_chart(
    card: Scorecard,
    *,
    columns: Sequence[str] = tuple(SCORE_PANELS),
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw every selector's scores on organisms, with intervals over organisms.

    The true neurons come first, then selectors by the precision of what they take. Selectors that
    take another number of neurons than were planted show it in brackets, a mean over cultures and
    organisms.

    Args:
        card: The result of ``score_selectors``.
        columns: Which panels.
        range: The ends of the panels of changes, to compare figures; shares go from 0 to 1.

    Raises:
        InputError: No such panel.

    Example:
        ``scorecard_chart(score_selectors()).show()``
    """
    for column in columns:
        if column not in SCORE_PANELS:
            raise InputError(f"no panel {column!r}: use {', '.join(SCORE_PANELS)}.")
    truth = [name for name in card.selectors if name in TRUTH_ROWS]
    others = [name for name in card.selectors if name not in TRUTH_ROWS]
    others.sort(key=lambda name: -card.estimate(name, "precision").value)
    rows = [*truth, *others]
    figure = make_subplots(1, len(columns), shared_yaxes=True, horizontal_spacing=0.03)
    for number, column in enumerate(columns, start=1):
        add_panel(figure, card, rows, column, number, range)
        if truth:
            line = {"color": INK, "width": 1.3}
            figure.add_hline(len(truth) - 0.5, line=line, row=1, col=number)
    numbers = other_numbers(card)
    styled(
        figure, "Selectors compared with known neurons", subtitle(card, bool(numbers)), len(rows)
    )
    figure.update_layout(margin_t=figure.layout.margin.t + HEADING_LINES, showlegend=False)
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=[place for place, _ in enumerate(rows)],
        ticktext=[
            (f"<b>{plain(name)}</b>" if name in TRUTH_ROWS else label(name)) + numbers.get(name, "")
            for name in rows
        ],
    )
    return figure


def add_panel(
    figure: go.Figure,
    card: Scorecard,
    rows: Sequence[str],
    column: str,
    number: int,
    span: tuple[float, float] | None,
) -> None:
    """Draw one column of the scorecard as a panel, with its axis and heading."""
    heading, signed = SCORE_PANELS[column]
    estimates = [card.estimate(name, column) for name in rows]
    here = {"row": 1, "col": number}
    figure.add_trace(dots(rows, estimates, column, signed), 1, number)
    add_bands(figure, len(rows), **here)
    figure.add_vline(0, line={"color": INK, "width": 1.3}, layer="below", **here)
    low, high = (signed and span) or limits(estimates, None if signed else (0.0, 1.0))
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
    add_heading(figure, number, heading)


def subtitle(card: Scorecard, other_sizes: bool) -> str:
    """Write what the scores are of."""
    models = card.frame["model"].nunique()
    return " · ".join(
        [
            f"{models} organism{'s' if models > 1 else ''}",
            f"as many neurons taken as were planted{', or (n)' if other_sizes else ''}",
            f"{card.metadata.get('pictures')} pictures per culture and object",
            f"mean over cultures; {CONFIDENCE_LEVEL:.0%} t intervals over organisms",
        ]
    )


def other_numbers(card: Scorecard) -> dict[str, str]:
    """Write the number of neurons of selectors that take another number than were planted."""
    means = card.frame.groupby("selector")[["sought", "taken"]].mean()
    differ = means[means["taken"] != means["sought"]]
    return {str(name): f" ({number:.0f})" for name, number in differ["taken"].items()}


def dots(
    rows: Sequence[str], estimates: Sequence[Estimate], column: str, signed: bool
) -> go.Scatter:
    """Make the dots of one panel; true and random neurons are grey."""
    grey = [name in (*TRUTH_ROWS, RANDOM) for name in rows]
    colours = [RANDOM_COLOUR if is_grey else FOUND_COLOUR for is_grey in grey]
    return go.Scatter(
        x=[estimate.value for estimate in estimates],
        y=list(range(len(rows))),
        error_x=error_bars(estimates, RANDOM_COLOUR),
        mode="markers",
        marker={"size": 9, "color": colours, "line": {"color": PAPER, "width": 1}},
        hovertext=[
            f"<b>{plain(name)}</b><br>{column}: {with_interval(estimate, signed=signed)}"
            for name, estimate in zip(rows, estimates, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


__all__ = ["scorecard_chart"]
