"""Neurons that sets share, compared with chance.

Two random sets of a and b neurons out of N share k of them with the hypergeometric probability
P(k) = C(a,k) C(N-a,b-k) / C(N,b), and ab/N on average. Selectors prefer some layers, so their sets
share more than that even where they choose at random within layers. What is drawn from is the
``match``, and each set keeps its number of neurons there:

============  ================================================================
``"layer"``   each layer of each site, summed: the default and the strictest
``"site"``    each site, its layers together
``"pool"``    all sites and layers together
============  ================================================================

Layers without units, such as those without an autoencoder, are no part of a pool.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from culture_lens.checks import any_names, check_arguments, text
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import Neurons, Shape, jaccard
from culture_lens.neurons.with_units import number_of_units
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.permutation import CORRECTIONS, corrected
from culture_lens.statistics.tables import numeric

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.statistics.permutation import Correction

    Match = Literal["layer", "site", "pool"]

MATCHES: tuple[Match, ...] = ("layer", "site", "pool")
Chances = Float[np.ndarray, " shared"]
NOTHING_KNOWN: Mapping[str, Any] = MappingProxyType({})
"""Metadata by which every layer has units."""


def chance_of_sharing(
    sets: Sequence[Neurons],
    shapes: Mapping[str, Shape],
    match: Match = "layer",
    metadata: Mapping[str, Any] = NOTHING_KNOWN,
) -> Chances:
    """Give the probability that random sets of these sizes share 0, 1, 2, ... neurons.

    Args:
        sets: Two sets or more; shared means in all of them.
        shapes: Layers and neurons per layer of each site.
        match: ``"layer"``, ``"site"`` or ``"pool"``; see the module.
        metadata: Of the sets: which layers have ``units``.

    Raises:
        InputError: An unknown way to match.

    Example:
        >>> one, other = Neurons.of({"act": [(0, 0)]}), Neurons.of({"act": [(0, 1)]})
        >>> chance_of_sharing([one, other], {"act": (1, 4)}).round(9).tolist()
        [0.75, 0.25]
    """
    total = np.ones(1)
    for chances in chance_in_pools(*pools(sets, shapes, match, metadata)):
        total = np.convolve(total, np.trim_zeros(chances, "b"))
    return total


def pools(
    sets: Sequence[Neurons],
    shapes: Mapping[str, Shape],
    match: Match,
    metadata: Mapping[str, Any] = NOTHING_KNOWN,
) -> tuple[Int[np.ndarray, " pool"], Int[np.ndarray, "set pool"]]:
    """Give the size of each pool that neurons are drawn from, and how many each set has in it.

    Raises:
        InputError: An unknown way to match.
    """
    if match not in MATCHES:
        raise unknown("way to match random neurons", match, MATCHES)
    numbers = list(number_of_units(shapes, metadata).values())
    if match == "pool":
        return np.array([sum(numbers)]), np.array([[len(neurons)] for neurons in sets])
    if match == "site":
        return np.array(numbers), np.array(
            [[len(own.places.get(site, ())) for site in shapes] for own in sets]
        )
    sizes = np.repeat([width for _, width in shapes.values()], [n for n, _ in shapes.values()])
    counts = [
        [n for site, (layers, _) in shapes.items() for n in own.per_layer(site, layers).tolist()]
        for own in sets
    ]
    return sizes, np.array(counts)


def chance_in_pools(
    numbers: Int[np.ndarray, " pool"], sizes: Int[np.ndarray, "set pool"]
) -> Float[np.ndarray, "pool shared"]:
    """Give the probability of sharing 0, 1, 2, ... of each pool's neurons.

    With more than two sets: P'(k) = sum over h of P(h) times the probability that h neurons and
    the next set share k.

    Example:
        >>> chance_in_pools(np.array([4]), np.array([[2], [2]])).round(9).tolist()
        [[0.166666667, 0.666666667, 0.166666667]]
    """
    from scipy.stats import hypergeom

    first, second, *rest = sizes
    shared = np.arange(int(np.minimum(first, second).max()) + 1)
    # exp of the logarithm, by beta functions, is a hundred times as fast as scipy's pmf
    chances: np.ndarray = np.exp(
        hypergeom.logpmf(shared, numbers[:, None], first[:, None], second[:, None])
    )
    for size in rest:
        held = np.arange(chances.shape[1])
        shared = np.arange(min(chances.shape[1], int(size.max()) + 1))
        meet = np.exp(
            hypergeom.logpmf(shared, numbers[:, None, None], held[:, None], size[:, None, None])
        )
        # A pool smaller than h holds no h: scipy says NaN, and P(h) is 0 there.
        chances = np.einsum("ph,phk->pk", chances, np.nan_to_num(meet))
    return chances


def expected_shared(
    sets: Sequence[Neurons],
    shapes: Mapping[str, Shape],
    match: Match = "layer",
    metadata: Mapping[str, Any] = NOTHING_KNOWN,
) -> float:
    """Give the mean number of neurons that two random sets of these sizes share, sum of ab/N.

    Example:
        >>> one, other = Neurons.of({"act": [(0, 0)]}), Neurons.of({"act": [(0, 1), (0, 2)]})
        >>> expected_shared([one, other], {"act": (1, 4)})
        0.5
    """
    numbers, (first, second) = pools(sets, shapes, match, metadata)
    return float((first * second / numbers).sum())


def expected_jaccard(chances: Chances, sizes: tuple[int, int]) -> float:
    """Give the mean Jaccard overlap of two random sets; NaN where both are empty.

    Example:
        >>> round(expected_jaccard(np.array([0.75, 0.25]), (1, 1)), 9)
        0.25
    """
    shared = np.arange(len(chances))
    with np.errstate(invalid="ignore"):
        return float((chances * (shared / (sum(sizes) - shared))).sum())


def against_chance(observed: int, chances: Chances) -> tuple[Estimate, float]:
    """Give the number shared by chance, mean and middle 95%, and the p of sharing as many or more.

    Example:
        >>> against_chance(1, np.array([0.75, 0.25]))
        (Estimate(value=0.25, low=0.0, high=1.0), 0.25)
    """
    shared, rising = np.arange(len(chances)), np.cumsum(chances)
    low, high = (float(np.searchsorted(rising, level - 1e-12)) for level in (0.025, 0.975))
    expected = Estimate(float(shared @ chances), low, min(high, float(len(chances) - 1)))
    return expected, min(1.0, float(chances[observed:].sum()))


@check_arguments(found=FOUND_SET, match=text, correction=text)
def overlap_with_chance(
    found: NeuronSet, *, match: Match = "layer", correction: Correction = "holm"
) -> pd.DataFrame:
    """Compare the overlap of every two cultures' neurons with chance.

    Args:
        found: The neurons.
        match: ``"layer"``, ``"site"`` or ``"pool"``; see the module.
        correction: ``"holm"`` or ``"benjamini-hochberg"``, over pairs.

    Returns:
        One row per pair: ``one``, ``other``, ``shared``, ``by_chance`` (the mean, and the middle
        95% of the chance distribution), ``jaccard``, ``jaccard_by_chance``, ``p`` (of sharing as
        many or more by chance) and ``corrected_p``. The sets are taken as fixed: whether other
        questions would give the same sets is a different question; see ``set_stability``.

    Raises:
        InputError: Fewer than two cultures, or an unknown way to match or correct.

    Example:
        ``overlap_with_chance(found).sort_values("p")``
    """
    import pandas as pd

    if len(found) < 2:
        raise InputError("overlap needs at least two cultures.")
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    members = {culture: found[culture].members() for culture in found}
    rows = []
    for one, other in combinations(found, 2):
        pair = [found[one], found[other]]
        chances = chance_of_sharing(pair, found.shapes, match, found.metadata)
        shared = len(members[one] & members[other])
        by_chance, p = against_chance(shared, chances)
        sizes = len(members[one]), len(members[other])
        rows.append(
            {
                "one": one,
                "other": other,
                "shared": shared,
                "by_chance": by_chance,
                "jaccard": jaccard(members[one], members[other]),
                "jaccard_by_chance": expected_jaccard(chances, sizes),
                "p": p,
            }
        )
    table = pd.DataFrame(rows)
    return numeric(table.assign(corrected_p=corrected(table["p"].to_numpy(), correction)))


@check_arguments(found=FOUND_SET, cultures=any_names, match=text)
def shared_with_chance(
    found: NeuronSet, cultures: Sequence[str] = (), *, match: Match = "layer"
) -> dict[str, int | float | Estimate]:
    """Compare the number of neurons that several cultures all have with chance.

    Args:
        found: The neurons.
        cultures: Two or more; all where not given.
        match: ``"layer"``, ``"site"`` or ``"pool"``; see the module.

    Returns:
        ``shared``, ``by_chance`` and ``p``, as in ``overlap_with_chance``.

    Raises:
        InputError: Fewer than two cultures, an unknown one, or an unknown way to match.

    Example:
        ``shared_with_chance(found, ["Japan", "China", "South Korea"])``
    """
    names = list(dict.fromkeys(cultures or found.cultures))
    if len(names) < 2:
        raise InputError("overlap needs at least two cultures.")
    sets = [found[name] for name in names]
    chances = chance_of_sharing(sets, found.shapes, match, found.metadata)
    shared = len(found.shared(*names))
    by_chance, p = against_chance(shared, chances)
    return {"shared": shared, "by_chance": by_chance, "p": p}
