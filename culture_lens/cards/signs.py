"""At which sign a neuron acts: predicted from gradients, measured where it has an effect.

Gradients say how much of the effect comes from tokens on which the neuron is positive. They see one
small step; so where ablating it changes the log-odds, its cultures' items are asked once more with
its negative activations alone set to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.cards.cautions import MOSTLY, NO_SHIFT, none_of
from culture_lens.cards.effects import LOG_ODDS, Asking
from culture_lens.cards.places import Place
from culture_lens.cards.records import Signs

if TYPE_CHECKING:
    import pandas as pd


def signs_of(
    asking: Asking,
    place: Place,
    own: Sequence[str],
    after: pd.DataFrame,
    predicted: Float[np.ndarray, "item 2"] | None,
) -> Signs:
    """Say at which sign a neuron acts on its cultures' items.

    Args:
        asking: The items.
        place: The neuron.
        own: Its cultures.
        after: Answers with it ablated, of the items that were drawn.
        predicted: The predicted change of every item, from positive and other tokens.
    """
    mine = np.array([question.culture in own for question in asking.questions])
    positive = negative = float("nan")
    if predicted is not None:
        positive, negative = predicted[mine].mean(0).tolist()
    cultures = {question.id: question.culture for question in asking.questions}
    ids = [name for name in after.index if cultures[name] in own]
    if not ids:
        return Signs(positive, negative)
    base = asking.base.loc[ids, LOG_ODDS]
    whole = asking.mean(after.loc[ids, LOG_ODDS] - base)
    if none_of(whole, NO_SHIFT):
        return Signs(positive, negative, whole)
    cut = asking.without_negative(place, ids).loc[ids, LOG_ODDS]
    return Signs(positive, negative, whole, asking.mean(cut - base))


def sign_in_words(signs: Signs, magnitude: float) -> str:
    """Say the sign at which a neuron acts: as measured, as predicted, or as its mean is.

    Example:
        >>> sign_in_words(Signs(-0.2, -0.1), 0.5)
        'positive'
    """
    if signs.whole is not None and signs.without_negative is not None:
        share = signs.without_negative.value / signs.whole.value
        return "negative" if share >= MOSTLY else "positive"
    positive, negative = abs(signs.positive), abs(signs.negative)
    if positive + negative > 0:
        return "positive" if positive >= negative else "negative"
    return "positive" if magnitude > 0 else "negative"
