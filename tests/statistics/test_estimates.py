"""Clustered intervals: against a slow loop, and do they cover what they say?"""

import math

import numpy as np
import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.statistics.estimates import (
    CHANGES,
    SHARES,
    UNBOUNDED,
    Estimate,
    clustered_spread,
    mean_estimate,
    t_estimate,
)
from tests.helpers.intervals import plain_interval


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bounds", [SHARES, CHANGES, UNBOUNDED])
def test_against_a_plain_loop(seed, bounds):
    source = np.random.default_rng(seed)
    groups = [f"g{source.integers(7)}" for _ in range(40)]  # of different sizes
    values = {
        SHARES: (source.random(40) < 0.6).astype(float),
        CHANGES: source.choice([-1.0, 0.0, 1.0], 40, p=[0.1, 0.85, 0.05]),
        UNBOUNDED: source.normal(size=40),
    }[bounds].tolist()
    fast = mean_estimate(values, groups, bounds=bounds)
    low, high = plain_interval(values, groups, None if bounds == UNBOUNDED else bounds)
    assert fast.value == pytest.approx(sum(values) / 40, abs=1e-12)
    assert (fast.low, fast.high) == pytest.approx((low, high), abs=1e-12)
    assert fast.low < fast.value < fast.high


def test_by_hand():
    # 4 groups of 2: sums 2, 1, 1, 2, mean 3/4, deviations of sums 1/2, -1/2, -1/2, 1/2;
    # clustered 4 / 16^2 = 1/64, independent (3/16) / 8 = 3/128, a design effect of 2/3: 1.
    # Averaged with the most, 2: 4 * (3/16) / (1/4) = 3 groups vary, (3 * 1 + 2) / 4 = 5/4.
    # 8 / (5/4) = 6.4 items and 4 more of mean 1/2: 6.8 / 10.4 right.
    spread = clustered_spread(0.75, np.array([1, -1, -1, 1]) / 16, np.full(4, 2.0), 3 / 16, SHARES)
    right = 6.8 / 10.4
    assert spread.centre == pytest.approx(right)
    assert spread.error == pytest.approx(math.sqrt(right * (1 - right) / 10.4))
    assert spread.freedom == 3


def test_all_right_has_a_width_that_shrinks_with_groups_not_items():
    """Ten groups of one item, or of ten alike: the second knows no more about other groups."""
    ten = mean_estimate([1] * 10, range(10))
    hundred = mean_estimate([1] * 100, [i // 10 for i in range(100)])
    assert (ten.low, ten.high) == pytest.approx((hundred.low, hundred.high))
    # 12 of 14 right, t with 9 degrees of freedom
    assert ten.low == pytest.approx(12 / 14 - 2.26216 * math.sqrt(12 * 2 / 14**3), abs=1e-4)
    assert ten.value == ten.high == 1.0
    assert mean_estimate([1] * 100, range(100)).low > 0.93
    nothing = mean_estimate([0] * 10, range(10), bounds=CHANGES)
    assert nothing.value == 0 and nothing.low == -nothing.high < -0.2


def test_alike_groups_do_not_hide_that_items_vary():
    """Three of five right in each of four groups: no variance between them, but within."""
    groups = [i // 5 for i in range(20)]
    alike = mean_estimate([1, 1, 1, 0, 0] * 4, groups)
    assert alike.high - alike.low > 0.5
    measured = mean_estimate([0.1, 0.9] * 4, [i // 2 for i in range(8)])
    assert measured.low < 0.3 and measured.high > 0.7


def test_what_is_measured_and_never_varies_has_no_interval():
    same = mean_estimate([0.25] * 8, range(8), bounds=UNBOUNDED)
    assert same.value == 0.25 and math.isnan(same.low) and str(same) == "0.250 [no interval]"


def test_the_order_of_items_does_not_matter():
    values, groups = [1, 0, 0, 1, 1, 0, 1], ["a", "b", "b", "c", "a", "d", "d"]
    order = [3, 0, 6, 2, 5, 1, 4]
    shuffled = mean_estimate([values[i] for i in order], [groups[i] for i in order])
    assert shuffled == mean_estimate(values, groups)


CASES = {
    "one item each": ([1], 0.0, (0, 0.1, 0.9)),
    "alike within": ([5], 0.6, (0, 0.2, 0.8)),
    "uneven": ([1, 1, 2, 3, 5, 8], 0.2, (0, 0.5, 0.5)),
    "few changes": ([3], 0.2, (0.05, 0.93, 0.02)),
}


@pytest.mark.parametrize("groups", [4, 8, 30])
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover(case, groups):
    """speed/intervals.py has more cases and more draws."""
    source = np.random.default_rng(groups)
    pattern, correlation, chances = CASES[case]
    sizes, trials, held = np.resize(pattern, groups), 200, 0
    bounds, truth = (CHANGES if chances[0] else SHARES), chances[2] - chances[0]
    own = np.broadcast_to(chances, (trials, groups, 3))
    if correlation:
        parts = np.array(chances) * (1 / correlation - 1) + 1e-9
        own = source.dirichlet(parts, (trials, groups))
    counts = source.multinomial(np.broadcast_to(sizes, own.shape[:2]), own)
    changes, moved = counts[..., 2] - counts[..., 0], counts[..., ::2].sum((1, 2))
    for sums, squares in zip(changes, moved, strict=True):
        n, mean = sizes.sum(), sums.sum() / sizes.sum()
        influences, variance = (sums - sizes * mean) / n, squares / n - mean**2
        found = clustered_spread(mean, influences, sizes.astype(float), variance, bounds)
        estimate = found.estimate(mean)
        held += estimate.low - 1e-9 <= truth <= estimate.high + 1e-9
    assert held / trials >= 0.93 - 2 * math.sqrt(0.93 * 0.07 / trials)


def test_clusters_are_needed():
    source = np.random.default_rng(0)
    rates = source.beta(1.2, 0.8, 40)
    values = (source.random((40, 5)) < rates[:, None]).astype(float).ravel().tolist()
    clustered = mean_estimate(values, np.repeat(np.arange(40), 5).tolist())
    naive = mean_estimate(values, range(200))
    assert clustered.high - clustered.low > 1.3 * (naive.high - naive.low)


@pytest.mark.parametrize(("values", "groups"), [([], []), ([1.0], []), ([1.0, 0.0], ["a"])])
def test_empty_input_raises(values, groups):
    with pytest.raises(InputError, match=rf"got {len(values)} values, {len(groups)} groups"):
        mean_estimate(values, groups)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_few_groups_say_nothing_about_others(number):
    groups = [i % number for i in range(8)]
    with pytest.warns(CultureLensWarning, match=rf"Japan: no interval from {number} "):
        few = mean_estimate([1.0, 0.0, 0.0, 1.0] * 2, groups, name="Japan")
    assert few.value == 0.5 and math.isnan(few.low) and math.isnan(few.high)
    assert not few.excludes(0.0)


def test_excludes_and_text():
    estimate = Estimate(0.5, 0.4, 0.6)
    assert str(estimate) == "0.500 [0.400, 0.600]"
    assert estimate.excludes(0.25) and estimate.excludes(0.61)
    assert not estimate.excludes(0.4) and not estimate.excludes(0.6)


def test_t_of_repetitions():
    found = t_estimate([0.4, 0.5, 0.6, math.nan])
    reach = 4.302653 * 0.1 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-6)
    assert math.isnan(t_estimate([0.4]).low)
