"""Clustered intervals: against a slow loop, and do they cover what they say?"""

import math

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.statistics.estimates import (
    Estimate,
    correlation,
    group_weights,
    interval,
    mean_estimate,
    ranks,
)


def slow_estimate(values, groups, draws, seed):
    """Resample whole groups, item by item, with the drawn multiplicities."""
    names = sorted(set(groups))
    means = []
    for weights in group_weights(len(names), draws, seed):
        sample = []
        for name, times in zip(names, weights, strict=True):
            own = [v for v, g in zip(values, groups, strict=True) if g == name]
            sample += own * int(times)
        means.append(sum(sample) / len(sample))
    ordered = sorted(means)

    def percentile(p):  # linear interpolation between order statistics
        place = p * (len(ordered) - 1)
        low = math.floor(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return Estimate(sum(values) / len(values), percentile(0.025), percentile(0.975))


@pytest.mark.parametrize("seed", range(3))
def test_against_a_plain_loop(seed):
    source = np.random.default_rng(seed)
    groups = [f"g{source.integers(7)}" for _ in range(40)]  # of different sizes
    values = [float(v) for v in source.random(40) < 0.6]
    fast = mean_estimate(values, groups, draws=300, seed=seed)
    slow = slow_estimate(values, groups, 300, seed)
    assert fast.value == pytest.approx(slow.value, abs=1e-12)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert fast.low < fast.value < fast.high


def test_the_order_of_items_does_not_matter():
    values, groups = [1, 0, 0, 1, 1, 0, 1], ["a", "b", "b", "c", "a", "d", "d"]
    order = [3, 0, 6, 2, 5, 1, 4]
    shuffled = mean_estimate([values[i] for i in order], [groups[i] for i in order])
    assert shuffled == mean_estimate(values, groups)


def test_weights_are_a_resampling():
    weights = group_weights(9, draws=4000, seed=1)
    assert weights.shape == (4000, 9) and (weights >= 0).all()
    assert (weights.sum(1) == 9).all()
    # each multiplicity is Binomial(9, 1/9): mean 1, variance 8/9
    assert np.abs(weights.mean(0) - 1).max() < 0.08
    assert np.abs(weights.var(0) - 8 / 9).max() < 0.12
    assert np.array_equal(weights, group_weights(9, draws=4000, seed=1))
    assert not np.array_equal(weights, group_weights(9, draws=4000, seed=2))


def simulated(source, n_groups=40, size=5):
    """Items of a group share its rate, which is 0.6 on average over groups."""
    rates = source.beta(1.2, 0.8, n_groups)
    hits = source.random((n_groups, size)) < rates[:, None]
    return hits.astype(float).ravel().tolist(), np.repeat(np.arange(n_groups), size).tolist()


@pytest.mark.slow
def test_intervals_cover_and_need_the_clusters():
    source = np.random.default_rng(0)
    clustered = naive = 0
    trials = 300
    for trial in range(trials):
        values, groups = simulated(source)
        held = mean_estimate(values, groups, draws=400, seed=trial)
        clustered += held.low <= 0.6 <= held.high
        loose = mean_estimate(values, range(len(values)), draws=400, seed=trial)
        naive += loose.low <= 0.6 <= loose.high
    # the standard error of a coverage of 0.95 over 300 trials is 0.013
    assert 0.90 <= clustered / trials <= 0.99
    assert naive / trials < 0.85


@pytest.mark.parametrize(("values", "groups"), [([], []), ([1.0], []), ([1.0, 0.0], ["a"])])
def test_empty_input_raises(values, groups):
    with pytest.raises(InputError, match=rf"got {len(values)} values, {len(groups)} groups"):
        mean_estimate(values, groups)


def test_no_groups():
    with pytest.raises(InputError, match="no items were given"):
        group_weights(0)


def test_one_group_says_nothing_about_others():
    alone = mean_estimate([1.0, 0.0, 0.0, 1.0], ["a"] * 4)
    assert alone.value == 0.5 and math.isnan(alone.low) and math.isnan(alone.high)
    assert not alone.excludes(0.0)


def test_interval_leaves_out_draws_without_a_value():
    draws = np.array([0.0, 1.0, np.nan, 2.0, np.nan])
    assert interval(1.0, draws, level=0.5) == Estimate(1.0, 0.5, 1.5)
    nothing = interval(1.0, np.array([np.nan]))
    assert nothing.value == 1.0 and math.isnan(nothing.low) and math.isnan(nothing.high)
    assert math.isnan(interval(math.nan, np.array([1.0, 2.0])).low)


def test_excludes_and_text():
    estimate = Estimate(0.5, 0.4, 0.6)
    assert str(estimate) == "0.500 [0.400, 0.600]"
    assert estimate.excludes(0.25) and estimate.excludes(0.61)
    assert not estimate.excludes(0.4) and not estimate.excludes(0.6)


def test_ranks_and_correlation_row_by_row():
    source = np.random.default_rng(0)
    x, y = source.integers(0, 5, (2, 4, 9)).astype(float)
    for row, (ranked, value) in enumerate(zip(ranks(x), correlation(x, y), strict=True)):
        np.testing.assert_array_equal(ranked, pd.Series(x[row]).rank())
        assert value == pytest.approx(np.corrcoef(x[row], y[row])[0, 1])
    assert np.isnan(correlation(np.ones((1, 3)), x[:1, :3])).all()
