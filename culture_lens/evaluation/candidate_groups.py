"""Groups of a culture's candidates, the best first, which ``confirm`` ablates one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons


@dataclass(frozen=True, eq=False)
class Group:
    """A group of candidates of one culture.

    Attributes:
        culture: Whose candidates they are.
        first: Rank of the best of them, from 1.
        neurons: The candidates.
    """

    culture: str
    first: int
    neurons: Neurons


def cut(culture: str, candidates: Neurons, groups: int) -> list[Group]:
    """Cut candidates, the best first, into groups of like size.

    Raises:
        InputError: Fewer candidates than groups, or candidates without scores.

    Example:
        >>> import torch
        >>> places = torch.tensor([(0, 1), (0, 2), (1, 0)])
        >>> scored = Neurons({"act": places}, {"act": torch.tensor([0.1, 0.3, 0.2])})
        >>> [sorted(group.neurons.members()) for group in cut("Japan", scored, 2)]
        [[('act', 0, 2), ('act', 1, 0)], [('act', 0, 1)]]
    """
    if not len(candidates):
        return []
    if set(candidates.scores) != set(candidates.places):
        raise InputError(
            f"the candidates of {culture} carry no scores, so none is the best: take them from a "
            "selector."
        )
    ranked = sorted(
        (-float(score), site, *place)
        for site, scores in candidates.scores.items()
        for score, place in zip(scores, candidates.places[site].tolist(), strict=True)
    )
    if len(ranked) < groups:
        raise InputError(
            f"{culture} has {len(ranked)} candidates for {groups} groups: give more candidates, or "
            f"groups of at most {len(ranked)}."
        )
    at = np.array_split(np.arange(len(ranked)), groups)
    return [
        Group(culture, int(part[0]) + 1, of_places([ranked[n][1:] for n in part])) for part in at
    ]


def of_places(places: Sequence[tuple[Any, ...]]) -> Neurons:
    """Make neurons of (site, layer, index)."""
    sites: dict[str, list[tuple[int, int]]] = {}
    for site, layer, index in places:
        sites.setdefault(site, []).append((layer, index))
    return Neurons.of({site: sorted(own) for site, own in sites.items()})


def union(groups: Sequence[Group], culture: str, found: NeuronSet) -> Neurons:
    """Put a culture's kept groups together again, with the scores they were found with."""
    own = [group.neurons for group in groups if group.culture == culture]
    if not own:
        return Neurons({})
    kept = own[0]
    for other in own[1:]:
        kept = kept | other
    return found[culture] & kept
