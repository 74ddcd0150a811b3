"""Permutation tests and corrections: against enumeration, calibrated by simulation."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from culture_lens.errors import InputError
from culture_lens.statistics.permutation import (
    benjamini_hochberg,
    contrasts,
    corrected,
    holm,
    relabelling_p,
    weighted_p,
)
from tests.helpers.calibration import exactly_uniform
from tests.helpers.matrices import clustered


@pytest.mark.parametrize("runs", [2, 3])
def test_relabelling_equals_enumeration(runs):
    source = np.random.default_rng(runs)
    for _ in range(20):
        counts = source.integers(0, 4, size=(5, runs))
        first = runs * counts - counts.sum(1, keepdims=True)
        sums = [
            sum(row[k] for row, k in zip(first, pick)) for pick in product(range(runs), repeat=5)
        ]
        expected = np.mean(np.abs(sums) >= abs(first[:, 0].sum()))
        assert relabelling_p(counts) == pytest.approx(expected, abs=1e-12)
        p, tried, exact = weighted_p(first / 7)
        moving = int(first.any(1).sum())
        assert (p, tried, exact) == (pytest.approx(expected), runs**moving, True)


def test_drawn_relabellings_come_near_the_exact_ones():
    counts = np.random.default_rng(5).binomial(5, [[0.5, 0.62]] * 40)
    exact = relabelling_p(counts)
    drawn, tried, whole = weighted_p(contrasts(counts).astype(float))
    assert (tried, whole) == (9999, False) and 0.01 < exact < 0.5
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact / 9999))
    assert weighted_p(contrasts(counts).astype(float)) == (drawn, tried, whole)
    # a p of drawn ones is never 0
    assert weighted_p(np.array([[1.0, -1.0]] * 200))[0] == 1 / 10_000


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == [0.03, 0.06, 0.06, 0.02]
    assert holm(np.array([0.5, 0.6])).tolist() == [1.0, 1.0]
    assert benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx(
        [0.02, 0.04, 0.04, 0.02]
    )
    assert np.isnan(corrected(np.array([np.nan, np.nan]), "holm")).all()
    with pytest.raises(InputError, match="unknown correction 'hol': did you mean 'holm'"):
        corrected(np.array([0.1]), "hol")


@pytest.mark.slow
@pytest.mark.parametrize("runs", [2, 6])
def test_p_against_random_is_uniform_under_the_null(runs):
    source = np.random.default_rng(runs)
    exact, weighted = [], []
    for _ in range(300):
        counts = clustered(source, (30, runs, 4), 0.7).sum(2)
        exact.append(exactly_uniform(counts, source))
        weights = source.random((30, 1))
        weighted.append(weighted_p(weights * contrasts(counts), seed=1)[0])
    assert stats.kstest(exact, "uniform").pvalue > 0.05
    assert stats.kstest(weighted, "uniform").pvalue > 0.05


@pytest.mark.slow
def test_corrections_hold_their_levels():
    """40 clustered tests, 10 of them with an effect, 150 times."""
    source, trials = np.random.default_rng(6), 150
    effect = np.repeat([-0.4, 0.0], [10, 30])
    rates = {"holm": [], "benjamini-hochberg": [], "none": []}
    power = {"holm": [], "benjamini-hochberg": []}
    for _ in range(trials):
        before = clustered(source, (40, 25, 3), 0.7).sum(2)
        after = clustered(source, (40, 25, 3), 0.7 + effect[:, None]).sum(2)
        p = np.array([relabelling_p(pair.T) for pair in np.stack([before, after], 1)])
        for name in ("holm", "benjamini-hochberg"):
            found = corrected(p, name) <= 0.1
            false = found[10:].sum()
            rates[name].append(false > 0 if name == "holm" else false / max(found.sum(), 1))
            power[name].append(found[:10].mean())
        rates["none"].append((p[10:] <= 0.1).any())
    assert np.mean(rates["holm"]) <= 0.1 + 2 * math.sqrt(0.09 / trials)
    assert (
        np.mean(rates["benjamini-hochberg"]) <= 0.1 + 2 * np.std(rates["benjamini-hochberg"]) / 12
    )
    assert np.mean(rates["none"]) > 0.8
    assert np.mean(power["benjamini-hochberg"]) > np.mean(power["holm"]) > 0.5
