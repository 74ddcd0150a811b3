"""Tests of neurons: calibrated where cultures do not differ, and stronger where they do."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.questions.strata import strata_of
from culture_lens.selectors import SELECTORS, infer, plan, select, selection_frequency
from culture_lens.selectors.false_discovery import p_and_q, studentised
from tests.helpers.simulated import CULTURES, counts_of, questions_of, summary_of

NEURONS, HALF = 300, 150


def drawn(seed, bootstraps=0, **options):
    """Summarise a simulated pass; ``options`` say what there is to find."""
    questions = questions_of(24)
    counts = counts_of(questions, NEURONS, seed, **options)
    return summary_of(questions, counts, seed=seed, bootstraps=bootstraps)


nothing_there = functools.cache(drawn)
"""One pass without anything to find serves every method."""


def planted(seed, size, number=30):
    """An effect on some neurons, each for one culture."""
    chosen = np.random.default_rng(seed).choice(NEURONS, number, replace=False)
    effect = np.zeros((len(CULTURES), NEURONS))
    for at, neuron in enumerate(chosen):
        effect[at % len(CULTURES), neuron] = size
    return effect, {(at % len(CULTURES), int(n)) for at, n in enumerate(chosen)}


def discovered(found):
    return {
        (CULTURES.index(culture), layer * HALF + index)
        for culture in found
        for _, layer, index in found[culture].members()
    }


# ------------------------------------------------------------------ where nothing is there


@pytest.mark.slow
@pytest.mark.parametrize("method", ["conact", "lape", "mad_probability", "lap"])
def test_p_values_are_uniform_where_nothing_is_there(method):
    values = np.concatenate([infer(nothing_there(s), method).p["act"].flatten() for s in range(25)])
    # One in seven: neighbours share their permutations.
    assert stats.kstest(values[::7], "uniform").pvalue > 0.01
    for level in (0.05, 0.01):
        spread = 4 * (level * (1 - level) / len(values)) ** 0.5
        assert abs((values <= level).mean() - level) < spread + 0.1 * level


@pytest.mark.slow
@pytest.mark.parametrize("common_sd", [0.0, 0.7])
def test_nothing_is_selected_where_nothing_is_there(common_sd):
    """At most one run in 20, however correlated the neurons are; here within three deviations."""
    runs = 60
    hits = sum(
        bool(discovered(infer(drawn(900 + s, common_sd=common_sd)).select(0.05)))
        for s in range(runs)
    )
    assert hits <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_rows_that_share_their_text_are_no_evidence(rows):
    """Labels dealt to whole cells: p is uniform, and hardly a run finds anything."""
    values, hits = [], 0
    for seed in range(30):
        questions = questions_of(12, per_group=rows, mixed=True)
        counts = counts_of(questions, NEURONS, seed, cell_sd=0.5)
        tests = infer(summary_of(questions, counts, seed=seed, bootstraps=0))
        values.append((tests.p["act"] <= 0.05).double().mean().item())
        hits += bool(discovered(tests.select(0.05)))
    # Neurons of a run share their labels: three standard errors over runs.
    assert abs(np.mean(values) - 0.05) < 3 * np.std(values) / 30**0.5
    assert hits <= 0.05 * 30 + 3 * (0.05 * 0.95 * 30) ** 0.5


@pytest.mark.slow
def test_correlated_scores_pass_the_global_test_less_often_than_bh_alone():
    """One shared factor lifts all neurons at once; counting discoveries shows it up."""
    rows = np.random.default_rng(0).normal(size=(400, 21, 200))
    rows = rows + 3 * np.random.default_rng(1).normal(size=(400, 21, 1))  # shared by all neurons
    alone = gated = 0
    for sets in rows:
        _, q, nulls = p_and_q(sets)
        found = (q <= 0.05).sum()
        alone += found > 0
        gated += found > 0 and ((nulls <= 0.05).sum(1) >= found).sum() == 0
    assert gated / 400 < 0.08
    assert alone >= gated


# ------------------------------------------------------------------ where something is


@pytest.mark.slow
def test_the_false_discovery_rate_holds_and_power_grows():
    power = {}
    for size in (0.5, 0.8, 1.2):
        false, hits = [], []
        for seed in range(12):
            effect, truth = planted(seed, size)
            found = discovered(infer(drawn(seed, effect=effect)).select(0.1))
            false.append(len(found - truth) / max(1, len(found)))
            hits.append(len(found & truth) / len(truth))
        power[size] = float(np.mean(hits))
        assert np.mean(false) < 0.1 + 3 * np.std(false) / len(false) ** 0.5
    assert power[0.5] < power[0.8] < power[1.2] and power[1.2] > 0.85


def test_selecting_by_rate_is_selecting_what_inference_discovers():
    effect, _ = planted(1, 1.0)
    summary = drawn(1, effect=effect)
    found, tests = select(summary, "conact", fdr=0.05), infer(summary)
    q = tests.q["act"][0]
    scores = SELECTORS["conact"](summary).scores["act"]
    for at, culture in enumerate(CULTURES):
        expected = ((q <= 0.05) & (scores[at] > float("-inf"))).nonzero().tolist()
        assert found[culture].places["act"].tolist() == expected
    assert found.metadata["fdr"] == 0.05 and found.metadata["share"] is None
    assert found.metadata["global_p"]["act"] == pytest.approx(1 / 21)


def test_without_anything_the_set_is_empty_and_says_so():
    found = select(drawn(3), "conact", fdr=0.05)
    assert [len(found[culture]) for culture in found] == [0] * 4
    assert found.metadata["global_p"]["act"] == 1


def test_a_neuron_that_never_fires_is_never_found():
    questions = questions_of(24)
    counts = counts_of(questions, NEURONS, 5)
    counts[:, :10] = 0
    tests = infer(summary_of(questions, counts))
    assert (tests.p["act"][0, 0, :10] > 0.1).all()


# ------------------------------------------------------------------ a confound


def test_a_stratum_tied_to_a_culture_fools_what_is_not_stratified():
    """Brazil is asked about food three times in four, and neurons 0 to 19 fire for food."""
    questions = questions_of(
        40, category=lambda number, at: "food" if number % 4 < (3 if at == 0 else 1) else "sport"
    )
    lift = np.zeros(NEURONS)
    lift[:20] = 1.5
    knows = np.zeros((4, NEURONS))
    knows[0, 20:40] = 1.5  # and 20 to 39 for Brazil
    effects = {"strata_effect": {"food": lift, "sport": -lift}, "effect": knows}
    counts = counts_of(questions, NEURONS, 7, **effects)
    plain = discovered(select(summary_of(questions, counts), "conact", fdr=0.05))
    strata = strata_of(questions, "category")
    within = discovered(select(summary_of(questions, counts, strata=strata), "conact", fdr=0.05))
    fooled = {(0, neuron) for neuron in range(20)}
    known = {(0, neuron) for neuron in range(20, 40)}
    assert len(plain & fooled) >= 15 and len(within & fooled) <= 1
    assert len(plain & known) >= 15 and len(within & known) >= 15


# ------------------------------------------------------------------ by hand


def test_studentising_by_hand():
    """Three permutations 1, 2, 6 and data 7, of one neuron; the constant is its own deviation."""
    rows = np.array([[7.0], [1.0], [2.0], [6.0]])
    deviation = np.std([1, 2, 6], ddof=1)
    expected = [(7 - 3) / (2 * deviation)]
    for value, others in ((1, (2, 6)), (2, (1, 6)), (6, (1, 2))):
        expected.append((value - np.mean(others)) / (np.std(others, ddof=1) + deviation))
    np.testing.assert_allclose(studentised(rows).ravel(), expected)


def test_p_counts_permutations_of_all_neurons():
    rows = np.random.default_rng(0).normal(size=(20, 7))
    p, q, nulls = p_and_q(rows)
    t = studentised(rows)
    assert p == pytest.approx([(1 + (t[1:] >= one).sum()) / (1 + 19 * 7) for one in t[0]])
    assert q == pytest.approx(stats.false_discovery_control(p))
    third = [(1 + (np.delete(t[1:], 2, axis=0) >= one).sum()) / (1 + 18 * 7) for one in t[3]]
    assert nulls[2] == pytest.approx(stats.false_discovery_control(third), abs=1e-6)


def test_frequencies_count_the_samples_that_choose_a_neuron_again():
    effect, _ = planted(2, 1.5)
    summary = drawn(2, bootstraps=20, effect=effect)
    found = select(summary, "conact", k=12)
    table = selection_frequency(summary, found)
    culture, row = "Iran", table[table["culture"] == "Iran"].iloc[0]
    again = [SELECTORS["conact"](one).top(k=12)[culture].members() for one in summary.resampled()]
    place = (row["site"], row["layer"], row["index"])
    assert len(again) == 20
    assert row["frequency"] == sum(place in chosen for chosen in again) / 20
    strong = table.sort_values("score", ascending=False).head(12)["frequency"].mean()
    assert strong > table.sort_values("score").head(12)["frequency"].mean()


# ------------------------------------------------------------------ bad input


def test_bad_input():
    summary = drawn(0, bootstraps=20)
    bare = summary_of(*_bare(), permutations=0, bootstraps=0)
    with pytest.raises(InputError, match="at least 19 permutations, and there are 0"):
        infer(bare)
    with pytest.raises(InputError, match="no bootstrap samples"):
        selection_frequency(bare, select(bare, "conact", k=2))
    with pytest.raises(InputError, match="'random' has no false discovery rate"):
        plan("random", fdr=0.05)
    with pytest.raises(InputError, match="no false discovery rate"):
        plan("culnig_specific", fdr=0.05)
    with pytest.raises(InputError, match="'random' has no false discovery rate"):
        infer(summary, "random")
    with pytest.raises(InputError, match=r"fdr=1.5 is outside"):
        plan("conact", fdr=1.5)
    with pytest.raises(InputError, match="one of them"):
        plan("conact", share=0.1, fdr=0.05)
    with pytest.raises(InputError, match="fdr=0"):
        infer(summary).select(0.0)
    with pytest.raises(InputError, match="activation selectors"):
        selection_frequency(summary, NeuronSet({}, {}, {"selector": "culnig_specific"}))


def _bare():
    questions = questions_of(6)
    return questions, counts_of(questions, 20, 0)


def test_statistics_of_two_sites_are_tested_apart():
    summary = drawn(4)
    assert set(infer(summary, "mad_probability").p) == {"act"}
    assert infer(summary, "mad_probability").p["act"].shape == (4, 2, HALF)
    assert infer(summary, "conact").p["act"].shape == (1, 2, HALF)
    assert torch.isfinite(infer(summary, "lape").q["act"]).all()


# ------------------------------------------------------------------ layers without units


def beside_layers_without_units(summary, before=4):
    """The same counts in the last layers of a site whose first layers have no units."""

    def behind(counts):
        return {"act": torch.nn.functional.pad(counts["act"], (0, 0, before, 0))}

    kept = replace(summary.replicates, counts=behind(summary.replicates.counts))
    metadata = {**summary.metadata, "units": {"act": {"layers": [before, before + 1]}}}
    return replace(summary, counts=behind(summary.counts), replicates=kept, metadata=metadata)


@pytest.mark.parametrize("method", ["conact", "lape", "mad_probability", "lap"])
def test_layers_without_units_change_nothing(method):
    alone = drawn(5, effect=planted(5, 2.5)[0])
    expected, got = infer(alone, method), infer(beside_layers_without_units(alone), method)
    for name in ("p", "q"):
        few, every = (getattr(one, name)["act"] for one in (expected, got))
        assert torch.equal(every[:, 4:], few) and (every[:, :4] == 1).all()
    assert got.global_p("act") == expected.global_p("act")
    found, wide = (
        {(c, layer, index) for c in CULTURES for _, layer, index in one.select()[c].members()}
        for one in (expected, got)
    )
    assert wide == {(c, layer + 4, index) for c, layer, index in found} and len(found) > 5
