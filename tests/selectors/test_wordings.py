"""Stability of CULNIG's sets over CountryRC's wordings, against plain Python over plain sets."""

from itertools import combinations

import numpy as np
import pytest

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.wordings import wording_stability_in_words
from culture_lens.selectors import select
from culture_lens.selectors.wordings import by_chance
from tests.helpers import reference_culnig as reference
from tests.helpers.culnig import NAMED, as_scores, drawn, members

SPECIFIC = {"share": 0.06, "countryrc_share": 0.1, "z": 0.3}
GENERAL = {
    "mlp_share": 0.1,
    "attention_share": 0.05,
    "countryrc_mlp_share": 0.1,
    "countryrc_attention_share": 0.2,
}
NONE = {"countryrc_mlp_share": 0.0, "countryrc_attention_share": 0.0}
N = 8


def worded(seed=0, spread=1.5, wordings=4):
    """Task, control, and CountryRC as the sum of wordings that differ at random."""
    task, control, shared = drawn(seed)
    source = np.random.default_rng(seed + 100)
    single = [
        {
            culture: {s: v + spread * source.standard_normal(v.shape) for s, v in sites.items()}
            for culture, sites in shared.items()
        }
        for _ in range(wordings)
    ]
    return task, control, single


def added(tables):
    return {
        culture: {site: sum(one[culture][site] for one in tables) for site in reference.SITES}
        for culture in NAMED
    }


def as_worded(task, control, single):
    ids = [str(number) for number in range(N)]
    parts = tuple(as_scores(one, [f"c{number}"]) for number, one in enumerate(single))
    names = [f"c{number}" for number in range(len(single))]
    return CulnigScores(
        as_scores(task, ids, control=False),
        as_scores(control, ids, control=True),
        as_scores(added(single), names),
        parts,
    )


def specific(task, control, countryrc):
    return reference.culture_specific(task, control, countryrc, N, N, NAMED, **SPECIFIC)


def general(task, control, countryrc):
    return {"general": reference.culture_general(task, control, countryrc, N, N, **GENERAL)}


def alike(one, other):
    return len(one & other) / len(one | other)


def randomly_alike(pool, one, other, families):
    """The mean Jaccard overlap over random subsets of the pool: 2000 draws."""
    source, found = np.random.default_rng(0), []
    for _ in range(2000):
        draws = []
        for sets in (one, other):
            drawn_set = set()
            for sites in families:
                inside = sorted(n for n in pool if n[0] in sites)
                number = sum(n[0] in sites for n in sets)
                picks = source.choice(len(inside), number, replace=False)
                drawn_set |= {inside[int(pick)] for pick in picks}
            draws.append(drawn_set)
        found.append(alike(*draws))
    return np.mean(found)


CASES = [
    ("culnig_specific", SPECIFIC, {"countryrc_share": 0.0}, specific, [reference.SITES]),
    ("culnig_general", GENERAL, NONE, general, [reference.MLP, reference.ATTENTION]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "options", "none", "plain", "families"), CASES)
def test_every_number_against_plain_sets(method, options, none, plain, families):
    task, control, single = worded()
    scores = as_worded(task, control, single)
    found = select(scores, method, **options)
    whole = plain(task, control, added(single))
    assert members(found) == whole
    pools = members(select(scores, method, **{**options, **none}))
    own = [plain(task, control, one) for one in single]
    fewer = [
        plain(task, control, added([one for at, one in enumerate(single) if at != left]))
        for left in range(4)
    ]
    table = found.metadata["wording_stability"]
    assert set(table) == set(whole)
    for label, row in table.items():
        pairs = list(combinations([sets[label] for sets in own], 2))
        assert row["wordings"] == 4
        assert row["single"] == pytest.approx(np.mean([alike(*pair) for pair in pairs]))
        left = [alike(whole[label], sets[label]) for sets in fewer]
        assert row["one_left_out"] == pytest.approx(np.mean(left))
        without = [alike(sets[label], pools[label]) for sets in own]
        assert row["no_countryrc"] == pytest.approx(np.mean(without))
        assert row["single"] < row["one_left_out"] < 1
    label = next(iter(table))
    a, b = own[0][label], own[1][label]
    chance = randomly_alike(pools[label], a, b, families)
    given = (as_neurons(one) for one in (pools[label], a, b))
    assert by_chance(*given, families) == pytest.approx(chance, abs=0.003)
    pairs = combinations([as_neurons(sets[label]) for sets in own], 2)
    pool = as_neurons(pools[label])
    expected = np.mean([by_chance(pool, *pair, families) for pair in pairs])
    assert table[label]["single_by_chance"] == pytest.approx(expected)


