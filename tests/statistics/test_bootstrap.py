"""Bootstrap over groups: draws, the interval of a correlation, ranks."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from culture_lens.errors import InputError
from culture_lens.statistics.bootstrap import (
    CORRELATION_BOUNDS,
    correlation,
    group_weights,
    interval,
    ranks,
)
from culture_lens.statistics.estimates import Estimate


def test_weights_are_a_resampling():
    weights = group_weights(9, draws=4000, seed=1)
    assert weights.shape == (4000, 9) and (weights >= 0).all()
    assert (weights.sum(1) == 9).all()
    # each multiplicity is Binomial(9, 1/9): mean 1, variance 8/9
    assert np.abs(weights.mean(0) - 1).max() < 0.08
    assert np.abs(weights.var(0) - 8 / 9).max() < 0.12
    assert np.array_equal(weights, group_weights(9, draws=4000, seed=1))
    assert not np.array_equal(weights, group_weights(9, draws=4000, seed=2))


def test_no_groups():
    with pytest.raises(InputError, match="no items were given"):
        group_weights(0)


def test_interval_is_student_t_around_the_value():
    draws = np.array([0.0, 1.0, np.nan, 2.0, np.nan])  # NaN are left out: sd sqrt(2 / 3)
    found = interval(1.0, draws, groups=5)
    reach = stats.t.ppf(0.975, 4) * math.sqrt(5 / 4 * 2 / 3)
    assert (found.value, found.low, found.high) == pytest.approx((1, 1 - reach, 1 + reach))
    within = interval(0.9, draws, 5, CORRELATION_BOUNDS)
    assert within == Estimate(0.9, -1.0, 1.0)


@pytest.mark.parametrize(
    ("value", "draws", "groups"),
    [(1.0, [np.nan], 9), (1.0, [1.0, 1.0], 9), (1.0, [1.0, 2.0], 3), (math.nan, [1.0, 2.0], 9)],
)
def test_no_interval(value, draws, groups):
    nothing = interval(value, np.array(draws), groups)
    assert math.isnan(nothing.low) and math.isnan(nothing.high)
    assert math.isnan(nothing.value) == math.isnan(value)


def test_ranks_and_correlation_row_by_row():
    source = np.random.default_rng(0)
    x, y = source.integers(0, 5, (2, 4, 9)).astype(float)
    for row, (ranked, value) in enumerate(zip(ranks(x), correlation(x, y), strict=True)):
        np.testing.assert_array_equal(ranked, pd.Series(x[row]).rank())
        assert value == pytest.approx(np.corrcoef(x[row], y[row])[0, 1])
    assert np.isnan(correlation(np.ones((1, 3)), x[:1, :3])).all()
