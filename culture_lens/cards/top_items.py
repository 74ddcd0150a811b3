"""top_items: the items on which a neuron fires most, least, or as usual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from culture_lens.cards.tokens import TokenActivations
from culture_lens.checks import check_arguments, instance, text, whole
from culture_lens.errors import unknown

if TYPE_CHECKING:
    import pandas as pd

    Which = Literal["highest", "lowest", "middle"]
else:
    Which = str  # a wrong name reaches the check that lists the right ones

WHICH = ("highest", "lowest", "middle")
RECORDED = instance(TokenActivations, remedy="what token_activations gives")
"""The check of an argument that takes recorded tokens."""


def item_values(recorded: TokenActivations, neuron: Any) -> pd.DataFrame:
    """Give one row per item with a counted token: its extreme activations and the answer.

    Returns:
        Columns place (of the item in the recording), id, culture, category, group, maximum,
        minimum, mean (over counted tokens), token (the text of the highest), p_gold, correct.

    Raises:
        InputError: The neuron was not recorded.
    """
    import pandas as pd

    row = recorded.row(neuron)
    rows = []
    for place, item in enumerate(recorded.items):
        at = np.flatnonzero(item.counted)
        if not len(at):
            continue
        values, question = item.values[row][at].astype(float), item.question
        highest, p_gold = at[values.argmax()], recorded.answers["p_gold"].iloc[place]
        rows.append(
            (place, question.id, question.culture, question.category, question.group)
            + (values.max(), values.min(), values.mean(), item.tokens[highest])
            + (float(p_gold), bool(recorded.answers["correct"].iloc[place]))
        )
    names = ["place", "id", "culture", "category", "group", "maximum", "minimum", "mean"]
    return pd.DataFrame(rows, columns=[*names, "token", "p_gold", "correct"])


@check_arguments(recorded=RECORDED, k=whole(1), which=text)
def top_items(
    recorded: TokenActivations, neuron: Any, k: int = 5, *, which: Which = "highest"
) -> pd.DataFrame:
    """Choose the items on which a neuron fires most, least, or as usual.

    Args:
        recorded: What ``token_activations`` gives.
        neuron: One of its neurons, ``(site, layer, index)``.
        k: How many items.
        which: ``"highest"``, by the maximum over an item's counted tokens; ``"lowest"``, by their
            minimum; ``"middle"``, next to the median of the maximum.

    Returns:
        One row per item, ties in the order of ids: id, culture, category, group, maximum, minimum,
        mean, token (the text of the highest), p_gold, correct.

    Raises:
        InputError: A neuron that was not recorded, or an unknown ``which``.

    Example:
        ``top_items(recorded, ("act", 3, 7), which="lowest")``
    """
    chosen = shown(recorded, neuron, k, which)
    return chosen.drop(columns="place").reset_index(drop=True)


def shown(recorded: TokenActivations, neuron: Any, k: int, which: str) -> pd.DataFrame:
    """Choose the items, with their places in the recording.

    Raises:
        InputError: An unknown ``which``.
    """
    if which not in WHICH:
        raise unknown("items", which, WHICH)
    table = item_values(recorded, neuron)
    if which == "lowest":
        return table.sort_values(["minimum", "id"]).head(k)
    table = table.sort_values(["maximum", "id"], ascending=[False, True])
    start = 0 if which == "highest" else max(0, (len(table) - k) // 2)
    return table.iloc[start : start + k]


__all__ = ["item_values", "top_items"]
