"""The design effect of question groups: by hand, of equal groups, and what it is for."""

import math

import numpy as np
import pytest

from culture_lens.statistics.design_effect import design_effect
from culture_lens.statistics.estimates import CHANGES, clustered_spread


def test_by_hand():
    # 3 groups of 2, 2 and 1, sums 2, 0 and 0, mean 2/5, variance 6/25; deviations of sums
    # 6/5, -4/5, -2/5: clustered (56/25 / 25) / (6/125) = 28/15; all alike: (4 + 4 + 1) / 5 = 9/5.
    sums, sizes = np.array([2.0, 0, 0]), np.array([2.0, 2, 1])
    assert design_effect((sums - 0.4 * sizes) / 5, sizes, 6 / 25) == pytest.approx(28 / 15)
    # The last item is right instead of the first two: sums 0, 0 and 1, mean 1/5, variance 4/25,
    # deviations -2/5, -2/5, 4/5: clustered (24/25 / 25) / (4/125) = 6/5, all alike 9/5.
    sums = np.array([0.0, 0, 1])
    assert design_effect((sums - 0.2 * sizes) / 5, sizes, 4 / 25) == pytest.approx(9 / 5)
    # Sums 1, 1 and 0: variance 6/25, within groups (6/5 - 1/5) / 2 = 1/2 and more than that: r = 0.
    sums = np.array([1.0, 1, 0])
    assert design_effect((sums - 0.4 * sizes) / 5, sizes, 6 / 25) == 1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_of_groups_of_one_size_it_is_the_clustered_one(size):
    source = np.random.default_rng(size)
    values = (source.random((30, size)) < source.random((30, 1))).astype(float)
    influences = (values.sum(1) - size * values.mean()) / values.size
    clustered = (influences**2).sum() / (values.var() / values.size)
    assert clustered > 1.05 or size == 1
    found = design_effect(influences, np.full(30, float(size)), values.var())
    assert found == pytest.approx(clustered, abs=1e-12)


def test_groups_without_items_count_by_their_influence():
    """A difference of means has influences of the groups of both, and the sizes of the first."""
    influences, sizes = np.array([0.2, -0.1, -0.1]), np.array([2.0, 2, 2])
    more = np.array([0.2, 0, -0.1, 0, -0.1]), np.array([2.0, 0, 2, 0, 2])
    assert design_effect(*more, 0.2) == design_effect(influences, sizes, 0.2)
    more[0][[1, 3]] = 0.05
    assert design_effect(*more, 0.2) == pytest.approx((0.06 + 2 * 0.05**2) * 6 / 0.2)


def test_copies_of_unequal_number_are_covered():
    """A tenth of 100 groups of 1 to 12 copies is lost; the clustered error alone covers .913."""
    source, trials = np.random.default_rng(7), 2000
    sizes = np.resize([1.0, 1, 2, 3, 5, 8, 2, 1, 4, 12], 100)
    held = 0
    for lost in source.random((trials, 100)) < 0.1:
        mean = -float(lost @ sizes) / sizes.sum()
        influences = -sizes * (lost + mean) / sizes.sum()
        spread = clustered_spread(mean, influences, sizes, -mean - mean**2, CHANGES)
        estimate = spread.estimate(mean)
        held += estimate.low <= -0.1 <= estimate.high
    assert held / trials >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / trials)
