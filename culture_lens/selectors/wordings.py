"""How much a CULNIG set depends on the wordings of CountryRC.

CountryRC takes neurons away from candidates. What it takes depends on how its passages are worded,
and the wordings are anybody's choice. Each set is therefore chosen again with CountryRC's scores

* of each single wording: the Jaccard overlap of every two of these sets, ``single``;
* of all wordings but one: the overlap of these sets with the set itself, ``one_left_out``;
* of none: the overlap of all candidates with the sets by single wordings, ``no_countryrc``.

By chance, as many candidates are taken away as each of the two CountryRC scorings takes, at random:
the expected Jaccard overlap of what is left, hypergeometric, in each family of sites by itself.
Where sets by single wordings overlap no more with one another than with all candidates, what
CountryRC took away was a matter of its wording: another wording's set is as near without it.

No model runs: the sums of each wording are there, and only candidates are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.neurons.neurons import Neurons, jaccard
from culture_lens.neurons.overlap import chance_in_pools, expected_jaccard
from culture_lens.neurons.scores import NeuronScores
from culture_lens.neurons.wordings import WORDING_STABILITY

Left = Mapping[str, Neurons]
"""The neurons that CountryRC leaves to each label."""
Stability = dict[str, "int | float | None"]


def wording_stability(
    scores: CulnigScores,
    candidates: Left,
    without_readers: Callable[[NeuronScores], Left],
    families: Sequence[Sequence[str]],
) -> dict[str, dict[str, Stability]]:
    """Compare a selector's sets over the wordings of CountryRC; see the module.

    Args:
        scores: The scorings, with those of single wordings.
        candidates: The neurons of each label before CountryRC takes some away.
        without_readers: Gives what is left of them under given CountryRC scores.
        families: The sites among which CountryRC takes its share, each family by itself.

    Returns:
        The metadata entry ``"wording_stability"``: for each label ``wordings`` (their number),
        ``single``, ``one_left_out`` and ``no_countryrc``, the first two also ``_by_chance``; None
        where all sets are empty. No label where single wordings were not scored.

    Example:
        ``culnig_specific(scores).metadata["wording_stability"]["Iran"]["single"]``
    """
    if not scores.wordings:
        return {WORDING_STABILITY: {}}
    chosen = without_readers(scores.countryrc)
    single = [without_readers(one) for one in scores.wordings]
    fewer = [without_readers(all_but(scores.wordings, one)) for one in range(len(single))]
    table = {}
    for label, pool in candidates.items():
        own = [sets[label] for sets in single]
        pairs = {
            "single": list(combinations(own, 2)),
            "one_left_out": [(chosen[label], sets[label]) for sets in fewer],
        }
        row: Stability = {"wordings": len(own)}
        for name, compared in pairs.items():
            row[name] = mean(overlap(a, b) for a, b in compared)
            row[f"{name}_by_chance"] = mean(by_chance(pool, a, b, families) for a, b in compared)
        row["no_countryrc"] = mean(overlap(sets, pool) for sets in own)
        table[label] = row
    return {WORDING_STABILITY: table}


def all_but(wordings: Sequence[NeuronScores], one: int) -> NeuronScores:
    """Add up all wordings but one."""
    first, *rest = (scores for number, scores in enumerate(wordings) if number != one)
    sums = {
        site: sum((other.scores[site] for other in rest), start=values)
        for site, values in first.scores.items()
    }
    return NeuronScores(first.cultures, sums)


def overlap(one: Neurons, other: Neurons) -> float:
    """Give the Jaccard overlap; NaN where both are empty."""
    return jaccard(one.members(), other.members())


def by_chance(
    pool: Neurons, one: Neurons, other: Neurons, families: Sequence[Sequence[str]]
) -> float:
    """Give the Jaccard overlap expected of random subsets of a pool, of these sizes per family."""
    sizes = np.array([[count(sets, sites) for sites in families] for sets in (pool, one, other)])
    chances = np.ones(1)
    for family in chance_in_pools(sizes[0], sizes[1:]):
        chances = np.convolve(chances, np.trim_zeros(family, "b"))
    return expected_jaccard(chances, (len(one), len(other)))


def count(neurons: Neurons, sites: Iterable[str]) -> int:
    """Count the neurons at some sites."""
    return sum(len(neurons.places[site]) for site in sites if site in neurons.places)


def mean(values: Iterable[float]) -> float | None:
    """Average what is no NaN; None of nothing."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None
