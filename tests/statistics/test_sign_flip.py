"""The sign-flip test: by hand, drawn against exact, and held under symmetric null hypotheses."""

import itertools

import numpy as np
import pytest

from culture_lens.statistics import sign_flip
from culture_lens.statistics.sign_flip import DRAWN, MOST_EXACT, sign_flip_p


def every_pattern(values):
    """The share of all sign patterns whose sum is as low: a plain loop."""
    patterns = list(itertools.product((-1, 1), repeat=len(values)))
    sums = [sum(sign * value for sign, value in zip(one, values, strict=True)) for one in patterns]
    return sum(one <= sum(values) + 1e-9 for one in sums) / len(patterns)


def test_by_hand():
    # 3, 2, 1 with signs: sums -6, -4, -2, 0, 0, 2, 4, 6.
    rows = np.array([[-3, -2, -1], [-3, -2, 1], [-3, 2, 1], [3, -2, -1], [3, 2, 1]], float)
    assert (sign_flip_p(rows) * 8).tolist() == [1, 2, 5, 5, 8]


def test_small_rows_equal_a_loop_over_every_pattern():
    rows = np.random.default_rng(0).standard_normal((5, 7)).round(1)  # rounded: sums tie
    assert sign_flip_p(rows).tolist() == [every_pattern(row) for row in rows]


def test_drawn_patterns_come_close_to_all_of_them(monkeypatch):
    rows = np.random.default_rng(1).standard_normal((20, MOST_EXACT)) - 0.3
    exact = sign_flip_p(rows)
    monkeypatch.setattr(sign_flip, "MOST_EXACT", 0)
    drawn = sign_flip_p(rows)
    assert not np.array_equal(drawn, exact)
    np.testing.assert_allclose(drawn, exact, atol=4 * np.sqrt(0.25 / DRAWN))


def test_drawn_p_is_never_0_and_the_same_for_the_same_seed():
    rows = np.random.default_rng(2).standard_normal((2, 40))
    rows[0] = -1
    p = sign_flip_p(rows, seed=3)
    assert p[0] == 1 / (DRAWN + 1)
    assert np.array_equal(p, sign_flip_p(rows, seed=3))
    assert p[1] != sign_flip_p(rows, seed=4)[1]


@pytest.mark.parametrize("number", [6, 30])
def test_it_is_one_sided_and_asks_nothing_of_the_scale(number):
    row = np.random.default_rng(3).standard_normal(number) - 1
    low, high, small = sign_flip_p(np.stack([row, -row, row * 1e-9]))
    assert low < 0.05 and high > 0.95 and small == low


def test_values_of_0_are_no_evidence():
    assert sign_flip_p(np.zeros((1, 5))).tolist() == [1]
    assert sign_flip_p(np.zeros((1, 50))).tolist() == [1]


RUNS = 1000
NULLS = {
    "normal": lambda source, size: source.standard_normal(size),
    "heavy tails": lambda source, size: source.standard_t(2, size),
    "of other spread": lambda source, size: (
        source.standard_normal(size) * np.arange(1, size[1] + 1)
    ),
    "two values": lambda source, size: source.choice([-1.0, 1.0], size),
}


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("number", [5, 8, 60])
def test_p_holds_its_level_where_signs_mean_nothing(null, number):
    """1,000 tests: p <= level in at most the level, within four standard errors."""
    values = NULLS[null](np.random.default_rng(number), (RUNS, number))
    p = np.concatenate([sign_flip_p(values[at : at + 500]) for at in range(0, RUNS, 500)])
    for level in (0.01, 0.05, 0.2, 0.5):
        assert (p <= level).mean() <= level + 4 * np.sqrt(level * (1 - level) / RUNS)


@pytest.mark.parametrize("number", [8, 60])
def test_p_of_continuous_values_is_uniform(number):
    values = np.random.default_rng(number).standard_normal((RUNS, number))
    p = np.concatenate([sign_flip_p(values[at : at + 500]) for at in range(0, RUNS, 500)])
    for level in (0.125, 0.5, 0.875):  # exact where all patterns are tried
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / RUNS)


def test_many_units_find_a_small_fall():
    values = np.random.default_rng(5).standard_normal((50, 100)) - 0.5
    assert (sign_flip_p(values) <= 0.001).mean() > 0.9
