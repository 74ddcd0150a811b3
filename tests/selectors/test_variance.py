"""Shares of variance: by hand, against least squares, calibrated."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.selectors.variance import VARIANCE_PARTS, sums_of_squares, variance_shares
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import as_estimates
from tests.helpers.simulated import CULTURES, TOKENS, questions_of, statistics_of, summary_of
from tests.helpers.summaries import summary_with

# ------------------------------------------------------------------ shares of variance


def test_shares_by_hand():
    """Neuron 0: culture alone. 1: language alone. 2: interaction alone. 3: never moves. 4: all."""
    one = summary_with([[0.2, 0.2, 0.2, 0.5, 0.1], [0.6, 0.2, 0.6, 0.5, 0.5]])
    two = summary_with([[0.2, 0.6, 0.6, 0.5, 0.3], [0.6, 0.6, 0.2, 0.5, 0.9]])
    found = variance_shares({"en": one, "ja": two})
    parts = found.neurons["act"][:, 0]
    for neuron, expected in enumerate([(1, 0, 0), (0, 1, 0), (0, 0, 1)]):
        assert parts[:3, neuron].tolist() == pytest.approx(expected, abs=1e-12)
    assert parts[:, 3].isnan().all() and parts[3].isnan().all()
    # Neuron 4: mean 0.45, cultures 0.2 and 0.7, languages 0.3 and 0.6, together +-0.05.
    ss = [4 * 0.25**2, 4 * 0.15**2, 4 * 0.05**2]
    assert parts[:3, 4].tolist() == pytest.approx([s / sum(ss) for s in ss])
    # Over all: the first three have 4 * 0.2^2 each.
    whole = 3 * 0.16 + sum(ss)
    overall = found.overall["act"]
    for part, own in zip(VARIANCE_PARTS, ss, strict=False):
        assert overall[part].value == pytest.approx((0.16 + own) / whole)
        assert math.isnan(overall[part].low)
    assert math.isnan(overall["residual"].value) and found.samples == 0
    assert found.languages == ("en", "ja") and found.cultures == ("a", "b")


def test_sums_of_squares_equal_least_squares():
    """Sequential sums of squares of dummy regressions, on a table of 3 languages, 4 cultures."""
    p = np.random.default_rng(3).uniform(size=(3, 4))
    rows = list(itertools.product(range(3), range(4)))
    y = np.array([p[row] for row in rows])
    dummies = {
        0: np.ones((12, 1)),
        1: np.array([[c == k for k in range(4)] for _, c in rows], dtype=float),
        2: np.array([[lang == k for k in range(3)] for lang, _ in rows], dtype=float),
    }

    def left(columns):
        x = np.hstack([dummies[c] for c in columns])
        return float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum())

    expected = [left([0]) - left([0, 1]), left([0, 1]) - left([0, 1, 2]), left([0, 1, 2])]
    found = sums_of_squares(torch.from_numpy(p)[:, :, None, None]).flatten().tolist()
    assert found == pytest.approx(expected)


def simulated(seed, truth, groups=40, group_sd=0.12, own_sd=0.05):
    """Summaries of languages whose question groups lift P alike in all of them.

    Lifts are uniform and P stays inside (0, 1), so that the truth is the expected P.
    """
    chance = np.random.default_rng(seed)
    questions = questions_of(groups)
    cultures = [CULTURES.index(q.culture) for q in questions]

    def uniform(deviation, shape):
        return chance.uniform(-1, 1, shape) * deviation * math.sqrt(3)

    shared = uniform(group_sd, (len(questions), truth.shape[2]))  # one question per group
    summaries = {}
    for name, table in zip("xyz", truth, strict=True):
        rate = table[cultures] + shared + uniform(own_sd, shared.shape)
        counts = chance.binomial(TOKENS, rate)
        summaries[name] = summary_of(questions, counts, seed=seed, permutations=0)
    return summaries


@pytest.fixture(scope="module")
def truth():
    """P of 3 languages, 4 cultures, 60 neurons: culture, language, a little of both."""
    chance = np.random.default_rng(9)
    parts = [(1, 4, 60), (3, 1, 60), (3, 4, 60)]
    p = 0.5 + sum(
        chance.uniform(-1, 1, shape) * size
        for shape, size in zip(parts, (0.07, 0.05, 0.03), strict=True)
    )
    assert 0.22 < p.min() and p.max() < 0.78  # room for the lifts
    return p


@pytest.mark.slow
def test_the_residual_is_told_from_the_interaction(truth):
    """Corrected sums of squares are right on average; uncorrected ones are not."""
    ss = sums_of_squares(torch.from_numpy(truth)[:, :, None]).sum((1, 2)).numpy()
    corrected, plain = [], []
    for seed in range(12):
        summaries = simulated(seed, truth)
        found = variance_shares(summaries).neurons["act"].flatten(1)
        table = torch.stack([one.probability("act") for one in summaries.values()])
        raw = sums_of_squares(table)
        total = raw.sum(0).flatten()
        corrected.append((found[:3] * total).sum(1).numpy())
        plain.append(raw.sum((1, 2)).numpy())
        assert torch.allclose(found.sum(0), torch.ones(120 // 2, dtype=torch.float64))
    error = np.std(corrected, 0, ddof=1) / math.sqrt(12)
    assert (abs(np.mean(corrected, 0) - ss) < 4 * error + 0.02 * ss).all()
    # What groups share over languages looks like culture, what they do not like interaction.
    assert np.mean(plain, 0)[0] > 1.2 * ss[0] and np.mean(plain, 0)[2] > 1.2 * ss[2]


@pytest.mark.slow
def test_intervals_of_the_shares_cover(truth):
    """Of what the shares estimate: true sums of squares over the total that is observed."""
    ss = sums_of_squares(torch.from_numpy(truth)[:, :, None]).sum((1, 2))
    hits, runs = np.zeros(3), 40
    found = [variance_shares(simulated(100 + s, truth)).overall["act"] for s in range(runs)]
    noise = np.mean([one["residual"].value for one in found])
    expected = (ss / ss.sum()).numpy() * (1 - noise)
    for one in found:
        hits += [
            one[part].low <= value <= one[part].high
            for part, value in zip(VARIANCE_PARTS, expected, strict=False)
        ]
    # 95% less three standard deviations of 40 runs, and not all of them wide.
    assert (hits >= runs * (0.95 - 3 * math.sqrt(0.95 * 0.05 / runs))).all()
    assert all(one["culture"].high - one["culture"].low < 0.2 for one in found)


@pytest.mark.slow
def test_with_nothing_but_noise_the_interaction_is_none():
    flat = np.full((3, 4, 60), 0.5)
    shares = [variance_shares(simulated(s, flat)).overall["act"] for s in range(8)]
    for part in ("culture", "language", "interaction"):
        assert abs(np.mean([one[part].value for one in shares])) < 0.06
    assert np.mean([one["residual"].value for one in shares]) > 0.9


def test_the_table_has_a_row_per_site(truth):
    table = as_estimates(variance_shares(simulated(0, truth)).table())
    assert list(table.columns) == list(VARIANCE_PARTS) and list(table.index) == ["act"]
    assert isinstance(table.loc["act", "culture"], Estimate)
    assert sum(cell.value for cell in table.loc["act"]) == pytest.approx(1)
    assert isinstance(table, pd.DataFrame)


# ------------------------------------------------------------------ bad input


def test_replicates_in_one_language_only_are_refused():
    questions = questions_of(6)
    counts = np.random.default_rng(0).integers(1, TOKENS, (len(questions), 10))
    more = statistics_of(questions, counts).summary()
    none = statistics_of(questions, counts, permutations=0, bootstraps=0).summary()
    with pytest.raises(InputError, match="bootstrap samples: en 20, ja 0"):
        variance_shares({"en": more, "ja": none})


def test_samples_that_drew_nothing_of_a_culture_are_left_out_and_it_is_said():
    questions = questions_of(2)  # two groups of each culture: one in seven draws neither
    counts = np.random.default_rng(0).integers(1, TOKENS, (len(questions), 10))
    both = {name: summary_of(questions, counts, seed=1) for name in ("en", "ja")}
    drawn = both["en"].replicates.tokens[20:]
    usable = int((drawn > 0).all(1).sum())
    assert 5 <= usable < 20
    with pytest.warns(CultureLensWarning, match=f"{20 - usable} of 20 bootstrap samples"):
        assert variance_shares(both).samples == usable
