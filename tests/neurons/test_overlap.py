"""Overlap of neuron sets and its chance: by hand, against enumeration, under the null."""

import math
from itertools import combinations

import numpy as np
import pytest

from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons, jaccard
from culture_lens.neurons.overlap import (
    chance_in_pools,
    chance_of_sharing,
    expected_jaccard,
    overlap_with_chance,
    shared_with_chance,
)
from culture_lens.selectors import matched_random
from culture_lens.statistics.tables import as_estimates
from tests.helpers.neurons import drawn_set


def test_hypergeometric_by_hand():
    # 5 of 10 and 4 of 10: P(k) = C(5,k) C(5,4-k) / C(10,4)
    expected = [5 / 210, 50 / 210, 100 / 210, 50 / 210, 5 / 210]
    assert chance_in_pools(np.array([10]), np.array([[5], [4]]))[0] == pytest.approx(expected)
    found = NeuronSet(
        {
            "A": Neurons.of({"act": [(0, i) for i in range(5)]}),
            "B": Neurons.of({"act": [(0, i) for i in (0, 1, 2, 9)]}),
        },
        {"act": (1, 10)},
    )
    row = as_estimates(overlap_with_chance(found)).iloc[0]
    assert (row["one"], row["other"], row["shared"]) == ("A", "B", 3)
    assert row["p"] == pytest.approx(55 / 210) == row["corrected_p"]
    assert row["by_chance"].value == pytest.approx(2)
    # at most 0 has 2.4%, at most 3 has 97.6%
    assert (row["by_chance"].low, row["by_chance"].high) == (1, 3)
    assert row["jaccard"] == 0.5
    mean = sum(p * k / (9 - k) for k, p in enumerate(expected))
    assert row["jaccard_by_chance"] == pytest.approx(mean)


def test_three_sets_equal_enumeration():
    numbers, sizes = np.array([6, 2]), np.array([[3, 0], [2, 1], [4, 2]])
    chances, none = chance_in_pools(numbers, sizes)
    assert none.tolist() == pytest.approx([1, 0, 0])  # a pool that one set has nothing of
    expected, total = np.zeros(4), 0
    for a in combinations(range(6), 3):
        for b in combinations(range(6), 2):
            for c in combinations(range(6), 4):
                expected[len({*a} & {*b} & {*c})] += 1
                total += 1
    expected /= total
    assert chances.tolist() == pytest.approx(expected[: len(chances)].tolist())
    assert expected[len(chances) :].sum() == 0


@pytest.mark.slow
def test_layers_and_sites_are_drawn_within():
    source = np.random.default_rng(2)
    one, other = (
        Neurons.of({"act": [(0, 0), (0, 1), (1, 2)], "q": [(0, 3)]}),
        Neurons.of({"act": [(0, 1), (1, 0), (1, 1)], "q": [(0, 0), (0, 1)]}),
    )
    shapes = {"act": (2, 4), "q": (1, 5)}
    found = NeuronSet({"A": one, "B": other}, shapes)
    for match in ("layer", "pool"):
        chances = chance_of_sharing([one, other], shapes, match)
        assert chances.sum() == pytest.approx(1)
        drawn = [
            matched_random(found, int(s), match=match) for s in source.integers(1 << 30, size=500)
        ]
        shared = [len(d["A"] & d["B"]) for d in drawn]
        seen = np.bincount(shared, minlength=len(chances)) / len(shared)
        assert seen == pytest.approx(chances, abs=4 * math.sqrt(0.25 / 500))
        overlap = np.mean([jaccard(d["A"].members(), d["B"].members()) for d in drawn])
        assert overlap == pytest.approx(expected_jaccard(chances, (4, 5)), abs=0.02)
    with pytest.raises(InputError, match="unknown way to match random neurons 'layers'"):
        chance_of_sharing([one, other], shapes, "layers")


@pytest.mark.slow
def test_p_of_overlap_holds_under_the_null_and_layers_matter():
    source, p, pooled = np.random.default_rng(3), [], []
    for _ in range(300):
        random = drawn_set(source, (12, 15), layers=[1])  # both prefer layer 1, nothing more
        p.append(overlap_with_chance(random)["p"][0])
        pooled.append(overlap_with_chance(random, match="pool")["p"][0])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 300)
    assert np.mean(np.array(p) <= 0.5) > 0.25
    assert np.mean(np.array(pooled) <= 0.05) > 0.9


def test_sharing_by_many_and_bad_input():
    source = np.random.default_rng(4)
    found = drawn_set(source, (20, 20, 20), cultures=("A", "B", "C"))
    both, every = shared_with_chance(found, ["A", "B"]), shared_with_chance(found)
    row = as_estimates(overlap_with_chance(found)).iloc[0]
    assert both == {"shared": row["shared"], "by_chance": row["by_chance"], "p": row["p"]}
    assert every["shared"] == len(found.shared()) and every["by_chance"].value < 2
    same = NeuronSet(dict.fromkeys("ABC", found["A"]), found.shapes)
    assert shared_with_chance(same)["p"] < 1e-12
    empty = NeuronSet({**found.neurons, "B": Neurons.of({})}, found.shapes)
    row = as_estimates(overlap_with_chance(empty)).iloc[0]
    assert (row["shared"], row["p"], row["jaccard"]) == (0, pytest.approx(1), 0.0)
    for call in (overlap_with_chance, shared_with_chance):
        with pytest.raises(InputError, match="at least two cultures"):
            call(NeuronSet({"A": found["A"]}, found.shapes))
    with pytest.raises(InputError, match="unknown culture 'Z'"):
        shared_with_chance(found, ["A", "Z"])
    with pytest.raises(InputError, match="unknown correction"):
        overlap_with_chance(found, correction="none")
