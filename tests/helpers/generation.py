"""Written answers by hand: four answers, ten times, unmodified and under two doses of steering."""

import math

import pandas as pd

from culture_lens.experiments.generation import GenerationEffect

COLUMNS = (
    "condition dose id culture group answer exact contained exact_weight contained_weight "
    "tokens surprisal repetition empty"
).split()


TIMES = 10
"""How often the four answers stand there: of four alone no interval says anything."""


def rows(condition, dose, scores, tokens, surprisals, repetitions, empties, culture="UK"):
    """One record per question; each question is a group of its own."""
    return [
        (condition, dose, f"{culture}{n}", culture, f"{culture}{n}", f"{condition}{dose}{n}")
        + (int(score > 0), int(score > 0), score, score, token, surprisal, repeated, empty)
        for n, (score, token, surprisal, repeated, empty) in enumerate(
            TIMES * list(zip(scores, tokens, surprisals, repetitions, empties, strict=True))
        )
    ]


def effect_by_hand(name="steered", culture="UK", **metadata):
    """At dose 1 two answers become right; at dose 4 the text is 20 times as perplexing."""
    none = [0, 0, 0, 0]
    flat = {"repetitions": [0.0] * 4, "empties": none, "culture": culture}
    frame = pd.DataFrame(
        [
            *rows("unmodified", math.nan, [0, 0, 0.5, 0], [4] * 4, [4, 4, 4, 4], **flat),
            *rows(name, 1.0, [1, 0.5, 0.5, 0], [2, 4, 4, 2], [2.2, 4.1, 4.3, 2.1], **flat),
            *rows(name, 4.0, none, [4] * 4, [15.8, 16.2, 16, 16], **flat),
        ],
        columns=COLUMNS,
    )
    return GenerationEffect(frame, {"model": "tiny", "items": 4 * TIMES, **metadata})
