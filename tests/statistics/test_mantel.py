"""The Mantel test: calibrated where pairs depend on each other, and stronger with less noise."""

import math

import numpy as np
import pytest
from scipy import stats

from culture_lens.statistics.bootstrap import ranks
from culture_lens.statistics.mantel import mantel_null, square
from culture_lens.statistics.permutation import permutation_p, relabellings


@pytest.mark.slow
def test_mantel_is_calibrated_where_pairs_depend_and_a_plain_test_is_not():
    """Each culture has a place of its own, so the pairs of one culture go together."""
    source, n, trials = np.random.default_rng(0), 9, 400
    above = np.triu_indices(n, 1)
    orders, exact = relabellings(n)
    orders = orders[:999]
    p, naive = [], []
    for _ in range(trials):
        ours, theirs = (source.exponential(size=n) for _ in range(2))
        one, other = (np.add.outer(x, x)[above] for x in (ours, theirs))
        ranked = square(ranks(other[None])[0])
        own = ranks(one[None])[0]
        null = mantel_null(own, ranked, orders)
        value = stats.spearmanr(one, other)
        assert mantel_null(own, ranked, np.arange(n)[None])[0] == pytest.approx(value.statistic)
        p.append(permutation_p(float(value.statistic), null, exact))
        naive.append(value.pvalue)
    assert not exact and stats.kstest(p, "uniform").pvalue > 0.05
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert np.mean(np.array(naive) <= 0.05) > 0.15


def test_mantel_finds_more_with_less_noise():
    source, n = np.random.default_rng(1), 8
    orders, exact = relabellings(n)
    orders, above, power = orders[::40], np.triu_indices(n, 1), []
    for noise in (4.0, 1.5, 0.5):
        found = 0
        for _ in range(60):
            places = source.normal(size=(n, 2))
            theirs = np.linalg.norm(places[:, None] - places[None], axis=2)[above]
            ours = theirs + noise * source.normal(size=len(theirs))
            ranked, own = square(ranks(theirs[None])[0]), ranks(ours[None])[0]
            value = mantel_null(own, ranked, np.arange(n)[None])[0]
            found += permutation_p(float(value), mantel_null(own, ranked, orders), True) <= 0.05
        power.append(found / 60)
    assert power[0] < power[1] < power[2] and power[2] > 0.95
