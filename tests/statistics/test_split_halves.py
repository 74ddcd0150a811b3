"""Agreement of halves: worked out by hand, by plain loops, and its interval over many studies."""

import math
from itertools import combinations

import numpy as np
import pytest

from culture_lens.statistics.split_halves import (
    MOST_BLOCKS,
    blocks_of,
    halvings,
    split_half_cosines,
)


def alone(means):
    return means


def test_four_blocks_by_hand():
    """Blocks (1,0), (1,0), (0,1), (0,1): halves of one kind have cosine 0, mixed ones 1."""
    sums = np.array([[[1.0, 0], [1, 0], [0, 1], [0, 1]]])
    (found,) = split_half_cosines(sums, np.ones((1, 4)), alone)
    drawn = halvings(4)
    same = [half[0] == half[1] for half in drawn]
    assert found.value == pytest.approx(1 - np.mean(same)) and 0 < np.mean(same) < 1
    assert found.low == pytest.approx(found.value)  # whichever is left out, the rest is the same


def cosine(one, other):
    return float(one @ other / math.sqrt((one @ one) * (other @ other)))


def by_loops(sums, counts, blocks, culture):
    """The mean cosine of one culture's mean less the other's, over the drawn halves of blocks."""
    cosines = []
    for half in halvings(counts.shape[1]):
        vectors = []
        for side in (True, False):
            kept = [b for b in blocks if half[b] == side]
            means = [
                sum(sums[c][b] for b in kept) / sum(counts[c][b] for b in kept) for c in (0, 1)
            ]
            vectors.append(means[culture] - means[1 - culture])
        cosines.append(cosine(*vectors))
    return sum(cosines) / len(cosines)


def test_cosine_and_jackknife_are_those_of_plain_loops():
    source = np.random.default_rng(5)
    counts = source.integers(1, 4, (2, 6)).astype(float)
    sums = source.normal(size=(2, 6, 5)) + np.array([1.0, 0, 0, 0, 0]) * counts[..., None]

    def difference(means):
        return means - means[..., ::-1, :]

    found = split_half_cosines(sums, counts, difference)
    for culture, estimate in enumerate(found):
        whole = by_loops(sums, counts, range(6), culture)
        without = [
            math.atanh(by_loops(sums, counts, [b for b in range(6) if b != gone], culture))
            for gone in range(6)
        ]
        spread = sum((z - sum(without) / 6) ** 2 for z in without)
        reach = 2.5706 * math.sqrt(5 / 6 * spread)  # Student's t, five degrees of freedom
        assert estimate.value == pytest.approx(whole)
        assert estimate.low == pytest.approx(math.tanh(math.atanh(whole) - reach), abs=1e-4)
        assert estimate.high == pytest.approx(math.tanh(math.atanh(whole) + reach), abs=1e-4)


def test_halves_are_halves_and_blocks_keep_groups_whole():
    drawn = halvings(20)
    assert (drawn.sum(1) == 10).all() and len({tuple(half) for half in drawn}) > 90
    many = [half.tobytes() for half in halvings(4, draws=200)]
    assert len(set(many)) == len(list(combinations(range(4), 2)))
    blocks = blocks_of([f"{n % 50}" for n in range(400)])
    assert len(blocks) == 50 and set(blocks.values()) == set(range(MOST_BLOCKS))
    assert blocks == blocks_of([f"{n}" for n in reversed(range(50))])


def test_too_few_groups_have_no_interval_and_a_lacking_half_no_value():
    (found,) = split_half_cosines(np.ones((1, 3, 2)), np.ones((1, 3)), alone)
    assert found.value == pytest.approx(1) and math.isnan(found.low)
    counts = np.array([[1.0, 0, 0, 0]])
    (lacking,) = split_half_cosines(np.ones((1, 4, 2)) * counts[..., None], counts, alone)
    assert math.isnan(lacking.value)


def study(source, signal, groups=40, width=30):
    """Vectors of one culture's groups about a true direction, in blocks."""
    vectors = source.normal(size=(groups, width)) + signal * np.eye(width)[0]
    sums = vectors.reshape(MOST_BLOCKS, groups // MOST_BLOCKS, width).sum(1)[None]
    return sums, np.full((1, MOST_BLOCKS), groups / MOST_BLOCKS)


@pytest.mark.slow
@pytest.mark.parametrize("signal", [0.5, 2.0])
def test_the_interval_holds_the_expected_cosine(signal):
    """In at least 90 of 100 studies; the expectation is that of two independent half studies."""
    source = np.random.default_rng(1)
    halves = source.normal(size=(4000, 2, 30)) / math.sqrt(20) + signal * np.eye(30)[0]
    truth = np.mean([cosine(one, other) for one, other in halves])
    held = [split_half_cosines(*study(source, signal), alone)[0] for _ in range(100)]
    assert sum(one.low <= truth <= one.high for one in held) >= 90
    assert np.mean([one.value for one in held]) == pytest.approx(truth, abs=0.03)
