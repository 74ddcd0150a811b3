"""Relations of cultures and of neuron sets: by hand, against enumeration, calibrated."""

import math
import warnings
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from culture_lens.attribution.gradients import attribute
from culture_lens.attribution.instances import instance_share
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.agreement_with_table import agreement_with_table, as_distances
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.related_cultures import Relations, related_cultures, relation_effects
from culture_lens.neurons.neuron_set import Neurons, NeuronSet, jaccard
from culture_lens.neurons.overlap import (
    chance_in_pools,
    chance_of_sharing,
    expected_jaccard,
    overlap_with_chance,
    shared_with_chance,
)
from culture_lens.plots.relations import branches, relations_heatmap
from culture_lens.questions.splits import halves
from culture_lens.selectors import matched_random
from culture_lens.selectors.stability import mean_of_pairs, set_stability
from culture_lens.statistics.estimates import ranks
from culture_lens.statistics.mantel import mantel_null, square
from culture_lens.statistics.permutation import permutation_p, relabellings
from tests.conftest import lens, toy_questions
from tests.experiments.test_matrix import random_records
from tests.experiments.test_significance import frame_of

CULTURES = ("A", "B", "C", "D", "E", "F")
FAMILY = dict(zip(CULTURES, "xxxyyy", strict=True))


def families(seed=0, groups=80, drop=0.3, own=0.5, frail=0.0):
    """Six cultures of two families: a mask hits its own family; masks and cultures differ."""
    source = np.random.default_rng(seed)
    same = np.equal.outer(list(FAMILY.values()), list(FAMILY.values()))
    loss = drop * same + (own - drop) * np.eye(6)
    loss = loss + np.linspace(0, frail, 6)[None] + np.linspace(0, frail, 6)[::-1, None]
    rate = 0.95 - np.concatenate([np.zeros((1, 6)), loss])
    correct = (source.random((7, 6, groups, 1)) < rate[..., None, None]).astype(int)
    runs = [("none", "", 0), *(("found", c, 0) for c in CULTURES)]
    return frame_of(runs, CULTURES, correct)


def bare(draws, cultures=CULTURES):
    """Relations of given tables, mask x culture."""
    draws = np.array(draws, dtype=float)
    draws[:, np.eye(len(cultures), dtype=bool)] = np.nan
    return Relations(tuple(cultures), draws, draws)


# ------------------------------------------------------------------ which fall with which


def test_relation_effects_are_those_of_the_social_relations_model():
    """Its closed form, with row means R, column means C and the grand mean M off the diagonal."""
    source, n = np.random.default_rng(0), 5
    table = source.normal(size=(n, n))
    off = ~np.eye(n, dtype=bool)
    table[~off] = np.nan
    row, column, grand = np.nanmean(table, 1), np.nanmean(table, 0), np.nanmean(table)
    actor = (n - 1) ** 2 / (n * (n - 2)) * row + (n - 1) / (n * (n - 2)) * column
    actor = actor - (n - 1) / (n - 2) * grand
    partner = (n - 1) ** 2 / (n * (n - 2)) * column + (n - 1) / (n * (n - 2)) * row
    partner = partner - (n - 1) / (n - 2) * grand
    expected = table - actor[:, None] - partner[None] - grand
    found = relation_effects(table[off][None], n)[0]
    assert found == pytest.approx(expected[off], abs=1e-12)


