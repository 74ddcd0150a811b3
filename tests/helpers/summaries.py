"""Summaries of activations with given counts, and neuron sets as plain sets of places."""

import torch

from culture_lens.activations.summary import ActivationSummary


def summary_with(p, tokens=1000, site="act", cultures=None, **metadata):
    """A summary whose P is the given table, ``culture neuron``."""
    table = (torch.tensor(p, dtype=torch.float64) * tokens).round().long()[:, None]
    return ActivationSummary(
        cultures=tuple(cultures or "abcdefg"[: len(table)]),
        items=torch.full((len(table),), 3),
        tokens=torch.full((len(table),), tokens),
        counts={site: table},
        metadata={"model": "m", "weights": "w", "dtype": "float32", **metadata},
    )


CULTURES = ("x", "y", "z")
# One layer, four neurons, ten tokens each; sums are the counts, so means equal P.
COUNTS = {"x": [9, 5, 2, 0], "y": [8, 5, 1, 0], "z": [1, 5, 6, 0]}


def summary_of_counts(counts=COUNTS, total=10, order=None):
    cultures = tuple(order or sorted(counts))
    table = torch.tensor([[counts[c]] for c in cultures])
    return ActivationSummary(
        cultures=cultures,
        items=torch.ones(len(cultures), dtype=torch.long),
        tokens=torch.full((len(cultures),), total),
        counts={"act": table},
        sums={"act": table.double()},
        squares={"act": table.double()},
        metadata={"model": "hand"},
    )


def places(found):
    return {c: {tuple(p) for p in found[c].places["act"].tolist()} for c in found}


def in_first_layer(**neurons):
    return {culture: {(0, index) for index in chosen} for culture, chosen in neurons.items()}
