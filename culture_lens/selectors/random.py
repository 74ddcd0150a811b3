"""Random neurons: the baseline that every claim is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from culture_lens.errors import unknown
from culture_lens.items import stable_hash
from culture_lens.neurons import Neurons, NeuronSet, Shape
from culture_lens.scores import NeuronScores
from culture_lens.statistics import ActivationSummary

Places = dict[str, list[tuple[int, int]]]
MATCHES = ("layer", "pool")


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


def matched_random(found: NeuronSet, seed: int = 0, *, match: str = "layer") -> NeuronSet:
    """Draw random neurons, as many as another set has.

    A culture's own neurons may be drawn too, as by chance they would be.

    Args:
        found: The set to match.
        seed: The seed.
        match: ``"layer"`` keeps the numbers at each site and layer (paper A's baseline, and the
            stricter one); ``"pool"`` draws each culture's whole number from all sites and layers
            together (paper B's).

    Raises:
        InputError: An unknown way to match.

    Example:
        ``baselines = [matched_random(found, seed) for seed in range(5)]``
    """
    if match not in MATCHES:
        raise unknown("way to match random neurons", match, MATCHES)
    draw = per_layer if match == "layer" else from_pool
    drawn = {
        culture: Neurons.of(draw(neurons, found.shapes, seed, culture))
        for culture, neurons in found.neurons.items()
    }
    known = {"selector": "random", "seed": seed, "matched_to": found.method, "match": match}
    return replace(found, neurons=drawn, metadata={**found.metadata, **known})


def per_layer(neurons: Neurons, shapes: Mapping[str, Shape], seed: int, culture: str) -> Places:
    """Draw the numbers of a set at each site and layer."""
    places: Places = {}
    for site, (n_layers, width) in shapes.items():
        source = generator(seed, site, culture)
        places[site] = [
            (layer, index)
            for layer, count in enumerate(neurons.per_layer(site, n_layers).tolist())
            for index in torch.randperm(width, generator=source)[:count].tolist()
        ]
    return places


def from_pool(neurons: Neurons, shapes: Mapping[str, Shape], seed: int, culture: str) -> Places:
    """Draw the whole number of a set from the neurons of all sites and layers."""
    sizes = {site: layers * width for site, (layers, width) in shapes.items()}
    source = generator(seed, "pool", culture)
    drawn = torch.randperm(sum(sizes.values()), generator=source)[: len(neurons)]
    places: Places = {}
    for site, size in sizes.items():
        here = drawn[(drawn >= 0) & (drawn < size)]
        width = shapes[site][1]
        places[site] = list(zip((here // width).tolist(), (here % width).tolist(), strict=True))
        drawn = drawn - size
    return places