def test_changes_ranks_and_distances_of_a_matrix():
    matrix = random_records(4, cultures=("A", "B", "C", "D"), groups=12)
    raw = related_cultures(matrix, adjusted=False)
    change = matrix.table("change")
    for mask in "ABCD":
        others = [c for c in "ABCD" if c != mask]
        assert raw.table.loc[mask, others].tolist() == change.loc[mask, others].tolist()
        for c in others:  # ties share the mean of their places
            below = sum(change.loc[mask, o] < change.loc[mask, c] for o in others)
            same = sum(change.loc[mask, o] == change.loc[mask, c] for o in others)
            assert raw.ranks.loc[mask, c] == below + (same + 1) / 2
        listed = raw.related(mask)
        assert sorted(listed.index) == others and listed["rank"].is_monotonic_increasing
        assert listed.loc[others[0], "change"] == matrix.cell(mask, others[0])
        assert listed.loc[others[0], "relation"] == raw.cell(mask, others[0])
    both = (raw.table + raw.table.T) / 2
    smallest = np.nanmin(both.to_numpy())
    for a, b in combinations("ABCD", 2):
        assert raw.distance.loc[a, b] == pytest.approx(both.loc[a, b] - smallest)
        assert raw.distance.loc[b, a] == raw.distance.loc[a, b]
    assert np.diag(raw.distance).tolist() == [0] * 4
    assert np.isnan(np.diag(raw.table)).all()


def test_families_are_found_and_frailty_does_not_hide_them():
    plain = related_cultures(families())
    first = {c: set(plain.related(c).index[:2]) for c in CULTURES}
    assert first == {c: {o for o in CULTURES if FAMILY[o] == FAMILY[c]} - {c} for c in CULTURES}
    assert "".join(FAMILY[c] for c in plain.order) in ("xxxyyy", "yyyxxx")
    assert plain.cophenetic > 0.8
    relation = plain.cell("A", "B")
    assert relation.value < relation.high < 0
    frail = families(seed=1, drop=0.15, own=0.2, frail=0.35)
    adjusted, raw = related_cultures(frail), related_cultures(frail, adjusted=False)
    assert "".join(FAMILY[c] for c in adjusted.order) in ("xxxyyy", "yyyxxx")
    near = [set(raw.related(c).index[:2]) for c in "AB"]
    assert all("F" in own for own in near)  # of the other family, but hit by everything


def test_too_few_cultures_and_no_difference():
    with pytest.raises(InputError, match="at least 3 cultures that are both ablated.*are 2"):
        related_cultures(random_records(cultures=("A", "B")))
    matrix = random_records(1)
    part = matrix.frame[(matrix.frame["culture"] != "B") | (matrix.frame["mask"] != "A")]
    with pytest.raises(InputError, match="no change is known for questions of 'B' under.*'A'"):
        related_cultures(AblationMatrix(part))
    with pytest.raises(InputError, match="unknown culture 'Z'"):
        related_cultures(matrix).related("Z")
    still = matrix.frame.assign(correct=True, prediction=0)
    same = related_cultures(AblationMatrix(still))
    with pytest.warns(CultureLensWarning, match="the tree says nothing"):
        assert math.isnan(same.cophenetic)
    assert sorted(same.order) == ["A", "B", "C"]


# ------------------------------------------------------------------ agreement with a table


def test_mantel_by_hand_and_by_enumeration():
    # distances 0, 1, 2, 3, 4, 5 of pairs AB, AC, AD, BC, BD, CD in both: full agreement
    ours = square(np.arange(6.0))
    table = {pair: 10.0 * i for i, pair in enumerate(combinations("ABCD", 2))}
    result = agreement_with_table(bare([ours, ours], "ABCD"), table, alternative="greater")
    assert result.estimate.value == pytest.approx(1) and result.exact
    # of the 24 orders only the given one puts every pair where it was
    assert (result.p, result.permutations) == (pytest.approx(1 / 24), 24)
    source = np.random.default_rng(3)
    ours, theirs = square(source.random(10)), square(source.integers(0, 4, 10).astype(float))
    above = np.triu_indices(5, 1)
    observed = stats.spearmanr(ours[above], theirs[above]).statistic
    null = [
        stats.spearmanr(ours[above], theirs[np.ix_(order, order)][above]).statistic
        for order in permutations(range(5))
    ]
    frame = pd.DataFrame(theirs, index=list("ABCDE"), columns=list("ABCDE"))
    for alternative, count in {
        "two-sided": np.sum(np.abs(null) >= abs(observed) - 1e-12),
        "less": np.sum(np.array(null) <= observed + 1e-12),
        "greater": np.sum(np.array(null) >= observed - 1e-12),
    }.items():
        result = agreement_with_table(bare([ours], "ABCDE"), frame, alternative=alternative)
        assert result.estimate.value == pytest.approx(observed)
        assert result.p == pytest.approx(count / 120)


