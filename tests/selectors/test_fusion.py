"""Fusion over languages and shares of variance: by hand, against numpy, calibrated."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.selectors import select
from culture_lens.selectors.conact import margins
from culture_lens.selectors.fusion import fuse
from culture_lens.selectors.variance import VARIANCE_PARTS, sums_of_squares, variance_shares
from culture_lens.statistics.estimates import Estimate
from tests.helpers.simulated import CULTURES, TOKENS, questions_of, statistics_of, summary_of

NEVER = float("-inf")


def made(p, tokens=1000, site="act", cultures=None, **metadata):
    """A summary whose P is the given table, ``culture neuron``."""
    table = (torch.tensor(p, dtype=torch.float64) * tokens).round().long()[:, None]
    return ActivationSummary(
        cultures=tuple(cultures or "abcdefg"[: len(table)]),
        items=torch.full((len(table),), 3),
        tokens=torch.full((len(table),), tokens),
        counts={site: table},
        metadata={"model": "m", "weights": "w", "dtype": "float32", **metadata},
    )


def at(scores, culture, site="act"):
    return scores.scores[site][scores.cultures.index(culture)].flatten().tolist()


# ------------------------------------------------------------------ by hand

ENGLISH = [[0.9, 0.5, 0.3, 0.2], [0.1, 0.3, 0.2, 0.8]]
JAPANESE = [[0.6, 0.8, 0.1, 0.1], [0.2, 0.1, 0.3, 0.5]]
# Margins of a: English 0.8 0.2 0.1 -0.6, Japanese 0.4 0.7 -0.2 -0.4; those of b are the negative.


def test_joint_and_consistent_by_hand():
    both = {"en": made(ENGLISH), "ja": made(JAPANESE)}
    margins = np.array([[0.8, 0.2, 0.1, -0.6], [0.4, 0.7, -0.2, -0.4]])
    means = margins.mean(1, keepdims=True)  # 0.125 each
    assert means.ravel().tolist() == pytest.approx([0.125, 0.125])
    # Squares from the mean, English: .455625 .005625 .000625 .525625, together .9875.
    spread = [math.sqrt(0.9875 / 4), math.sqrt((0.075625 + 0.330625 + 0.105625 + 0.275625) / 4)]
    z = (margins - means) / np.array(spread)[:, None]
    joint = fuse(both, "joint")
    # Neuron 2 has a mean margin of -0.05 and neuron 3 of -0.5: a cannot have them.
    assert at(joint, "a") == pytest.approx([*z.mean(0)[:2], NEVER, NEVER])
    assert at(joint, "b") == pytest.approx([NEVER, NEVER, *(-z).mean(0)[2:]])
    for weight in (0.0, 0.5, 2.0):
        # Of two values the deviation is half their distance.
        expected = z.mean(0) - weight * abs(z[0] - z[1]) / 2
        fused = fuse(both, "consistent", consistency=weight)
        assert at(fused, "a") == pytest.approx([*expected[:2], NEVER, NEVER])
    # English prefers neuron 0 and Japanese neuron 1, which is the less alike of the two.
    assert z[0, 0] + z[1, 0] > z[0, 1] + z[1, 1]
    assert fuse(both).top(k=1)["a"].places["act"].tolist() == [[0, 0]]
    assert fuse(both).scores["act"].equal(fuse(both, consistency=1.0).scores["act"])


def test_what_depends_on_the_language_loses():
    """Neuron 0 has the higher mean, 0.75 and 0.55 against 0.62 twice, but not in both."""
    others = np.linspace(0.1, 0.5, 40).tolist()
    rest = [0.1, 0.1, *[0.3] * 40]
    both = {
        "en": made([[0.75, 0.62, *others], rest]),
        "ja": made([[0.55, 0.62, *others], rest]),
    }
    assert fuse(both, "joint").top(k=1)["a"].places["act"].tolist() == [[0, 0]]
    assert fuse(both, "consistent").top(k=1)["a"].places["act"].tolist() == [[0, 1]]


def test_overlap_by_hand():
    # Ranks of a: English 0 1 2 3, Japanese 1 0 2 3 (from 0): worst 2 2 - -, for neuron 2 is lost.
    scores = fuse({"en": made(ENGLISH), "ja": made(JAPANESE)}, "overlap")
    assert at(scores, "a") == [-2, -2, NEVER, NEVER]
    # b wins neuron 3 in both, first in either; neuron 2 in Japanese only.
    assert at(scores, "b") == [NEVER, NEVER, NEVER, -1]
    assert scores.metadata["selector"] == "fusion_overlap"


@pytest.mark.parametrize("languages", [2, 3])
def test_the_overlap_grows_as_the_intersection_of_the_sets_does(languages):
    chance = np.random.default_rng(languages)
    base = chance.uniform(0.1, 0.9, (4, 40))
    summaries = {
        str(n): made(np.clip(base + chance.normal(0, 0.08, base.shape), 0.01, 0.99))
        for n in range(languages)
    }
    scores = fuse(summaries, "overlap")
    seen = 0
    for culture, k in itertools.product("abcd", (3, 6, 10)):
        sets = [select(one, "conact", k=k)[culture].members() for one in summaries.values()]
        expected = set.intersection(*sets)
        values = np.array(at(scores, culture))
        assert {("act", 0, int(i)) for i in np.flatnonzero(values >= -k)} == expected
        taken = scores.top(k=len(expected))[culture].members() if expected else set()
        assert taken == expected
        seen += len(expected)
    assert seen > 20


# ------------------------------------------------------------------ against plain numpy


def by_numpy(tables, how, weight):
    """The same, neuron by neuron, from P ``language culture neuron``."""
    languages, cultures, neurons = tables.shape
    margins = np.empty_like(tables)
    for lang, c, n in itertools.product(range(languages), range(cultures), range(neurons)):
        others = [tables[lang, d, n] for d in range(cultures) if d != c]
        margins[lang, c, n] = tables[lang, c, n] - max(others)
    fused = np.full((cultures, neurons), -np.inf)
    for c, n in itertools.product(range(cultures), range(neurons)):
        z = [(m[c, n] - np.mean(m[c])) / np.std(m[c]) for m in margins]
        if np.mean(margins[:, c, n]) > 0:
            fused[c, n] = np.mean(z) - (weight * np.std(z) if how == "consistent" else 0)
    return fused


@pytest.mark.parametrize("how", ["joint", "consistent"])
def test_fusion_equals_the_reference(how):
    chance = np.random.default_rng(5)
    tables = chance.integers(1, 999, size=(3, 4, 30)) / 1000
    summaries = {name: made(table) for name, table in zip("xyz", tables, strict=True)}
    scores = fuse(summaries, how, consistency=0.7)
    np.testing.assert_allclose(scores.scores["act"][:, 0], by_numpy(tables, how, 0.7), atol=1e-9)
    # No neuron is two cultures', and the order of languages does not matter.
    assert (np.isfinite(scores.scores["act"]).sum(0) <= 1).all()
    turned = fuse(dict(reversed(summaries.items())), how, consistency=0.7)
    torch.testing.assert_close(turned.scores["act"], scores.scores["act"])


def test_the_same_summary_twice_is_conact():
    """Fused with itself nothing varies: the order is that of ConAct's margins."""
    p = np.random.default_rng(2).integers(1, 999, size=(3, 50)) / 1000
    for how in ("joint", "consistent", "overlap"):
        fused = fuse({"one": made(p), "two": made(p)}, how).top(k=8)
        expected = select(made(p), "conact", k=8)
        for culture in "abc":
            assert fused[culture] == expected[culture], (how, culture)


