"""Which tokens of an item are its country's name.

Names are the culture's label and what the Unicode CLDR and ``culture_names`` call the country in
English; adjectives ("Japanese") and other languages are not looked for.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from jaxtyping import Bool

from culture_lens.cards.tokens import ItemTokens
from culture_lens.questions.culture_names import meaning, territories


@cache
def name_pattern(culture: str) -> re.Pattern[str]:
    """Match any name of a culture as whole words.

    Example:
        >>> bool(name_pattern("South_Korea").search("soups of South Korea?"))
        True
    """
    place, _ = meaning(culture)
    names = {name for name, code in territories().items() if code == place}
    label = re.sub(r"\s*\(.*\)$", "", culture).replace("_", " ")
    words = [re.findall(r"\w+", name) for name in sorted({label, *names}, key=lambda n: -len(n))]
    either = "|".join(r"[\W_]+".join(map(re.escape, some)) for some in words if some)
    return re.compile(rf"(?<!\w)(?:{either or '(?!)'})(?!\w)", re.IGNORECASE)


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
    return bool(name_pattern(item.question.culture).search(item.question.text))
