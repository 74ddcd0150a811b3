"""The items that a card shows: tokens, pictures, answers with and without the neuron."""

from __future__ import annotations

from typing import TYPE_CHECKING

from culture_lens.cards.effects import Asking
from culture_lens.cards.grids import grids_of, thumbnail
from culture_lens.cards.places import Place
from culture_lens.cards.shown_item import Grid, ShownItem, Token
from culture_lens.cards.tokens import is_of_prompt
from culture_lens.cards.top_items import WHICH, shown
from culture_lens.prompts.prompt import Role

if TYPE_CHECKING:
    import pandas as pd

Rows = dict[str, "pd.DataFrame"]
"""Highest, lowest, middle -> the items, with their places in the recording."""


def rows_shown(asking: Asking, neuron: Place, number: int) -> Rows:
    """Choose the items that are shown; each once, under the first heading that it belongs to."""
    rows, taken = {}, set[str]()
    for which in WHICH:
        table = shown(asking.recorded, neuron, number, which)
        rows[which] = table[~table["id"].isin(taken)]
        taken |= set(rows[which]["id"])
    return rows


def ids_shown(rows: Rows) -> list[str]:
    """List the ids of the items that are shown."""
    return [str(name) for table in rows.values() for name in table["id"]]


def items_shown(
    asking: Asking, neuron: Place, rows: Rows, after: pd.Series
) -> tuple[ShownItem, ...]:
    """Put the shown items together."""
    return tuple(
        item_shown(asking, neuron, which, int(place), after)
        for which, table in rows.items()
        for place in table["place"]
    )


def item_shown(
    asking: Asking, neuron: Place, which: str, place: int, after: pd.Series
) -> ShownItem:
    """Put one item together."""
    recorded = asking.recorded
    item, answer = recorded.items[place], recorded.answers.iloc[place]
    question, values = item.question, item.values[recorded.row(neuron)]
    grids: tuple[Grid, ...] = ()
    if is_of_prompt(asking.model, neuron[0]):
        grids = grids_of(asking.model, recorded.prompts[place], values)
    tokens = tuple(
        Token(text, Role(int(role)).name.lower().replace("_", " "), float(value))
        for text, role, value in zip(item.tokens, item.roles, values, strict=True)
        if not (grids and role == Role.IMAGE)
    )
    counted = values[item.counted]
    return ShownItem(
        which=which,
        id=question.id,
        culture=question.culture,
        category=question.category,
        tokens=tokens,
        grids=grids,
        picture=b"" if question.image is None else thumbnail(question.image),
        options=question.options,
        gold=question.answer,
        given=int(answer["prediction"]),
        p_gold=float(answer["p_gold"]),
        p_without=float(after[question.id]),
        maximum=float(counted.max()),
        minimum=float(counted.min()),
    )
