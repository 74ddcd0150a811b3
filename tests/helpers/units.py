"""A comparison of two kinds of units by hand: neurons that break answers, features that do not."""

import pandas as pd

from culture_lens.experiments.units_compared import UnitsComparison
from tests.helpers.results import CULTURES, make_matrix

SIZES = {("neurons", "found"): (4, 0.2), ("neurons", "random"): (4, 0.1)}
SIZES |= {("features", "found"): (2, 0.1), ("features", "random"): (6, 0.2)}


def units_by_hand(cultures=CULTURES, **metadata):
    """Features leave every answer as it is, and so do random ones; neurons are make_matrix's."""
    frame = make_matrix(cultures).frame.drop(columns="scores")
    base = frame["condition"] == "unmodified"
    neurons = frame.assign(units=["" if one else "neurons" for one in base])
    right = neurons[base].set_index("id")
    features = neurons[~base].assign(units="features")
    for column in ("prediction", "correct", "p_gold"):
        features[column] = features["id"].map(right[column])
    edits = [
        {"condition": c, "units": units, "mask": culture, "seed": seed, "scale": None}
        | {"number": number, "norm": norm, "places": []}
        for (units, c), (number, norm) in SIZES.items()
        for culture in cultures
        for seed in range(2 if c == "random" else 1)
    ]
    facts = {"model": "org/tiny", "benchmark": "made", "items": 36, "equal": "number", "k": 4}
    facts |= {"methods": {"neurons": "conact", "features": "knowledge"}, "edits": edits}
    return UnitsComparison(pd.concat([neurons, features], ignore_index=True), {**facts, **metadata})