def as_neurons(members):
    places = {}
    for site, layer, index in members:
        places.setdefault(site, []).append((layer, index))
    return Neurons.of(places)


@pytest.mark.slow
def test_wordings_that_are_alike_and_wordings_that_share_nothing():
    task, control, single = worded(spread=0.0)
    for method, options, *_ in CASES:
        for row in (
            select(as_worded(task, control, single), method, **options)
            .metadata["wording_stability"]
            .values()
        ):
            assert row["single"] == row["one_left_out"] == 1 > row["single_by_chance"]
    apart = []
    for seed in range(12):
        source = np.random.default_rng(seed)
        noise = [
            {c: {s: source.standard_normal(v.shape) for s, v in t.items()} for c, t in one.items()}
            for one in single
        ]
        found = select(as_worded(task, control, noise), "culnig_specific", **SPECIFIC)
        apart += [
            row["single"] - row["single_by_chance"]
            for row in found.metadata["wording_stability"].values()
        ]
    assert abs(np.mean(apart)) < 3 * np.std(apart) / 12**0.5
    assert np.std(apart) < 0.05  # so the bound above can fail


def test_a_chance_by_hand():
    """Two of three neurons each: the same two in 1 of 3 draws (1), one shared in 2 of 3 (1/3)."""
    pool, some = Neurons.of({"q": [(0, 0), (0, 1), (0, 2)]}), Neurons.of({"q": [(0, 0), (0, 1)]})
    assert by_chance(pool, some, some, [("q",)]) == pytest.approx(1 / 3 + 2 / 3 / 3)


def test_without_single_wordings_stability_is_not_known():
    task, control, single = worded()
    scores = as_worded(task, control, single)
    bare = CulnigScores(scores.task, scores.control, scores.countryrc)
    for method, options, *_ in CASES:
        found = select(bare, method, **options)
        assert found.metadata["wording_stability"] == {}
        assert "CountryRC is not known" in wording_stability_in_words(found.metadata)
        assert repr(found).endswith(wording_stability_in_words(found.metadata))
        assert members(found) == members(select(scores, method, **options))


def test_other_selectors_have_no_wordings():
    found = NeuronSet({"Iran": Neurons.of({"act": [(0, 1)]})}, {"act": (1, 4)}, {"selector": "lap"})
    assert wording_stability_in_words(found.metadata) == ""
    assert repr(found) == "NeuronSet lap: Iran 1"


@pytest.mark.parametrize("table", [[], 3, {"Iran": 3}, {"Iran": {}}, {"Iran": {"single": "x"}}])
def test_metadata_of_a_file_may_hold_anything(table):
    assert isinstance(wording_stability_in_words({"wording_stability": table}), str)


def test_it_is_kept_shown_and_renamed(tmp_path):
    found = select(as_worded(*worded()), "culnig_specific", **SPECIFIC)
    words = wording_stability_in_words(found.metadata)
    mean = np.mean([row["single"] for row in found.metadata["wording_stability"].values()])
    assert f"4 wordings of CountryRC, mean Jaccard overlap: sets by single wordings {mean:.2f}" in (
        words
    )
    assert repr(found).endswith(words) and "NeuronSet culnig_specific: Brazil " in repr(found)
    again = NeuronSet.load(found.save(tmp_path / "found.safetensors"))
    assert again.metadata["wording_stability"] == found.metadata["wording_stability"]
    table = found.renamed({"Iran": "Persia"}).metadata["wording_stability"]
    assert set(table) == {"Brazil", "Persia", "Japan"}


def test_empty_sets_have_no_overlap():
    """All candidates score on CountryRC, so nothing is left to compare."""
    task, control, single = worded()
    same = {c: {s: task[c][s] - control[c][s] for s in t} for c, t in single[0].items()}
    single = [same] * len(single)
    found = select(
        as_worded(task, control, single), "culnig_specific", share=0.01, countryrc_share=0.5, z=None
    )
    for label, row in found.metadata["wording_stability"].items():
        assert len(found[label]) == 0 and row["single"] is None and row["one_left_out"] is None
        assert row["no_countryrc"] == 0
    assert "sets by single wordings none" in wording_stability_in_words(found.metadata)