def test_families_agree_with_their_table():
    relations = related_cultures(families())
    result = agreement_with_table(relations, FAMILY, alternative="greater")
    assert result.estimate.value > 0.8 and result.estimate.low > 0.5
    # 3! 3! 2 of the 6! orders keep the families
    assert result.p == pytest.approx(72 / 720)
    wrong = agreement_with_table(relations, dict(zip(CULTURES, "xyxyxy", strict=True)))
    assert wrong.estimate.value < 0.2 and wrong.p > 0.3


def test_mantel_is_calibrated_where_pairs_depend_and_a_plain_test_is_not():
    """Each culture has a place of its own, so the pairs of one culture go together."""
    source, n, trials = np.random.default_rng(0), 9, 400
    above = np.triu_indices(n, 1)
    orders, exact = relabellings(n)
    orders = orders[:999]
    p, naive = [], []
    for _ in range(trials):
        ours, theirs = (source.exponential(size=n) for _ in range(2))
        one, other = (np.add.outer(x, x)[above] for x in (ours, theirs))
        ranked = square(ranks(other[None])[0])
        own = ranks(one[None])[0]
        null = mantel_null(own, ranked, orders)
        value = stats.spearmanr(one, other)
        assert mantel_null(own, ranked, np.arange(n)[None])[0] == pytest.approx(value.statistic)
        p.append(permutation_p(float(value.statistic), null, exact))
        naive.append(value.pvalue)
    assert not exact and stats.kstest(p, "uniform").pvalue > 0.05
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert np.mean(np.array(naive) <= 0.05) > 0.15


def test_mantel_finds_more_with_less_noise():
    source, n = np.random.default_rng(1), 8
    orders, exact = relabellings(n)
    orders, above, power = orders[::40], np.triu_indices(n, 1), []
    for noise in (4.0, 1.5, 0.5):
        found = 0
        for _ in range(60):
            places = source.normal(size=(n, 2))
            theirs = np.linalg.norm(places[:, None] - places[None], axis=2)[above]
            ours = theirs + noise * source.normal(size=len(theirs))
            ranked, own = square(ranks(theirs[None])[0]), ranks(ours[None])[0]
            value = mantel_null(own, ranked, np.arange(n)[None])[0]
            found += permutation_p(float(value), mantel_null(own, ranked, orders), True) <= 0.05
        power.append(found / 60)
    assert power[0] < power[1] < power[2] and power[2] > 0.95


