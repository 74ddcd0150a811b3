"""Designs and replicates: what is permuted and drawn; streaming equals doing it plainly."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.activations.resampling import balancing_weights, make_design
from culture_lens.activations.statistics import ActivationStatistics, ItemStatistics
from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.strata import balance_table, column_of, relabelled, strata_of
from tests.helpers.simulated import (
    CULTURES,
    TOKENS,
    counts_of,
    questions_of,
    statistics_of,
    summary_of,
)

# ------------------------------------------------------------------ the design


def test_mixed_groups_exchange_labels_within():
    questions = questions_of(6, mixed=True)
    design = make_design(questions, permutations=30)
    for number in range(6):
        rows = [i for i, q in enumerate(questions) if q.group == str(number)]
        assert all(sorted(labels[rows]) == [0, 1, 2, 3] for labels in design.permuted)
    assert len({tuple(labels) for labels in design.permuted}) == 30


def test_groups_of_one_culture_exchange_labels_as_wholes():
    questions = questions_of(6, per_group=3)
    design = make_design(questions, permutations=30)
    for labels in design.permuted:
        by_group = {}
        for question, label in zip(questions, labels, strict=True):
            by_group.setdefault(question.group, set()).add(label)
        assert all(len(held) == 1 for held in by_group.values())
        assert np.bincount(labels).tolist() == [18] * 4  # every culture keeps its groups


def test_labels_stay_within_strata():
    questions = questions_of(8, category=lambda number, at: "food" if number < 3 else "sport")
    cells = strata_of(questions, "category")
    design = make_design(questions, permutations=10, strata=cells)
    for labels in design.permuted:
        food = labels[[cell == "food" for cell in cells]]
        assert np.bincount(food, minlength=4).tolist() == [3] * 4


def test_a_picture_keeps_its_questions_together_across_strata():
    """Questions of one group in several strata move together, with groups like theirs."""
    questions = questions_of(9, per_group=2)
    cells = [
        "both" if number % 3 == 2 else "ab"[number % 2]
        for number in (int(q.id.split("/")[0]) for q in questions)
    ]
    cells = [
        ("a" if q.id.endswith("0") else "b") if cell == "both" else cell
        for q, cell in zip(questions, cells, strict=True)
    ]
    design = make_design(questions, permutations=20, strata=cells)
    sets = {}
    for question, cell in zip(questions, cells, strict=True):
        sets.setdefault(question.group, set()).add(cell)
    for labels in design.permuted:
        assert (labels[::2] == labels[1::2]).all()  # both items of a group
        for kind in ({"a"}, {"b"}, {"a", "b"}):
            rows = [i for i, q in enumerate(questions) if sets[q.group] == kind]
            assert sorted(labels[rows]) == sorted(design.labels[rows])


def test_the_design_knows_no_order():
    for questions in (questions_of(5, per_group=2, mixed=True), questions_of(5, per_group=2)):
        one = make_design(questions, permutations=3, bootstraps=3)
        other = make_design(questions[::-1], permutations=3, bootstraps=3)
        ids = [question.id for question in questions]
        assert torch.equal(one.replicated(ids), other.replicated(ids))
        assert one.key != make_design(questions, permutations=3, bootstraps=3, seed=2).key


def test_groups_are_drawn_as_wholes_a_poisson_number_of_times():
    questions = questions_of(100, per_group=2)
    drawn = make_design(questions, bootstraps=50).drawn
    assert (drawn[:, ::2] == drawn[:, 1::2]).all()
    assert drawn.mean() == pytest.approx(1, abs=0.03) and drawn.var() == pytest.approx(1, abs=0.05)
    assert (drawn == 0).mean() == pytest.approx(np.exp(-1), abs=0.02)


def test_a_word_on_questions_repeated_in_several_groups():
    questions = questions_of(8)
    repeated = [replace(question, text="the same") for question in questions]
    with pytest.warns(CultureLensWarning, match="4 questions are asked of one culture in several"):
        make_design(repeated)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_design(questions)


def test_bad_input():
    with pytest.raises(InputError, match="permutations=-1"):
        make_design(questions_of(2), permutations=-1)
    with pytest.raises(InputError, match="item 'new'"):
        make_design(questions_of(6)).own(["new"])


# ------------------------------------------------------------------ replicates


@pytest.mark.parametrize("batch", [1, 7, 200])
def test_streamed_replicates_are_those_made_plainly(batch):
    """Item by item, with labels and numbers read off the design."""
    questions = questions_of(6, per_group=2)
    counts = counts_of(questions, 10, seed=0)
    options = {"permutations": 4, "bootstraps": 3, "magnitudes": True}
    summary = summary_of(questions, counts, batch=batch, **options)
    design = make_design(questions, permutations=4, bootstraps=3)
    plain = np.zeros((7, 4, 10))
    tokens = np.zeros((7, 4))
    for row, question in enumerate(questions):
        for number in range(4):
            plain[number, design.permuted[number, row]] += counts[row]
            tokens[number, design.permuted[number, row]] += TOKENS
        own = CULTURES.index(question.culture)
        for number in range(3):
            plain[4 + number, own] += design.drawn[number, row] * counts[row]
            tokens[4 + number, own] += design.drawn[number, row] * TOKENS
    held = summary.replicates
    assert held.counts["act"].dtype == torch.int32 and held.permutations == 4
    assert (held.counts["act"].view(7, 4, 10).numpy() == plain).all()
    assert (held.tokens.numpy() == tokens).all()
    np.testing.assert_allclose(held.sums["act"].view(7, 4, 10).numpy(), plain / 3, rtol=1e-6)
    permuted, resampled = list(summary.permuted()), list(summary.resampled())
    assert len(permuted) == 4 and len(resampled) == 3
    assert (resampled[0].counts["act"].view(4, 10).numpy() == plain[4]).all()


def test_the_data_themselves_do_not_change():
    questions = questions_of(5)
    counts = counts_of(questions, 8, seed=1)
    one, other = summary_of(questions, counts), statistics_of(questions, counts, permutations=0,
                                                              bootstraps=0).summary()  # fmt: skip
    assert torch.equal(one.counts["act"], other.counts["act"]) and other.replicates is None
    assert one.counts["act"].dtype == torch.int64 and not list(other.permuted())


def test_parts_are_merged_saved_and_read_back(tmp_path):
    questions = questions_of(6)
    counts = counts_of(questions, 8, seed=2)
    whole = summary_of(questions, counts, magnitudes=True)
    design = make_design(questions)
    merged = ActivationStatistics(design)
    for part in (slice(0, 10), slice(10, None)):
        one = ActivationStatistics(design)
        one.update(*as_batch(counts[part], questions[part]))
        merged.merge(one)
    again = ActivationSummary.load(merged.summary().save(tmp_path / "s.safetensors"))
    assert torch.equal(again.replicates.counts["act"], whole.replicates.counts["act"])
    assert torch.equal(again.replicates.tokens, whole.replicates.tokens)
    torch.testing.assert_close(again.replicates.sums["act"], whole.replicates.sums["act"])
    assert again.replicates.permutations == 20
    other = ActivationStatistics(make_design(questions, seed=1))
    other.update(*as_batch(counts, questions))
    with pytest.raises(InputError, match="different designs"):
        merged.merge(other)
    bare = ActivationStatistics()
    bare.update(*as_batch(counts, questions))
    with pytest.raises(InputError, match="cannot be merged with those without"):
        merged.merge(bare)


def as_batch(counts, questions):
    rows = torch.from_numpy(counts).view(len(counts), 2, -1)
    sums = {"act": rows.float() / 3}
    item = ItemStatistics(
        tokens=torch.full((len(counts),), TOKENS),
        counts={"act": rows},
        sums=sums,
        squares={"act": sums["act"] ** 2},
    )
    return item, [q.culture for q in questions], [q.id for q in questions]


# ------------------------------------------------------------------ strata


def test_balancing_weights_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1])
    weights = balancing_weights(labels, ["a", "a", "a", "b", "a", "b"])
    # Four of six items are of stratum a, and that share each culture shall have.
    assert weights == pytest.approx([8 / 9, 8 / 9, 8 / 9, 4 / 3, 4 / 3, 2 / 3])
    for culture in (0, 1):
        assert weights[labels == culture].sum() == pytest.approx((labels == culture).sum())


def test_stratified_rates_are_directly_standardised():
    """P of a culture is the mean of its strata's P, weighed as all items are."""
    uneven = [
        question
        for question in questions_of(12, category=lambda number, at: "ab"[number % 2])
        if not (question.culture == "Iran" and question.category == "a" and question.id[0] in "048")
    ]
    counts = counts_of(uneven, 6, seed=3)
    cells = strata_of(uneven, "category")
    summary = summary_of(uneven, counts, strata=cells)
    share = {cell: cells.count(cell) / len(cells) for cell in "ab"}
    for at, culture in enumerate(CULTURES):
        expected = sum(
            share[cell]
            * counts[[q.culture == culture and q.category == cell for q in uneven]].mean(0)
            for cell in "ab"
        )
        got = summary.probability("act")[at].flatten().numpy() * TOKENS
        np.testing.assert_allclose(got, expected)
    assert summary.replicates.counts["act"].dtype == torch.float64


