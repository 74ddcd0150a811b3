"""What neuron sets have in common, held against chance.

Two sets of a and b of N neurons, drawn at random, share k of them with the hypergeometric
probability P(k) = C(a,k) C(N-a,b-k) / C(N,b). Selectors prefer some layers, and then share more
than that by chance alone: with ``match="layer"`` (the default, and the stricter) the draw is made
within each site and layer, where each set keeps its number, and the layers are summed;
``"pool"`` draws from all sites and layers together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from culture_lens.errors import InputError, unknown
from culture_lens.neurons.neuron_set import Neurons, NeuronSet, Shape, jaccard
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.permutation import CORRECTIONS, corrected

if TYPE_CHECKING:
    import pandas as pd

MATCHES = ("layer", "pool", "activity")
"""What random neurons have in common with those they stand beside: their layer, or nothing."""
Chances = Float[np.ndarray, " shared"]


def chance_of_sharing(
    sets: Sequence[Neurons], shapes: Mapping[str, Shape], match: str = "layer"
) -> Chances:
    """Give the probability that random sets of these sizes share 0, 1, 2, ... neurons.

    Args:
        sets: Two sets or more; shared means in all of them.
        shapes: Layers and neurons per layer of each site.
        match: ``"layer"`` or ``"pool"``.

    Raises:
        InputError: An unknown way to match.

    Example:
        >>> one, other = Neurons.of({"act": [(0, 0)]}), Neurons.of({"act": [(0, 1)]})
        >>> chance_of_sharing([one, other], {"act": (1, 4)}).round(9).tolist()
        [0.75, 0.25]
    """
    if match not in MATCHES:
        raise unknown("way to match random neurons", match, MATCHES)
    total = np.ones(1)
    for chances in chance_in_pools(*pools(sets, shapes, match)):
        total = np.convolve(total, np.trim_zeros(chances, "b"))
    return total


def pools(
    sets: Sequence[Neurons], shapes: Mapping[str, Shape], match: str
) -> tuple[Int[np.ndarray, " pool"], Int[np.ndarray, "set pool"]]:
    """Give the size of each pool that neurons are drawn from, and each set's number in it."""
    if match == "pool":
        number = sum(layers * width for layers, width in shapes.values())
        return np.array([number]), np.array([[len(neurons)] for neurons in sets])
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

    What the first sets share is itself a set, and meets the next one: P'(k) = sum over h of P(h)
    times the probability that h and the next share k.

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
    """Give what chance shares, with the middle 95% of it, and the p of sharing as many or more.

    Example:
        >>> against_chance(1, np.array([0.75, 0.25]))
        (Estimate(value=0.25, low=0.0, high=1.0), 0.25)
    """
    shared, rising = np.arange(len(chances)), np.cumsum(chances)
    low, high = (float(np.searchsorted(rising, level - 1e-12)) for level in (0.025, 0.975))
    expected = Estimate(float(shared @ chances), low, min(high, float(len(chances) - 1)))
    return expected, min(1.0, float(chances[observed:].sum()))


def overlap_with_chance(
    found: NeuronSet, *, match: str = "layer", correction: str = "holm"
) -> pd.DataFrame:
    """Hold the overlap of every two cultures' neurons against chance.

    Args:
        found: The neurons.
        match: ``"layer"`` or ``"pool"``; see the module.
        correction: ``"holm"`` or ``"benjamini-hochberg"``, over pairs.

    Returns:
        One row per pair: ``one``, ``other``, ``shared``, ``by_chance`` (an Estimate: the mean, and
        the middle 95% of what chance gives), ``jaccard``, ``jaccard_by_chance``, ``p`` (of as many
        or more by chance) and ``corrected_p``. The sets are taken as they are: this is no test of
        whether other questions would give them; see ``stability``.

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
        chances = chance_of_sharing([found[one], found[other]], found.shapes, match)
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
    return table.assign(corrected_p=corrected(table["p"].to_numpy(), correction))


def shared_with_chance(
    found: NeuronSet, cultures: Sequence[str] = (), *, match: str = "layer"
) -> dict[str, int | float | Estimate]:
    """Hold the neurons that several cultures all have against chance.

    Args:
        found: The neurons.
        cultures: Two or more; all where not given.
        match: ``"layer"`` or ``"pool"``; see the module.

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
    chances = chance_of_sharing([found[name] for name in names], found.shapes, match)
    shared = len(found.shared(*names))
    by_chance, p = against_chance(shared, chances)
    return {"shared": shared, "by_chance": by_chance, "p": p}