def test_tables_of_every_form():
    pairs = {("A", "B"): 1, ("C", "A"): 2, ("B", "C"): 3, ("B", "Z"): 9}
    expected = [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    assert as_distances(pairs, ("A", "B", "C")).to_numpy().tolist() == expected
    frame = pd.DataFrame(expected, index=list("ABC"), columns=list("ABC"))
    assert as_distances(frame, ("A", "B", "C", "D")).to_numpy().tolist() == expected
    series = pd.Series({"A": "x", "B": "x", "C": "y", "D": None})
    table = as_distances(series, ("A", "B", "C", "D"))
    assert table.index.tolist() == ["A", "B", "C"] and table.loc["A"].tolist() == [0, 0, 1]
    for broken, message in {
        (("A", "B"), 1.0): "distance of 'A' and 'C' is lacking",
        (("A", "C"), -1.0): r"distance of 'A' and 'C' is \[-1.0\]",
        (("A", "C"), 2.0): r"distance of 'A' and 'C' is \[2.0, 5.0\]",
        ("A", 1.0): "mixes pairs and single cultures",
    }.items():
        bad = {("B", "C"): 1.0, ("A", "B"): 1.0, broken[0]: broken[1]}
        if "5.0" in message:
            bad["C", "A"] = 5.0
        with pytest.raises(InputError, match=message):
            as_distances(bad, ("A", "B", "C"))


def test_cultures_that_the_table_lacks_are_said():
    relations = related_cultures(families(groups=20))
    with pytest.warns(CultureLensWarning, match="1 of 6 cultures are not in the table.*: F"):
        result = agreement_with_table(relations, {c: FAMILY[c] for c in "ABCDE"})
    assert result.permutations == 120
    with pytest.raises(InputError, match="has 3 of the 6 cultures.*lacks D, E, F"):
        agreement_with_table(relations, {c: FAMILY[c] for c in "ABC"})
    with pytest.raises(InputError, match="every two cultures are equally far"):
        agreement_with_table(relations, dict.fromkeys(CULTURES, "x"))
    with pytest.warns(CultureLensWarning, match="no agreement to test"):
        nothing = agreement_with_table(bare(np.zeros((3, 6, 6))), FAMILY)
    assert math.isnan(nothing.p) and math.isnan(nothing.estimate.value)


# ------------------------------------------------------------------ overlap of sets


def drawn_set(source, sizes, shape=(4, 30), cultures=("A", "B"), layers=None):
    """Random neurons of each culture, in some layers only."""
    layers = range(shape[0]) if layers is None else layers
    pool = [(layer, index) for layer in layers for index in range(shape[1])]
    neurons = {
        c: Neurons.of({"act": [pool[i] for i in source.choice(len(pool), size, replace=False)]})
        for c, size in zip(cultures, sizes, strict=True)
    }
    return NeuronSet(neurons, {"act": shape})


def test_hypergeometric_by_hand():
    # 5 of 10 and 4 of 10: P(k) = C(5,k) C(5,4-k) / C(10,4)
    expected = [5 / 210, 50 / 210, 100 / 210, 50 / 210, 5 / 210]
    assert chance_in_pools(np.array([10]), np.array([[5], [4]]))[0] == pytest.approx(expected)
    found = NeuronSet(
        {
            "A": Neurons.of({"act": [(0, i) for i in range(5)]}),
            "B": Neurons.of({"act": [(0, i) for i in (0, 1, 2, 9)]}),
        },
        {"act": (1, 10)},
    )
    row = overlap_with_chance(found).iloc[0]
    assert (row["one"], row["other"], row["shared"]) == ("A", "B", 3)
    assert row["p"] == pytest.approx(55 / 210) == row["corrected_p"]
    assert row["by_chance"].value == pytest.approx(2)
    # at most 0 has 2.4%, at most 3 has 97.6%
    assert (row["by_chance"].low, row["by_chance"].high) == (1, 3)
    assert row["jaccard"] == 0.5
    mean = sum(p * k / (9 - k) for k, p in enumerate(expected))
    assert row["jaccard_by_chance"] == pytest.approx(mean)


def test_three_sets_equal_enumeration():
    numbers, sizes = np.array([6, 2]), np.array([[3, 0], [2, 1], [4, 2]])
    chances, none = chance_in_pools(numbers, sizes)
    assert none.tolist() == pytest.approx([1, 0, 0])  # a pool that one set has nothing of
    expected, total = np.zeros(4), 0
    for a in combinations(range(6), 3):
        for b in combinations(range(6), 2):
            for c in combinations(range(6), 4):
                expected[len({*a} & {*b} & {*c})] += 1
                total += 1
    expected /= total
    assert chances.tolist() == pytest.approx(expected[: len(chances)].tolist())
    assert expected[len(chances) :].sum() == 0


def test_layers_and_sites_are_drawn_within():
    source = np.random.default_rng(2)
    one, other = (
        Neurons.of({"act": [(0, 0), (0, 1), (1, 2)], "q": [(0, 3)]}),
        Neurons.of({"act": [(0, 1), (1, 0), (1, 1)], "q": [(0, 0), (0, 1)]}),
    )
    shapes = {"act": (2, 4), "q": (1, 5)}
    found = NeuronSet({"A": one, "B": other}, shapes)
    for match in ("layer", "pool"):
        chances = chance_of_sharing([one, other], shapes, match)
        assert chances.sum() == pytest.approx(1)
        drawn = [
            matched_random(found, int(s), match=match) for s in source.integers(1 << 30, size=500)
        ]
        shared = [len(d["A"] & d["B"]) for d in drawn]
        seen = np.bincount(shared, minlength=len(chances)) / len(shared)
        assert seen == pytest.approx(chances, abs=4 * math.sqrt(0.25 / 500))
        overlap = np.mean([jaccard(d["A"].members(), d["B"].members()) for d in drawn])
        assert overlap == pytest.approx(expected_jaccard(chances, (4, 5)), abs=0.02)
    with pytest.raises(InputError, match="unknown way to match random neurons 'layers'"):
        chance_of_sharing([one, other], shapes, "layers")


def test_p_of_overlap_holds_under_the_null_and_layers_matter():
    source, p, pooled = np.random.default_rng(3), [], []
    for _ in range(300):
        random = drawn_set(source, (12, 15), layers=[1])  # both prefer layer 1, nothing more
        p.append(overlap_with_chance(random)["p"][0])
        pooled.append(overlap_with_chance(random, match="pool")["p"][0])
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) <= level + 3 * math.sqrt(level * (1 - level) / 300)
    assert np.mean(np.array(p) <= 0.5) > 0.25
    assert np.mean(np.array(pooled) <= 0.05) > 0.9


