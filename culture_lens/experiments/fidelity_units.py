"""What ``fidelity`` ablates: single neurons, and sets of neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores, pooled_top
from culture_lens.selectors.random import generator

UnitKind = Literal["neuron", "set", "cell"]
NEURON: Final = "neuron"
SET: Final = "set"
CELL: Final = "cell"
"""A cell of an ablation matrix: the neurons of one culture, on the questions of another."""


@dataclass(frozen=True, eq=False)
class Unit:
    """What is ablated together: one neuron with its score, or a set.

    Attributes:
        name: Such as ``"gate 3.17"`` or ``"top 0.1%"``.
        kind: ``"neuron"`` or ``"set"``.
        neurons: The neurons.
        score: The attribution score of a single neuron, else NaN.
    """

    name: str
    kind: UnitKind
    neurons: Neurons
    score: float = float("nan")


def overall_scores(scores: NeuronScores | CulnigScores) -> dict[str, Tensor]:
    """Give one score per neuron, over all cultures: task minus control for CULNIG."""
    tables = scores.contrast() if isinstance(scores, CulnigScores) else scores.scores
    return {site: values.sum(0) for site, values in tables.items()}


def check_scores_of(model: LensModel, tables: Mapping[str, Tensor]) -> None:
    """Refuse scores whose shape is not that of the model.

    Raises:
        InputError: Names the site and the shapes.
    """
    for site, values in tables.items():
        have = model.shape(site)
        if tuple(values.shape) != have:
            raise InputError(
                f"these scores have {tuple(values.shape)} neurons (layer neuron) at site {site!r}, "
                f"{model.name!r} has {have}: use the model they were made on."
            )
        if len(model.layers_of(site)) < have[0]:
            raise InputError(
                f"fidelity samples from every layer, and site {site!r} has units at layers "
                f"{', '.join(map(str, model.layers_of(site)))} of {have[0]} alone: give units for "
                "every layer, or compare single units with ablation_matrix."
            )


def sample_neurons(
    scores: Mapping[str, Float[Tensor, "layer neuron"]], number: int, seed: int
) -> dict[tuple[str, int, int], float]:
    """Sample single neurons: half at ranks spread evenly on a log scale, the rest at random.

    Most neurons have almost no effect: a random sample would compare noise with noise, and the best
    neurons alone would say nothing about the others.

    Returns:
        ``(site, layer, index)`` -> score.
    """
    flat = torch.cat([values.flatten() for values in scores.values()])
    order = torch.sort(flat, descending=True, stable=True).indices
    number = min(number, len(flat))
    if number < 1:
        return {}
    spread = np.unique(np.geomspace(1, len(flat), max(1, number - number // 2)).astype(int)) - 1
    drawn = torch.randperm(len(flat), generator=generator(seed, "fidelity")).tolist()
    chosen = list(dict.fromkeys([*order[spread].tolist(), *drawn]))[:number]
    found = {}
    for place in chosen:
        rest = place
        for site, values in scores.items():
            if rest < values.numel():
                width = values.shape[1]
                found[site, rest // width, rest % width] = float(flat[place])
                break
            rest -= values.numel()
    return found


def list_units(
    tables: Mapping[str, Float[Tensor, "layer neuron"]],
    neurons: int,
    shares: Sequence[float],
    sets: Mapping[str, Neurons],
    seed: int,
) -> list[Unit]:
    """List single neurons, the best and random sets at each share, and given sets.

    Raises:
        InputError: Two units have the same name.
    """
    units = [
        Unit(f"{site} {layer}.{index}", NEURON, Neurons.of({site: [(layer, index)]}), score)
        for (site, layer, index), score in sample_neurons(tables, neurons, seed).items()
    ]
    noise = {
        site: torch.rand(values.shape, generator=generator(seed, "fidelity sets", site))
        for site, values in tables.items()
    }
    total = sum(values.numel() for values in tables.values())
    for share in shares:
        if int(share * total) >= 1:
            units.append(Unit(f"top {100 * share:.6g}%", SET, pooled_top(tables, share)))
            units.append(Unit(f"random {100 * share:.6g}%", SET, pooled_top(noise, share)))
    units += [Unit(name, SET, chosen) for name, chosen in sets.items() if len(chosen)]
    names = [unit.name for unit in units]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two units would be called {name!r}: give shares and sets once each.")
    return units
