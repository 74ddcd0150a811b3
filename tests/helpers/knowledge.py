"""Tables of the selector ``knowledge`` drawn at random, and its equation in plain numpy."""

import numpy as np
import torch

from culture_lens.attribution.activity import SQUARES
from culture_lens.attribution.knowledge import KnowledgeScores
from culture_lens.attribution.settings import Attribution
from culture_lens.neurons.scores import NeuronScores

SHAPES = {"act": (3, 20), "v": (3, 7)}
ITEMS = {"Brazil": 3, "China": 5, "Iran": 4, "Japan": 2}


def neuron_scores(tables, items, **facts):
    """Scores of site -> [culture, layer, neuron], sums over so many items of each culture."""
    asked = [f"{culture}/{n}" for culture in items for n in range(items[culture])]
    metadata = {
        "model": "tiny", "weights": "w", "dtype": "torch.float64", "items": items, "ids": asked,
        **{name: getattr(Attribution(), name) for name in Attribution.__dataclass_fields__},
        **facts,
    }  # fmt: skip
    return NeuronScores(
        tuple(items),
        {site: torch.as_tensor(values, dtype=torch.float64) for site, values in tables.items()},
        metadata=metadata,
    )


def drawn(seed, items=None, named=None, halves=True):
    """Random sums, CountryRC of some cultures, activities; as arrays and as ``KnowledgeScores``."""
    items = ITEMS if items is None else items
    named = list(items) if named is None else named
    source = np.random.default_rng(seed)

    def table(cultures):
        return {s: source.standard_normal((len(cultures), *n)) + 0.5 for s, n in SHAPES.items()}

    each = np.array(list(items.values()))[:, None, None]
    one, other = table(items), table(items)
    task = {site: one[site] + other[site] for site in SHAPES}
    country = table(named)
    mean = {site: source.random((len(items), *n)) for site, n in SHAPES.items()}
    square = {site: mean[site] ** 2 * (1 + source.random(mean[site].shape)) for site in SHAPES}
    for site in SHAPES:
        mean[site][:, 0, :2] = square[site][:, 0, :2] = 0  # neurons that are never active
    activity = {site: mean[site] * each for site in SHAPES}
    activity |= {SQUARES + site: square[site] * each for site in SHAPES}
    arrays = {"task": task, "country": country, "mean": mean, "square": square}
    half = {culture: 1 for culture in items}
    scores = KnowledgeScores(
        neuron_scores(task, items),
        neuron_scores(country, {culture: 2 for culture in named}),
        neuron_scores(activity, items),
        (neuron_scores(one, half), neuron_scores(other, half)) if halves else (),
    )
    return arrays, scores


def by_the_equation(arrays, items, named, weight=0.5):
    """The score of every neuron, in plain loops; minus infinity where it is not above 0."""
    cultures, found = list(items), {}
    for site, sums in arrays["task"].items():
        out = np.full(sums.shape, -np.inf)
        for place in np.ndindex(sums.shape):
            row, layer, neuron = place
            g = [sums[r, layer, neuron] / items[c] for r, c in enumerate(cultures)]
            others = sorted((x for r, x in enumerate(g) if r != row), reverse=True)
            second = max(others[1] if len(others) > 1 else others[0], 0)
            r_country = 0.0
            if cultures[row] in named:
                at = named.index(cultures[row])
                r_country = arrays["country"][site][at, layer, neuron] / 2
            mean, square = arrays["mean"][site][place], arrays["square"][site][place]
            varying = 1 - mean**2 / square if square > 0 else 0.0
            own = g[row]
            if own <= 0:
                continue
            factors = (own - weight * r_country, 1 - second / own, varying, own / max(g))
            if min(factors) > 0:
                out[place] = np.prod(factors)
        found[site] = out
    return found
