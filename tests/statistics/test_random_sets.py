"""Found against random sets: by hand, and false claims where found is one more random set."""

import math

import numpy as np
import pytest
from scipy import stats

from culture_lens.errors import InputError
from culture_lens.statistics.estimates import Spread
from culture_lens.statistics.random_sets import rank_among, sets_needed, with_sets


def test_the_greater_variance_counts():
    spread = Spread(-0.2, 0.05, 40.0)
    alike = with_sets(spread, [0.01, 0.01, 0.01])
    assert (alike.error, alike.freedom) == (0.05, 2)
    apart = with_sets(spread, [-0.1, 0.0, 0.1])  # s = 0.1, times sqrt(1 + 1/3)
    assert apart.error == pytest.approx(0.1 * math.sqrt(4 / 3))
    found, reach = apart.estimate(-0.2), stats.t.ppf(0.975, 2) * 0.1 * math.sqrt(4 / 3)
    assert (found.low, found.high) == pytest.approx((-0.2 - reach, -0.2 + reach))
    assert apart.p_of_zero() == pytest.approx(2 * stats.t.sf(0.2 / apart.error, 2))


def test_one_set_and_few_questions_give_no_interval():
    assert math.isnan(with_sets(Spread(-0.2, 0.05, 40.0), [0.0]).error)
    unknown = with_sets(Spread(math.nan, math.nan, math.nan), [0.0, 0.1, 0.2])
    assert math.isnan(unknown.estimate(-0.2).low) and math.isnan(unknown.p_of_zero())


@pytest.mark.parametrize("number", [2, 5, 19])
def test_a_random_set_is_rarely_taken_for_more(number):
    """Effects of sets alone, questions known: exactly 5% by Student's t."""
    source, claims, first = np.random.default_rng(number), 0, 0
    effects = source.normal(0, 0.06, (1500, number + 1))
    for found, *sets in effects.tolist():
        spread = Spread(found - sum(sets) / number, 0.001, 1e6)
        claims += with_sets(spread, sets).estimate(spread.centre).excludes(0.0)
        first += rank_among(found, sets) == 1
    # standard errors of .006 and less; without the variance of sets .9 would be claimed
    assert claims / 1500 == pytest.approx(0.05, abs=0.018)
    assert first / 1500 == pytest.approx(1 / (number + 1), abs=0.04)


def test_ranks_and_how_many_sets_they_need():
    assert rank_among(-0.3, [-0.1, -0.2]) == 1
    assert rank_among(-0.1, [-0.1, -0.2, 0.0]) == 3  # a tie counts against the found set
    assert [sets_needed(level) for level in (0.5, 0.05, 0.01)] == [1, 19, 99]
    for level in (0.05, 0.01, 0.2, 0.03):
        needed = sets_needed(level)
        assert 1 / (needed + 1) <= level + 1e-12 < 1 / needed
    for level in (0.0, 1.0, 5.0, math.nan):
        with pytest.raises(InputError, match=r"is outside \(0, 1\)"):
            sets_needed(level)
