"""Gain on a task against change on culture after fine-tuning: one point per training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, instance
from culture_lens.finetune.changes import CULTURE_SET, TASK_SET
from culture_lens.plots.heatmap import RANGE
from culture_lens.plots.parts import LEGEND_BELOW, error_bars
from culture_lens.plots.style import (
    FAINT,
    FOUND_COLOUR,
    INK,
    PAPER,
    RANDOM_COLOUR,
    limits,
    plain,
    points,
    styled,
    ticks,
    with_interval,
)
from culture_lens.statistics.estimates import CONFIDENCE_LEVEL, Estimate

if TYPE_CHECKING:
    from culture_lens.finetune.study import ForgettingStudy

# Okabe and Ito's colours, which can be told apart with every kind of colour blindness, and a
# shape for each.
LOOKS = {
    "top": (FOUND_COLOUR, "circle"),
    "bottom": ("#0072b2", "square"),
    "random": (RANDOM_COLOUR, "diamond"),
    "all": (INK, "x"),
    "lora": ("#cc79a7", "triangle-up"),
    "protected": ("#009e73", "star"),
    "only": ("#e69f00", "triangle-down"),
    "kept": ("#56b4e9", "hexagon"),
}
OTHER = (RANDOM_COLOUR, "circle-open")
STRATEGY_MEANING = {
    "top": "modules with most of the neurons",
    "bottom": "modules with fewest",
    "random": "random modules",
    "all": "all parameters",
    "lora": "LoRA",
    "protected": "all but the neurons",
    "only": "the neurons only",
    "kept": "all, activations kept",
}
TRAINING_SIZE, MEAN_SIZE = 7, 13
TALL_AS = 12
"""The figure is as tall as one with so many rows."""


@check_arguments(study=instance("ForgettingStudy"), range=RANGE)
def forgetting_chart(
    study: ForgettingStudy, *, range: tuple[float, float] | None = None
) -> go.Figure:
    """Draw the gain on the task against the change on culture.

    Small points are trainings, large points the means of strategies.

    Args:
        study: The result of ``compare_strategies``.
        range: The ends of both axes, to compare figures; by default they hold every interval.

    Example:
        ``forgetting_chart(organism_study(seeds=(1, 2))).show()``
    """
    figure = go.Figure()
    for name in study.strategies:
        figure.add_trace(trainings(study, name))
        figure.add_trace(mean(study, name))
    line = {"color": INK, "width": 1.3}
    figure.add_hline(0, line=line, layer="below")
    figure.add_vline(0, line=line, layer="below")
    known = study.metadata
    items = known.get("items", {})
    share = known.get("parameter_share")
    unit = known.get("unit", "projection")  # all that there was before it was recorded
    parts = [
        str(known.get("model") or "model not recorded").rstrip("/").rsplit("/", 1)[-1],
        f"task: {known.get('task') or 'not recorded'}, {items.get(TASK_SET, '?')} items",
        f"culture: {known.get('benchmark') or 'not recorded'}, {items.get(CULTURE_SET, '?')} items",
        "" if share is None else f"{unit}s up to {100 * share:g}% of the parameters",
        f"{len(study.seeds)} seeds",
        f"crosses: {CONFIDENCE_LEVEL:.0%} t intervals over seeds",
    ]
    styled(
        figure,
        "What fine-tuning gains on a task, and what it does to culture",
        " · ".join(part for part in parts if part),
        TALL_AS,
        legend=LEGEND_BELOW,
    )
    figure.update_layout(margin_b=120)
    for update, asked, title in (
        (figure.update_xaxes, TASK_SET, "task: change in accuracy, percentage points"),
        (figure.update_yaxes, CULTURE_SET, "culture: change in accuracy, percentage points"),
    ):
        low, high = range or limits(every_estimate(study, asked), room=0.08)
        marks = ticks(low, high)
        update(
            range=[low, high],
            tickvals=marks,
            ticktext=[points(mark, 0) for mark in marks],
            showgrid=True,
            gridcolor=FAINT,
            title_text=title,
        )
    return figure


def trainings(study: ForgettingStudy, name: str) -> go.Scatter:
    """Make the points of one strategy, one per seed."""
    colour, symbol = LOOKS.get(name, OTHER)
    task, culture = (study.per_seed(name, asked) for asked in (TASK_SET, CULTURE_SET))
    return go.Scatter(
        x=[task[seed] for seed in task],
        y=[culture[seed] for seed in task],
        mode="markers",
        legendgroup=name,
        showlegend=False,
        opacity=0.55,
        marker={"size": TRAINING_SIZE, "color": colour, "symbol": symbol},
        hovertext=[
            f"<b>{plain(name)}</b>, seed {seed}<br>task "
            f"{with_interval(study.one(name, seed).estimate(TASK_SET))}<br>culture "
            f"{with_interval(study.one(name, seed).estimate(CULTURE_SET))}"
            for seed in task
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def mean(study: ForgettingStudy, name: str) -> go.Scatter:
    """Make the point of one strategy's mean over seeds, with intervals both ways."""
    colour, symbol = LOOKS.get(name, OTHER)
    x, y = study.estimate(name, TASK_SET), study.estimate(name, CULTURE_SET)
    words = STRATEGY_MEANING.get(name)
    return go.Scatter(
        x=[x.value],
        y=[y.value],
        error_x=error_bars([x], colour),
        error_y=error_bars([y], colour),
        mode="markers",
        name=plain(name) if words is None else f"<b>{plain(name)}</b>: {words}",
        legendgroup=name,
        marker={
            "size": MEAN_SIZE,
            "color": colour,
            "symbol": symbol,
            "line": {"color": PAPER, "width": 1},
        },
        hovertext=[
            f"<b>{plain(name)}</b>, mean over seeds<br>task {with_interval(x)}<br>culture "
            f"{with_interval(y)}"
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def every_estimate(study: ForgettingStudy, asked: str) -> list[Estimate]:
    """List every training, without an interval, and the mean of every strategy."""
    values = [v for name in study.strategies for v in study.per_seed(name, asked).values()]
    means = [study.estimate(name, asked) for name in study.strategies]
    return [*(Estimate(value, math.nan, math.nan) for value in values), *means]


__all__ = ["forgetting_chart"]
