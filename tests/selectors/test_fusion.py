"""Fusion over languages: by hand, and against numpy."""

import itertools
import math

import numpy as np
import pytest
import torch

from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import InputError
from culture_lens.selectors import select
from culture_lens.selectors.conact import margins
from culture_lens.selectors.fusion import fuse
from culture_lens.selectors.variance import variance_shares
from tests.helpers.summaries import summary_with

NEVER = float("-inf")


# ------------------------------------------------------------------ by hand


ENGLISH = [[0.9, 0.5, 0.3, 0.2], [0.1, 0.3, 0.2, 0.8]]
JAPANESE = [[0.6, 0.8, 0.1, 0.1], [0.2, 0.1, 0.3, 0.5]]
# Margins of a: English 0.8 0.2 0.1 -0.6, Japanese 0.4 0.7 -0.2 -0.4; those of b are the negative.


def test_joint_and_consistent_by_hand():
    both = {"en": summary_with(ENGLISH), "ja": summary_with(JAPANESE)}
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
        "en": summary_with([[0.75, 0.62, *others], rest]),
        "ja": summary_with([[0.55, 0.62, *others], rest]),
    }
    assert fuse(both, "joint").top(k=1)["a"].places["act"].tolist() == [[0, 0]]
    assert fuse(both, "consistent").top(k=1)["a"].places["act"].tolist() == [[0, 1]]


def test_overlap_by_hand():
    # Ranks of a: English 0 1 2 3, Japanese 1 0 2 3 (from 0): worst 2 2 - -, for neuron 2 is lost.
    scores = fuse({"en": summary_with(ENGLISH), "ja": summary_with(JAPANESE)}, "overlap")
    assert at(scores, "a") == [-2, -2, NEVER, NEVER]
    # b wins neuron 3 in both, first in either; neuron 2 in Japanese only.
    assert at(scores, "b") == [NEVER, NEVER, NEVER, -1]
    assert scores.metadata["selector"] == "fusion_overlap"


@pytest.mark.parametrize("languages", [2, 3])
def test_the_overlap_grows_as_the_intersection_of_the_sets_does(languages):
    chance = np.random.default_rng(languages)
    base = chance.uniform(0.1, 0.9, (4, 40))
    summaries = {
        str(n): summary_with(np.clip(base + chance.normal(0, 0.08, base.shape), 0.01, 0.99))
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
    summaries = {name: summary_with(table) for name, table in zip("xyz", tables, strict=True)}
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
        fused = fuse({"one": summary_with(p), "two": summary_with(p)}, how).top(k=8)
        expected = select(summary_with(p), "conact", k=8)
        for culture in "abc":
            assert fused[culture] == expected[culture], (how, culture)


def test_margins_are_those_of_conact_where_it_has_any():
    p = torch.rand(5, 2, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = margins(p)
    for c in range(5):
        others = torch.cat([p[:c], p[c + 1 :]]).amax(0)
        torch.testing.assert_close(found[c], p[c] - others)


def test_sets_remember_where_they_come_from():
    one = summary_with(ENGLISH, groups=["g1", "g2"], benchmark="blend", style="choices")
    two = summary_with(JAPANESE, groups=["g2", "g3"], benchmark="blend", style="cloze")
    found = fuse({"en": one, "ja": two}, consistency=0.5).top(k=1)
    assert found.method == "fusion_consistent" and found.metadata["fused"] == ["en", "ja"]
    assert found.metadata["groups"] == ["g1", "g2", "g3"] and found.metadata["items"] == 12
    assert found.metadata["model"] == "m" and found.metadata["benchmark"] == "blend"
    assert "style" not in found.metadata and found.metadata["options"] == {"consistency": 0.5}


def test_every_site_is_fused_by_itself():
    def two_sites(p, q):
        one = summary_with(p)
        return ActivationSummary(
            one.cultures, one.items, one.tokens, {**one.counts, "q": summary_with(q).counts["act"]}
        )

    wide = [[0.3, 0.4, 0.9], [0.2, 0.1, 0.95]]
    both = fuse({"en": two_sites(ENGLISH, wide), "ja": two_sites(JAPANESE, wide)})
    alone = fuse({"en": summary_with(ENGLISH), "ja": summary_with(JAPANESE)})
    assert both.scores["act"].equal(alone.scores["act"]) and both.scores["q"].shape == (2, 1, 3)


# ------------------------------------------------------------------ bad input


def test_bad_input():
    one, two = summary_with(ENGLISH), summary_with(JAPANESE)
    both = {"en": one, "ja": two}
    with pytest.raises(InputError, match="unknown way to fuse 'joined'"):
        fuse(both, "joined")
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="consistency="):
            fuse(both, consistency=bad)
    flat = summary_with([[0.5, 0.5, 0.5, 0.5], [0.2, 0.2, 0.2, 0.2]])
    with pytest.raises(InputError, match="in 'ja' at site 'act' are the same for all neurons"):
        fuse({"en": one, "ja": flat})
    with pytest.raises(InputError, match="no neuron of site 'act' has a P that differs"):
        same = summary_with([[0.5, 0.5], [0.5, 0.5]])
        variance_shares({"en": same, "ja": same})


@pytest.mark.parametrize("function", [fuse, variance_shares])
def test_summaries_that_cannot_be_compared_are_refused(function):
    one = summary_with(ENGLISH)
    for few in ({}, {"en": one}):
        with pytest.raises(InputError, match="at least two languages or wordings"):
            function(few)
    for other, what in (
        (
            summary_with(JAPANESE, cultures=("a", "c")),
            r"'en' and 'ja' differ in cultures \(\('a', 'b'\)",
        ),
        (summary_with(JAPANESE, site="gate"), "differ in sites"),
        (summary_with([[0.5, 0.1], [0.3, 0.2]]), "differ in shapes"),
        (summary_with(JAPANESE, model="n"), "differ in model"),
        (summary_with(JAPANESE, weights="v"), "differ in weights"),
        (summary_with(JAPANESE, dtype="bfloat16"), "differ in dtype"),
    ):
        with pytest.raises(InputError, match=what):
            function({"en": one, "ja": other})
    with pytest.raises(InputError, match="'en' holds only a"):
        function({"en": summary_with([[0.5, 0.1]]), "ja": summary_with([[0.5, 0.1]])})


def at(scores, culture, site="act"):
    return scores.scores[site][scores.cultures.index(culture)].flatten().tolist()
