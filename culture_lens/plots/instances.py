"""Items that a mask changes: which are lost and gained, with their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, optional, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.conditions import FOUND, UNMODIFIED
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.plots.ablation import edited, masked
from culture_lens.plots.parts import LEGEND_BELOW, add_bands
from culture_lens.plots.style import (
    FAINT,
    about,
    font_size,
    label,
    percent,
    plain,
    points,
    styled,
)
from culture_lens.questions.question import QUESTIONS, Question

if TYPE_CHECKING:
    import pandas as pd

LOST, GAINED, SAME = "lost: right to wrong", "gained: wrong to right", "right or wrong as before"
OUTCOMES = {
    LOST: ("#d55e00", "circle"),
    GAINED: ("#2166ac", "square"),
    SAME: ("#8a9099", "diamond"),
}
"""Outcome -> colour and symbol of its marks."""
LETTERS = 56
"""Letters of a question on the axis; the hover has 400."""


@check_arguments(
    matrix=MATRIX, questions=QUESTIONS, culture=text, mask=optional(text), most=whole(1)
)
def instances_chart(
    matrix: AblationMatrix,
    questions: Sequence[Question],
    culture: str,
    *,
    mask: str | None = None,
    most: int = 20,
) -> go.Figure:
    """Draw the items of a culture that a mask changes most: P(right answer) before and after.

    Lost and gained items come first, then those with the largest change of the probability of the
    right answer. The open mark is the unmodified model, the filled one the model with the neurons
    ablated. Single items are examples: how sure a change is, the matrix says.

    Args:
        matrix: The matrix, with found neurons.
        questions: The questions that were asked, for their text.
        culture: Whose questions.
        mask: Whose neurons are ablated; those of the culture by default.
        most: Items to draw.

    Raises:
        InputError: An unknown culture or mask, or an item that is not among the questions.

    Example:
        ``instances_chart(matrix, questions, "Japan", most=10).show()``
    """
    ablated = culture if mask is None else mask
    if culture not in matrix.cultures:
        raise unknown("culture", culture, matrix.cultures)
    if ablated not in matrix.masks:
        raise unknown("mask", ablated, matrix.masks)
    items = changed_items(matrix, culture, ablated)
    texts = texts_of(items, questions)
    shown = items.head(most)
    figure = marks_of(shown, texts)
    counts = items["outcome"].value_counts()
    styled(
        figure,
        f"Items about {label(culture)} when neurons of {label(ablated)} are {edited(matrix)}",
        about(
            matrix.metadata,
            masked(matrix),
            f"{counts.get(LOST, 0)} lost, {counts.get(GAINED, 0)} gained of {len(items)} items",
            f"the {len(shown)} that change most" if len(shown) < len(items) else "",
            f"open: unmodified, filled: {edited(matrix)}",
        ),
        len(shown),
        legend=LEGEND_BELOW,
    )
    figure.update_layout(margin_b=90, height=figure.layout.height + 30)
    marks = [0.0, 0.25, 0.5, 0.75, 1.0]
    figure.update_xaxes(
        range=[-0.03, 1.03],
        tickvals=marks,
        ticktext=[percent(mark) for mark in marks],
        showgrid=True,
        gridcolor=FAINT,
        title_text="probability of the right answer",
    )
    figure.update_yaxes(
        range=[len(shown) - 0.5, -0.5],
        tickvals=list(shown["row"]),
        ticktext=[label(texts[one].text, LETTERS) for one in shown["id"]],
        tickfont={"size": font_size(len(shown), largest=12)},
    )
    return figure


def marks_of(shown: pd.DataFrame, texts: dict[str, Question]) -> go.Figure:
    """Draw the marks of each outcome, on bands."""
    figure = go.Figure()
    for outcome, (colour, symbol) in OUTCOMES.items():
        own = shown[shown["outcome"] == outcome]
        if len(own):
            figure.add_trace(before_after(own, texts, outcome, colour, symbol))
            figure.add_trace(ends(own, texts, outcome, colour, symbol))
    add_bands(figure, len(shown))
    return figure


def changed_items(matrix: AblationMatrix, culture: str, mask: str) -> pd.DataFrame:
    """Give the items of a culture, those that change most first, with P before and after.

    Returns:
        Columns id, before, after, change, outcome, and row, its place in the figure.
    """
    frame = matrix.frame[matrix.frame["culture"] == culture]
    base = frame[frame["condition"] == UNMODIFIED].set_index("id")
    under = frame[(frame["condition"] == FOUND) & (frame["mask"] == mask)].set_index("id")
    items = base[["correct", "p_gold"]].join(under[["correct", "p_gold"]], rsuffix="_after")
    items = items.dropna(subset=["p_gold_after"])
    right, after = items["correct"].astype(bool), items["correct_after"].astype(bool)
    items = items.assign(
        before=items["p_gold"],
        after=items["p_gold_after"],
        change=items["p_gold_after"] - items["p_gold"],
        outcome=[
            SAME if one == other else LOST if one else GAINED
            for one, other in zip(right, after, strict=True)
        ],
    ).reset_index()
    order = {LOST: 0, GAINED: 1, SAME: 2}
    items = items.assign(group=items["outcome"].map(order), size=-items["change"].abs())
    items = items.sort_values(["group", "size", "id"], kind="stable").reset_index(drop=True)
    return items.assign(row=items.index)[["id", "before", "after", "change", "outcome", "row"]]


def texts_of(items: pd.DataFrame, questions: Sequence[Question]) -> dict[str, Question]:
    """Give the question of every item.

    Raises:
        InputError: One is not among the questions.
    """
    known = {question.id: question for question in questions}
    for one in items["id"]:
        if one not in known:
            raise InputError(
                f"item {one!r} of the matrix is not among the questions: give those that were "
                "asked, such as load_benchmark gave."
            )
    return {one: known[one] for one in items["id"]}


def before_after(
    items: pd.DataFrame, texts: dict[str, Question], outcome: str, colour: str, symbol: str
) -> go.Scatter:
    """Make the filled marks of one outcome, each with a line from the unmodified model."""
    back = [-change for change in items["change"]]
    return go.Scatter(
        x=items["after"].tolist(),
        y=items["row"].tolist(),
        error_x={
            "array": [max(one, 0.0) for one in back],
            "arrayminus": [max(-one, 0.0) for one in back],
            "color": colour,
            "thickness": 1.4,
            "width": 0,
        },
        mode="markers",
        name=outcome,
        legendgroup=outcome,
        meta={"interval": False},
        customdata=[texts[one].text for one in items["id"]],
        marker={"size": 9, "symbol": symbol, "color": colour},
        hovertext=hovers(items, texts),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def ends(
    items: pd.DataFrame, texts: dict[str, Question], outcome: str, colour: str, symbol: str
) -> go.Scatter:
    """Make the open marks of one outcome: the unmodified model."""
    return go.Scatter(
        x=items["before"].tolist(),
        y=items["row"].tolist(),
        mode="markers",
        name=f"{outcome}, unmodified model",
        legendgroup=outcome,
        showlegend=False,
        customdata=[texts[one].text for one in items["id"]],
        marker={
            "size": 8,
            "symbol": symbol,
            "color": "#ffffff",
            "line": {"color": colour, "width": 1.6},
        },
        hovertext=hovers(items, texts),
        hovertemplate="%{hovertext}<extra></extra>",
    )


def hovers(items: pd.DataFrame, texts: dict[str, Question]) -> list[str]:
    """Write every item: its text, options with the right one in bold, and what changes."""
    written = []
    for row in items.itertuples():
        question = texts[str(row.id)]
        options = [
            f"<b>{plain(option)}</b>" if place == question.answer else plain(option)
            for place, option in enumerate(question.options)
        ]
        written.append(
            f"<b>{label(question.text, 400)}</b><br>{' / '.join(options)}<br>{row.outcome}<br>"
            f"P(right): {percent(row.before, 1)} to {percent(row.after, 1)}, {points(row.change)}"
        )
    return written


__all__ = ["instances_chart"]
