"""How stable neuron sets are over seeds, wordings, or halves of the questions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.checks import check_arguments, mapping, text
from culture_lens.errors import InputError, warn
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import jaccard
from culture_lens.neurons.overlap import chance_of_sharing, expected_jaccard
from culture_lens.statistics.estimates import Estimate, t_estimate
from culture_lens.statistics.tables import numeric

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.neurons.overlap import Match


@check_arguments(sets=mapping(FOUND_SET, "{name: NeuronSet}"), match=text)
def set_stability(sets: Mapping[str, NeuronSet], *, match: Match = "layer") -> pd.DataFrame:
    """Give the overlap of each culture's neurons when they are found several times.

    Find them with several seeds, wordings, or halves of the questions (see ``halves``), and give
    the results by name. The mean Jaccard overlap over pairs of sets is given beside that of random
    sets of the same sizes.

    Pairs share sets and are not independent: the interval is a jackknife that leaves out one set
    at a time (Student's t over its pseudo-values), so it needs three sets or more; it covers other
    sets of this kind. Sets found on overlapping questions overlap more than sets found on new ones.

    Args:
        sets: Neuron sets by name, of one model.
        match: ``"layer"``, ``"site"`` or ``"pool"``; see ``neurons.overlap``.

    Returns:
        Per culture, and for their mean: ``pairs``, ``jaccard`` with its interval (none from two
        sets) and ``by_chance``.

    Raises:
        InputError: Fewer than two sets, sets of different shapes, no culture in common, or empty
            sets only.

    Example:
        ``set_stability({f"wording {i}": found_with(i) for i in range(4)})``
    """
    import pandas as pd

    cultures = common_cultures(sets)
    names = list(sets)
    pairs = list(combinations(range(len(names)), 2))
    overlaps, chance = np.zeros((len(pairs), len(cultures))), np.zeros((len(pairs), len(cultures)))
    shapes, facts = sets[names[0]].shapes, sets[names[0]].metadata
    for column, culture in enumerate(cultures):
        neurons = [sets[name][culture] for name in names]
        members = [own.members() for own in neurons]
        for row, (a, b) in enumerate(pairs):
            overlaps[row, column] = jaccard(members[a], members[b])
            chances = chance_of_sharing([neurons[a], neurons[b]], shapes, match, facts)
            sizes = len(members[a]), len(members[b])
            chance[row, column] = expected_jaccard(chances, sizes)
    empty = np.isnan(overlaps).any(0)
    if empty.all():
        raise InputError("for every culture two of these sets are empty: nothing to compare.")
    if empty.any():
        warn(
            "both sets of a pair are empty, so they have no overlap, for "
            f"{', '.join(cultures[column] for column in np.flatnonzero(empty))}."
        )
    overlaps = np.concatenate([overlaps, overlaps[:, ~empty].mean(1, keepdims=True)], 1)
    chance = np.concatenate([chance, chance[:, ~empty].mean(1, keepdims=True)], 1)
    table = pd.DataFrame(
        {
            "pairs": len(pairs),
            "jaccard": [mean_of_pairs(own, len(names)) for own in overlaps.T],
            "by_chance": chance.mean(0),
        },
        index=[*cultures, "mean"],
    )
    return numeric(table)


def common_cultures(sets: Mapping[str, NeuronSet]) -> list[str]:
    """List the cultures that all sets have; warn of those left out.

    Raises:
        InputError: Fewer than two sets, sets of different shapes, or no culture in common.
    """
    if len(sets) < 2:
        raise InputError("stability needs at least two neuron sets to compare.")
    shapes = {name: {s: tuple(v) for s, v in found.shapes.items()} for name, found in sets.items()}
    units = {name: found.metadata.get("units", {}) for name, found in sets.items()}
    first, *others = shapes
    for name in others:
        if shapes[name] != shapes[first]:
            raise InputError(
                f"sets {first!r} and {name!r} are of models or sites with different shapes "
                f"({shapes[first]}, {shapes[name]}): compare sets of one model and its same sites."
            )
        if units[name] != units[first]:
            raise InputError(
                f"sets {first!r} and {name!r} are of different units at "
                f"{', '.join(units[name] | units[first])}: compare units of one autoencoder (the "
                "same heads, directions)."
            )
    named = dict.fromkeys(culture for found in sets.values() for culture in found)
    common = [culture for culture in named if all(culture in found for found in sets.values())]
    left = [culture for culture in named if culture not in common]
    if not common:
        raise InputError("these sets have no culture in common, so nothing can be compared.")
    if left:
        warn(f"{len(left)} cultures are not in every set and left out: {', '.join(left)}.")
    return common


def mean_of_pairs(values: Float[np.ndarray, " pair"], n: int) -> Estimate:
    """Estimate the mean over all pairs of n sets, by a jackknife over the sets.

    With m the mean over all pairs and m[i] that without set i, the pseudo-values are
    n m - (n - 1) m[i]; their mean is m. The interval is clipped to 0 and 1.

    Example:
        >>> mean_of_pairs(np.array([0.5, 0.5, 0.5]), 3)
        Estimate(value=0.5, low=0.5, high=0.5)
    """
    mean = float(values.mean())
    if n < 3 or np.isnan(mean):
        return Estimate(mean, np.nan, np.nan)
    pairs = list(combinations(range(n), 2))
    without = [
        np.mean([v for v, p in zip(values, pairs, strict=True) if i not in p]) for i in range(n)
    ]
    spread = t_estimate([float(n * mean - (n - 1) * other) for other in without])
    return Estimate(mean, max(0.0, spread.low), min(1.0, spread.high))
