"""Knowledge's scores by hand: two cultures, or three, of a few neurons."""

import torch

from culture_lens.attribution.activity import SQUARES
from culture_lens.attribution.knowledge import KnowledgeScores
from culture_lens.neurons.scores import NeuronScores

CULTURES = ("Japan", "Mexico", "Peru")
ITEMS = {"Japan": 2, "Mexico": 4, "Peru": 1}
FACTS = {
    "model": "m", "weights": "w", "dtype": "torch.float32", "objective": "logit_difference",
    "scoring": "letter", "path": "integrated", "points": 6, "baseline": "zero",
    "aggregation": "maximum", "positions": "all", "control": False,
}  # fmt: skip


def table(rows, cultures=CULTURES, ids=("a", "b"), site="act", **changes):
    """Sums of one layer: a row for each culture."""
    values = torch.tensor(rows, dtype=torch.float64)[:, None]
    items = {culture: ITEMS[culture] for culture in cultures}
    held = {**FACTS, "items": items, "right": items, "ids": list(ids), "groups": list(ids)}
    return NeuronScores(tuple(cultures), {site: values}, metadata={**held, **changes})


def activity(mean, square, cultures=CULTURES):
    """Sums of activity and of its squares, from means over items."""
    items = torch.tensor([ITEMS[culture] for culture in cultures]).double()[:, None, None]
    values = {
        name: torch.tensor(rows, dtype=torch.float64)[:, None] * items
        for name, rows in (("act", mean), (SQUARES + "act", square))
    }
    held = {"items": {culture: ITEMS[culture] for culture in cultures}, "ids": ["a", "b"]}
    return NeuronScores(tuple(cultures), values, metadata=held)


def known(**changes) -> KnowledgeScores:
    """Three cultures and two neurons, whose activity differs between items."""
    one = [[1.0, 2.0]] * 3
    parts = {
        "task": table([[4.0, 0.0], [4.0, 8.0], [0.0, 1.0]]),
        "country": table([[1.0, 0.0], [2.0, 0.0]], CULTURES[:2], ids=("c",)),
        "activity": activity(one, [[2.0, 8.0]] * 3),
    }
    return KnowledgeScores(**{**parts, **changes})
