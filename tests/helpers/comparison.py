"""Comparisons of selectors: one on a tiny model that knows nothing, and one by hand."""

import functools
import warnings

import pandas as pd

from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning
from culture_lens.experiments.comparison.compare import compare_selectors
from culture_lens.experiments.comparison.result import Comparison
from tests.helpers.lm import lens
from tests.helpers.neurons import CULTURES
from tests.helpers.questions import asked_twice, toy_questions
from tests.helpers.tiny import D_MLP, N_LAYERS

SHARES = (0.03, 0.15)
NUMBERS = [int(share * N_LAYERS * D_MLP) for share in SHARES]


def two_passages():
    """A few CountryRC questions on the toy cultures."""
    every = load_benchmark("countryrc", countries=CULTURES, pool=CULTURES, split="identify")
    return [question for question in every if question.group in ("rc-01", "rc-02")]


def compared_quietly(*arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        return compare_selectors(*arguments, progress=False, **options)


@functools.cache
def compared_on_llama():
    """All six selectors on a tiny model that knows nothing."""
    return compared_quietly(
        lens("llama"),
        asked_twice(toy_questions()),
        shares=SHARES,
        random_seeds=2,
        countryrc=two_passages(),
    )


def compared_by_hand():
    """Two cultures, two groups of two items, two selectors: which answers are right."""
    items = [(c, g, i) for c in "ab" for g in ("g1", "g2") for i in range(2)]
    right = {
        # items of a: g1 g1 g2 g2, then of b
        ("unmodified", "", ""): "1111 1110",
        ("found", "sharp", "a"): "0001 1110",
        ("found", "sharp", "b"): "1111 0010",
        ("found", "blunt", "a"): "0011 0010",
        ("found", "blunt", "b"): "0101 1100",
    }
    rows = []
    for (condition, selector, mask), bits in right.items():
        for (culture, group, number), bit in zip(items, bits.replace(" ", ""), strict=True):
            rows.append(
                {
                    "condition": condition, "selector": selector, "share": 0.1 if mask else 0.0,
                    "mask": mask, "seed": 0, "id": f"{culture}{group}{number}",
                    "culture": culture, "group": group, "category": "", "prediction": int(bit),
                    "correct": bit == "1", "p_gold": 0.5,
                }
            )  # fmt: skip
    layers = [
        {"selector": s, "share": 0.1, "mask": m, "seed": 0, "counts": counts}
        for s, m, counts in (
            ("sharp", "a", [3, 1]), ("sharp", "b", [0, 2]), ("blunt", "a", [0, 0]),
            ("blunt", "b", [1, 3]),
        )
    ]  # fmt: skip
    return Comparison(pd.DataFrame(rows), {"numbers": [4], "layers": layers, "model": "m"})