def test_sharing_by_many_and_bad_input():
    source = np.random.default_rng(4)
    found = drawn_set(source, (20, 20, 20), cultures=("A", "B", "C"))
    both, every = shared_with_chance(found, ["A", "B"]), shared_with_chance(found)
    row = overlap_with_chance(found).iloc[0]
    assert both == {"shared": row["shared"], "by_chance": row["by_chance"], "p": row["p"]}
    assert every["shared"] == len(found.shared()) and every["by_chance"].value < 2
    same = NeuronSet(dict.fromkeys("ABC", found["A"]), found.shapes)
    assert shared_with_chance(same)["p"] < 1e-12
    empty = NeuronSet({**found.neurons, "B": Neurons.of({})}, found.shapes)
    row = overlap_with_chance(empty).iloc[0]
    assert (row["shared"], row["p"], row["jaccard"]) == (0, pytest.approx(1), 0.0)
    for call in (overlap_with_chance, shared_with_chance):
        with pytest.raises(InputError, match="at least two cultures"):
            call(NeuronSet({"A": found["A"]}, found.shapes))
    with pytest.raises(InputError, match="unknown culture 'Z'"):
        shared_with_chance(found, ["A", "Z"])
    with pytest.raises(InputError, match="unknown correction"):
        overlap_with_chance(found, correction="none")


# ------------------------------------------------------------------ stability


def test_stability_by_hand_and_its_chance():
    def sets_of(*picks):
        return {
            str(i): NeuronSet({"A": Neurons.of({"act": [(0, j) for j in own]})}, {"act": (1, 10)})
            for i, own in enumerate(picks)
        }

    table = set_stability(sets_of([0, 1], [1, 2], [0, 1]))
    pairs = [1 / 3, 1, 1 / 3]  # 01, 02, 12
    mean = sum(pairs) / 3
    without = [1 / 3, 1, 1 / 3]  # of set 0, 1, 2: what is left is one pair
    pseudo = [3 * mean - 2 * m for m in without]
    reach = stats.t.ppf(0.975, 2) * np.std(pseudo, ddof=1) / math.sqrt(3)
    estimate = table.loc["A", "jaccard"]
    assert estimate.value == pytest.approx(np.mean(pseudo)) == pytest.approx(mean)
    assert (estimate.low, estimate.high) == pytest.approx((max(0, mean - reach), 1))
    assert table.loc["A", "pairs"] == 3
    # 2 and 2 of 10: P(0, 1, 2 shared) = 28/45, 16/45, 1/45
    assert table.loc["A", "by_chance"] == pytest.approx(16 / 45 / 3 + 1 / 45)
    two = set_stability(sets_of([0, 1], [1, 2]))
    assert two.loc["A", "jaccard"].value == pytest.approx(1 / 3)
    assert math.isnan(two.loc["A", "jaccard"].low)
    assert two.loc["mean", "jaccard"].value == two.loc["A", "jaccard"].value


