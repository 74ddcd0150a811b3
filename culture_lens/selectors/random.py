"""Random neurons: the baseline that every claim is held against."""

from __future__ import annotations

from dataclasses import replace

import torch

from culture_lens.items import stable_hash
from culture_lens.neurons import Neurons, NeuronSet
from culture_lens.scores import NeuronScores
from culture_lens.statistics import ActivationSummary


def generator(seed: int, *names: str) -> torch.Generator:
    """Make a random generator that depends on a seed and some names, the same everywhere."""
    key = stable_hash("\0".join((str(seed), *names)))
    return torch.Generator().manual_seed(key % 2**63)


def random(summary: ActivationSummary, *, seed: int = 0) -> NeuronScores:
    """Score every neuron of every culture by a random number.

    Args:
        summary: Gives the cultures and shapes; its counts are not looked at.
        seed: The seed.

    Example:
        ``random(summary, seed=1).top(share=0.005)``
    """
    scores = {
        site: torch.stack(
            [
                torch.rand(
                    summary.counts[site].shape[1:],
                    generator=generator(seed, site, culture),
                    dtype=torch.float64,
                )
                for culture in summary.cultures
            ]
        )
        for site in summary.sites
    }
    return NeuronScores(summary.cultures, scores)


def matched_random(found: NeuronSet, seed: int = 0) -> NeuronSet:
    """Draw random neurons with the numbers of another set at each site, layer and culture.

    A culture's own neurons may be drawn too, as by chance they would be (paper A's baseline).

    Example:
        ``baselines = [matched_random(found, seed) for seed in range(5)]``
    """
    drawn = {}
    for culture, neurons in found.neurons.items():
        places: dict[str, list[tuple[int, int]]] = {}
        for site, (n_layers, width) in found.shapes.items():
            source = generator(seed, site, culture)
            counts = neurons.per_layer(site, n_layers).tolist()
            places[site] = [
                (layer, index)
                for layer, count in enumerate(counts)
                for index in torch.randperm(width, generator=source)[:count].tolist()
            ]
        drawn[culture] = Neurons.of(places)
    metadata = {**found.metadata, "selector": "random", "seed": seed, "matched_to": found.method}
    return replace(found, neurons=drawn, metadata=metadata)