def test_margins_are_those_of_conact_where_it_has_any():
    p = torch.rand(5, 2, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = margins(p)
    for c in range(5):
        others = torch.cat([p[:c], p[c + 1 :]]).amax(0)
        torch.testing.assert_close(found[c], p[c] - others)


def test_sets_remember_where_they_come_from():
    one = made(ENGLISH, groups=["g1", "g2"], benchmark="blend", style="choices")
    two = made(JAPANESE, groups=["g2", "g3"], benchmark="blend", style="cloze")
    found = fuse({"en": one, "ja": two}, consistency=0.5).top(k=1)
    assert found.method == "fusion_consistent" and found.metadata["fused"] == ["en", "ja"]
    assert found.metadata["groups"] == ["g1", "g2", "g3"] and found.metadata["items"] == 12
    assert found.metadata["model"] == "m" and found.metadata["benchmark"] == "blend"
    assert "style" not in found.metadata and found.metadata["options"] == {"consistency": 0.5}


def test_every_site_is_fused_by_itself():
    def two_sites(p, q):
        one = made(p)
        return ActivationSummary(
            one.cultures, one.items, one.tokens, {**one.counts, "q": made(q).counts["act"]}
        )

    wide = [[0.3, 0.4, 0.9], [0.2, 0.1, 0.95]]
    both = fuse({"en": two_sites(ENGLISH, wide), "ja": two_sites(JAPANESE, wide)})
    alone = fuse({"en": made(ENGLISH), "ja": made(JAPANESE)})
    assert both.scores["act"].equal(alone.scores["act"]) and both.scores["q"].shape == (2, 1, 3)


# ------------------------------------------------------------------ shares of variance


def test_shares_by_hand():
    """Neuron 0: culture alone. 1: language alone. 2: interaction alone. 3: never moves. 4: all."""
    one = made([[0.2, 0.2, 0.2, 0.5, 0.1], [0.6, 0.2, 0.6, 0.5, 0.5]])
    two = made([[0.2, 0.6, 0.6, 0.5, 0.3], [0.6, 0.6, 0.2, 0.5, 0.9]])
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


def test_with_nothing_but_noise_the_interaction_is_none():
    flat = np.full((3, 4, 60), 0.5)
    shares = [variance_shares(simulated(s, flat)).overall["act"] for s in range(8)]
    for part in ("culture", "language", "interaction"):
        assert abs(np.mean([one[part].value for one in shares])) < 0.06
    assert np.mean([one["residual"].value for one in shares]) > 0.9


def test_the_table_has_a_row_per_site(truth):
    table = variance_shares(simulated(0, truth)).table()
    assert list(table.columns) == list(VARIANCE_PARTS) and list(table.index) == ["act"]
    assert isinstance(table.loc["act", "culture"], Estimate)
    assert sum(cell.value for cell in table.loc["act"]) == pytest.approx(1)
    assert isinstance(table, pd.DataFrame)


# ------------------------------------------------------------------ bad input


def test_bad_input():
    one, two = made(ENGLISH), made(JAPANESE)
    both = {"en": one, "ja": two}
    with pytest.raises(InputError, match="unknown way to fuse 'joined'"):
        fuse(both, "joined")
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="consistency="):
            fuse(both, consistency=bad)
    flat = made([[0.5, 0.5, 0.5, 0.5], [0.2, 0.2, 0.2, 0.2]])
    with pytest.raises(InputError, match="in 'ja' at site 'act' are the same for all neurons"):
        fuse({"en": one, "ja": flat})
    with pytest.raises(InputError, match="no neuron of site 'act' has a P that differs"):
        same = made([[0.5, 0.5], [0.5, 0.5]])
        variance_shares({"en": same, "ja": same})


@pytest.mark.parametrize("function", [fuse, variance_shares])
def test_summaries_that_cannot_be_compared_are_refused(function):
    one = made(ENGLISH)
    for few in ({}, {"en": one}):
        with pytest.raises(InputError, match="at least two languages or wordings"):
            function(few)
    for other, what in (
        (made(JAPANESE, cultures=("a", "c")), r"'en' and 'ja' differ in cultures \(\('a', 'b'\)"),
        (made(JAPANESE, site="gate"), "differ in sites"),
        (made([[0.5, 0.1], [0.3, 0.2]]), "differ in shapes"),
        (made(JAPANESE, model="n"), "differ in model"),
        (made(JAPANESE, weights="v"), "differ in weights"),
        (made(JAPANESE, dtype="bfloat16"), "differ in dtype"),
    ):
        with pytest.raises(InputError, match=what):
            function({"en": one, "ja": other})
    with pytest.raises(InputError, match="'en' holds only a"):
        function({"en": made([[0.5, 0.1]]), "ja": made([[0.5, 0.1]])})


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