def test_strata_that_a_culture_lacks_count_for_nobody():
    questions = questions_of(
        6, category=lambda number, at: "rare" if number == 0 and at else "common"
    )
    with pytest.warns(CultureLensWarning, match=r"3 of 24 items are not counted.*rare"):
        cells = strata_of(questions, "category")
    design = make_design(questions, strata=cells)
    weights = dict(zip([q.id for q in questions], design.weight, strict=True))
    assert weights["0/Iran/0"] == 0 and weights["0/Brazil/0"] > 0


def test_strata_without_a_common_one_are_refused():
    alone = questions_of(4, category=lambda number, at: f"topic {at}")
    with pytest.raises(InputError, match=r"no stratum by category .*lacks"):
        strata_of(alone, "category")
    with pytest.raises(InputError, match="unknown column 'colour'"):
        strata_of(alone, "colour")


def test_columns_cross_and_lengths_are_quartered():
    questions = questions_of(4, category=lambda number, at: "ab"[number % 2])
    assert set(strata_of(questions, ["category", "split"])) == {"a / ", "b / "}
    assert set(column_of(questions, "length")) == {"quarter 1"}


def test_the_balance_table_finds_what_goes_with_the_culture():
    tied = questions_of(25, category=lambda number, at: "ab"[at % 2])
    free = questions_of(25, category=lambda number, at: "ab"[number % 2])
    assert balance_table(tied, ["category"]).loc["category", "cramers_v"] > 0.98
    table = balance_table(free, ["category", "length"])
    assert table.loc["category", "cramers_v"] == 0 and table.loc["category", "p"] > 0.9
    assert table.loc["category", "smallest"] == 12 and table.loc["length", "values"] == 1
    assert balance_table(tied, ["category"]).loc["category", "smallest"] == 0
    with pytest.raises(InputError, match="two or more"):
        balance_table(questions_of(2, cultures=("a",)))


def test_a_decoy_label_takes_the_place_of_the_culture():
    questions = questions_of(4, category=lambda number, at: "ab"[number % 2])
    decoy = relabelled(questions, "category")
    assert {q.culture for q in decoy} == {"a", "b"}
    assert decoy[0].metadata["culture"] == questions[0].culture
    with pytest.raises(InputError, match="nothing to contrast"):
        relabelled(questions, "benchmark")