def test_intervals_of_stability_cover():
    """Sets whose neurons each come in with a probability of their own."""
    source, n, trials = np.random.default_rng(0), 8, 400
    chance = source.beta(0.3, 2, 200)

    def overlaps(sets):
        one, other = np.triu_indices(len(sets), 1)
        both = sets[one] & sets[other]
        return both.sum(1) / (sets[one] | sets[other]).sum(1)

    truth = overlaps(source.random((600, 200)) < chance).mean()
    covered = 0
    for _ in range(trials):
        estimate = mean_of_pairs(overlaps(source.random((n, 200)) < chance), n)
        covered += estimate.low <= truth <= estimate.high
    assert 0.915 <= covered / trials <= 0.985  # standard error 0.011


def test_sets_that_cannot_be_compared():
    source = np.random.default_rng(5)
    one, other = drawn_set(source, (5, 5)), drawn_set(source, (5, 5), cultures=("B", "C"))
    with pytest.warns(CultureLensWarning, match="2 cultures are not in every set.*: A, C"):
        table = set_stability({"one": one, "other": other})
    assert table.index.tolist() == ["B", "mean"]
    with pytest.raises(InputError, match="at least two neuron sets"):
        set_stability({"one": one})
    with pytest.raises(InputError, match="no culture in common"):
        set_stability({"one": one, "other": drawn_set(source, (5, 5), cultures=("C", "D"))})
    with pytest.raises(InputError, match="sets 'one' and 'wide' are of models or sites"):
        set_stability({"one": one, "wide": drawn_set(source, (5, 5), shape=(4, 31))})
    bare_set = NeuronSet({**one.neurons, "B": Neurons.of({})}, one.shapes)
    with pytest.warns(CultureLensWarning, match="no overlap, for B"):
        table = set_stability({"one": bare_set, "other": bare_set})
    assert table.loc["mean", "jaccard"].value == 1 == table.loc["A", "jaccard"].value
    assert math.isnan(table.loc["B", "jaccard"].value)
    nothing = NeuronSet(dict.fromkeys("AB", Neurons.of({})), one.shapes)
    with pytest.raises(InputError, match="nothing to compare"):
        set_stability({"one": nothing, "other": nothing})


def test_halves_keep_groups_whole_and_cultures_even():
    questions = toy_questions(topics=4)
    first, second = halves(questions, 1)
    assert len(first) + len(second) == len(questions)
    assert not {q.group for q in first} & {q.group for q in second}
    for culture in {q.culture for q in questions}:
        sizes = [sum(q.culture == culture for q in half) for half in (first, second)]
        assert abs(sizes[0] - sizes[1]) <= 1
    again = halves(questions[::-1], 1)
    assert {q.id for q in again[0]} == {q.id for q in first}
    splits = {frozenset(q.group for q in halves(questions, seed)[0]) for seed in range(20)}
    assert len(splits) > 3
    with pytest.raises(InputError, match="at least two question groups, there are 1"):
        halves(questions[:1])


# ------------------------------------------------------------------ single items


