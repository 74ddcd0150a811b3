"""Which tokens of an item are its country's name.

Names are the culture's label and what the Unicode CLDR and ``culture_names`` call the country in
English; adjectives ("Japanese") and other languages are not looked for.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from culture_lens.cards.tokens import ItemTokens
from culture_lens.questions import country_named
from culture_lens.questions.country_named import name_pattern


def name_tokens(item: ItemTokens) -> Bool[np.ndarray, " pos"]:
    """Mark the counted tokens that are part of the country's name."""
    text = "".join(item.tokens)
    ends = np.cumsum([len(token) for token in item.tokens])
    starts = ends - [len(token) for token in item.tokens]
    marked = np.zeros(len(item.tokens), dtype=bool)
    for found in name_pattern(item.question.culture).finditer(text):
        marked |= (starts < found.end()) & (ends > found.start())
    named: Bool[np.ndarray, " pos"] = marked & item.counted
    return named


def names_country(item: ItemTokens) -> bool:
    """Whether the question names its country, its options apart."""
    return country_named.names_country(item.question)