def test_instance_shares_equal_single_item_attribution():
    model, questions = lens("llama"), toy_questions(topics=2)
    source = np.random.default_rng(0)
    cultures = sorted({q.culture for q in questions})
    shape = model.shape("gate")
    picks = {
        c: {
            "gate": [divmod(int(p), shape[1]) for p in source.choice(shape[0] * shape[1], 12)],
            "q": [(0, int(p)) for p in source.choice(model.shape("q")[1], 3)],
        }
        for c in cultures[:3]
    }
    found = NeuronSet(
        {c: Neurons.of(own) for c, own in picks.items()},
        {"gate": shape, "q": model.shape("q")},
        {"model": "tiny-llama"},
    )
    result = instance_share(model, questions, found, batch_size=3, progress=False)
    scores = {
        q.id: attribute(model, [q], sites=["gate", "q"], progress=False).scores for q in questions
    }
    table = result.neurons.set_index(["neurons_of", "site", "layer", "index"])
    for c in found:
        members = sorted(found[c].members())
        positive = {
            q.id: {m: bool(scores[q.id][m[0]][0, m[1], m[2]] > 0) for m in members}
            for q in questions
        }
        rows = result.items[result.items["neurons_of"] == c].set_index("id")
        for q in questions:
            assert rows.loc[q.id, "positive"] == sum(positive[q.id].values())
            assert rows.loc[q.id, "neurons"] == len(members)
        for m in members:
            own = sum(positive[q.id][m] for q in questions if q.culture == c)
            other = sum(positive[q.id][m] for q in questions if q.culture != c)
            assert table.loc[(c, *m), ["own", "other"]].tolist() == [own, other]
        summary = result.summary().loc[c]
        mine = [sum(positive[q.id].values()) / len(members) for q in questions if q.culture == c]
        assert summary["own"].value == pytest.approx(np.mean(mine))
        assert summary["own"].low <= summary["own"].value <= summary["own"].high
    assert 0 < result.items["positive"].sum() < result.items["neurons"].sum()
    whole = instance_share(model, questions, found, batch_size=16, progress=False)
    assert whole.items.equals(result.items) and whole.neurons.equals(result.neurons)
    others = instance_share(
        model, [q for q in questions if q.culture != cultures[0]], found, progress=False
    )
    assert math.isnan(others.summary().loc[cultures[0], "own"].value)
    empty = NeuronSet(dict.fromkeys("AB", Neurons.of({})), found.shapes)
    with pytest.raises(InputError, match="hold no neurons"):
        instance_share(model, questions, empty, progress=False)
    with pytest.raises(InputError, match="unknown aggregation over tokens 'max'"):
        instance_share(model, questions, found, aggregation="max", progress=False)
    assert torch.is_grad_enabled()


# ------------------------------------------------------------------ the figure


def test_the_figure_has_the_relations_in_the_order_of_the_tree():
    relations = related_cultures(families())
    figure = relations_heatmap(relations)
    trace, order = figure.data[0], list(relations.order)
    np.testing.assert_array_equal(trace.z, relations.table.loc[order, order].to_numpy())
    assert list(trace.x) == list(trace.y) == order
    assert "*" in trace.text[0][1] and trace.text[0][0] == ""
    assert f"neurons of <b>{order[0]}</b> ablated" in trace.hovertext[0][1]
    lines = branches(relations)
    assert len(lines) == 5 == len(figure.data) - 1
    feet = sorted(x for xs, ys in lines for x, y in zip(xs, ys, strict=True) if y < 0)
    assert feet == [0, 1, 2, 3, 4, 5]
    heights = sorted(max(ys) for _, ys in lines)
    assert heights == pytest.approx(relations.linkage[:, 2]) and heights[0] == 0
    # the top joint parts the two families, between the third and the fourth leaf
    top = max(lines, key=lambda line: max(line[1]))
    assert top[0][0] < 2.5 < top[0][-1]
    assert list(figure.layout.xaxis.range) == list(figure.layout.xaxis2.range) == [-0.5, 5.5]
    subtitle = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "cophenetic correlation" in subtitle and "beyond what mask and culture" in subtitle
    raw = relations_heatmap(related_cultures(families(), adjusted=False)).layout.title.subtitle.text
    assert "percentage points of accuracy" in raw.replace("<br>", " ")


def test_nothing_warns_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        relations = related_cultures(families(groups=10))
        relations_heatmap(relations).to_json()
        agreement_with_table(relations, FAMILY)
