"""Fidelity compares like with like: effects that are small agree, others need not."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.gradients import attribute
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.ablation_fidelity import fidelity
from culture_lens.experiments.fidelity_units import NEURON, SET, list_units, overall_scores
from culture_lens.experiments.predicted_effects import predicted_effects
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores, pooled_top
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from culture_lens.statistics.tables import as_estimates
from tests.helpers.faint import faint
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import D_MLP, N_LAYERS

ALL = {"seen": True, "progress": False}  # the questions that made the scores too
FEW = {"neurons": 6, "shares": (0.01, 0.05), **ALL}


@functools.cache
def scores_of(model):
    sites = ("up", "v") if model.name.startswith("faint") else ("gate", "v")
    return attribute(model, toy_questions(), sites=sites, progress=False)


@functools.cache
def compared(model):
    return fidelity(model, toy_questions(), scores_of(model), **FEW)


@pytest.mark.slow
def test_small_effects_are_predicted():
    """The whole chain: scores, sampling, one backward pass, and an ablated pass for every unit."""
    found = fidelity(faint(1e-4), toy_questions(), scores_of(faint(1e-4)), **FEW)
    for kind in (NEURON, SET):
        assert abs(found.slope(kind).value - 1) < 0.005
        assert found.correlation(kind).value > 0.9999


@pytest.mark.slow
def test_the_fainter_the_closer():
    """The error is of second order: a tenth of the edit has a tenth of the relative error."""
    questions, errors = toy_questions(), []
    for scale in (1e-2, 1e-3):
        model = faint(scale)
        found = fidelity(
            model, questions, scores_of(model), neurons=1, shares=(0.05, 0.2, 0.5), **ALL
        )
        table = as_estimates(found.units(SET))
        one, other = (np.array([e.value for e in table[c]]) for c in ("predicted", "measured"))
        errors.append(np.abs(one - other).max() / np.abs(other).max())
    assert errors[1] < 0.3 * errors[0]


@pytest.mark.slow
def test_a_gate_bends_however_faint_it_is():
    """Ablating the raw gate turns act(g) to act(0); the prediction follows its tangent."""
    model = faint(1e-2)
    scores = attribute(model, toy_questions(), sites="gate", progress=False)
    found = fidelity(model, toy_questions(), scores, neurons=3, shares=(0.05, 0.3), **ALL)
    table = as_estimates(found.units(SET))
    one, other = (np.array([e.value for e in table[c]]) for c in ("predicted", "measured"))
    assert np.abs(one - other).max() > 0.05 * np.abs(other).max()


@pytest.mark.slow
def test_ordinary_models_are_not_linear():
    found = compared(lens("llama"))
    frame = found.frame
    assert not np.allclose(frame["predicted"], frame["measured"], rtol=0.1)
    assert found.correlation(SET).value < 0.999


@pytest.mark.slow
def test_records_are_those_of_prediction_and_evaluation():
    model, questions = lens("llama"), toy_questions()
    tables = overall_scores(scores_of(model))
    units = list_units(tables, FEW["neurons"], FEW["shares"], {}, 0)
    frame = compared(model).frame
    assert list(dict.fromkeys(frame["unit"])) == [unit.name for unit in units]
    base = evaluate(model, questions, scoring="letter", progress=False).frame
    base = base.set_index("id")["p_gold"]
    for unit in (units[0], units[-2]):
        part = frame[frame["unit"] == unit.name]
        after_ablation = evaluate(
            model, questions, unit.neurons, scoring="letter", progress=False
        ).frame.set_index("id")["p_gold"]
        expected = [after_ablation[i] - base[i] for i in part["id"]]
        np.testing.assert_allclose(part["measured"], expected, rtol=0, atol=1e-12)
        assert set(part["size"]) == {len(unit.neurons)} and set(part["kind"]) == {unit.kind}
        assert len(part) == 16 and len(set(part["id"])) == 16


@pytest.mark.slow
def test_given_sets_join_the_others_and_empty_ones_do_not():
    model = lens("llama")
    sets = {"mine": Neurons.of({"q": [(0, 1)]}), "empty": Neurons.of({})}
    found = fidelity(model, toy_questions(), scores_of(model), sets=sets, **FEW)
    assert list(found.units(SET).index) == [
        "top 1%",
        "random 1%",
        "top 5%",
        "random 5%",
        "mine",
    ]
    assert found.units(SET).loc["mine", "size"] == 1
    before = compared(model).frame
    mine = found.frame[found.frame["unit"] != "mine"].reset_index(drop=True)
    np.testing.assert_allclose(mine["predicted"], before["predicted"], rtol=1e-5, atol=1e-10)
    pd.testing.assert_series_equal(mine["measured"], before["measured"])


def test_shares_that_choose_no_neuron_are_left_out():
    model = lens("llama")
    found = fidelity(
        model, toy_questions(), scores_of(model), neurons=3, shares=(1e-6, 0.05), **ALL
    )
    assert list(found.units(SET).index) == ["top 5%", "random 5%"]


def test_top_and_random_sets_are_what_they_say():
    tables = overall_scores(scores_of(lens("llama")))
    units = {unit.name: unit for unit in list_units(tables, 3, (0.05,), {}, 0)}
    best = pooled_top(tables, 0.05)
    assert units["top 5%"].neurons == best
    drawn = units["random 5%"].neurons
    assert len(drawn) == len(best) and drawn != best
    again = {unit.name: unit for unit in list_units(tables, 3, (0.05,), {}, 0)}
    assert again["random 5%"].neurons == drawn
    other = {unit.name: unit for unit in list_units(tables, 3, (0.05,), {}, 1)}
    assert other["random 5%"].neurons != drawn and other["top 5%"].neurons == best


@pytest.mark.slow
def test_batch_size_does_not_matter():
    model = faint(0.1)
    one, other = (
        fidelity(model, toy_questions(), scores_of(model), batch_size=size, **FEW).frame
        for size in (1, 16)
    )
    np.testing.assert_allclose(one["predicted"], other["predicted"], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(one["measured"], other["measured"], rtol=0, atol=1e-9)


def test_nothing_is_left_on_the_model():
    model = lens("llama")
    before = evaluate(model, toy_questions(), scoring="letter", progress=False).frame
    fidelity(model, toy_questions(), scores_of(model), neurons=3, shares=(), **ALL)
    after = evaluate(model, toy_questions(), scoring="letter", progress=False).frame
    pd.testing.assert_frame_equal(before, after)


def test_scores_over_cultures_are_sums_and_contrasts():
    scores = scores_of(lens("llama"))
    overall = overall_scores(scores)
    for site, values in scores.scores.items():
        torch.testing.assert_close(overall[site], values.sum(0))
    control = attribute(
        lens("llama"), toy_questions(), sites=("gate", "v"), control=True, progress=False
    )
    names = NeuronScores(scores.cultures, scores.scores, metadata=scores.metadata)
    culnig = CulnigScores(scores, control, names)
    for site, values in overall_scores(culnig).items():
        expected = (scores.scores[site].sum(0) - control.scores[site].sum(0)) / 16
        torch.testing.assert_close(values, expected)


@pytest.mark.slow
def test_a_second_call_ablates_nothing(tmp_path, monkeypatch):
    model = lens("llama")
    first = fidelity(model, toy_questions(), scores_of(model), run=tmp_path, **FEW)

    def never(self, batch, cache=None):
        raise AssertionError("a measured pass was run again")

    monkeypatch.setattr(LensModel, "logits", never)
    monkeypatch.setattr(LensModel, "tree_logits", never)
    again = fidelity(model, toy_questions(), scores_of(model), run=tmp_path, **FEW)
    pd.testing.assert_frame_equal(first.frame, again.frame)
    with pytest.raises(AssertionError, match="run again"):
        fidelity(model, toy_questions(), scores_of(model), run=tmp_path, **{**FEW, "neurons": 7})


def test_scores_of_another_model_are_refused():
    values = {"gate": torch.rand(1, N_LAYERS, D_MLP + 1, dtype=torch.float64)}
    with pytest.raises(InputError, match="use the model they were made on"):
        fidelity(lens("llama"), toy_questions(), NeuronScores(("Japan",), values))
    with pytest.raises(InputError, match="'up'"):
        up = {"up": torch.rand(1, N_LAYERS, D_MLP, dtype=torch.float64)}
        fidelity(lens("gpt2"), toy_questions(), NeuronScores(("Japan",), up))
    fits = {"gate": torch.rand(1, N_LAYERS, D_MLP, dtype=torch.float64)}
    with pytest.raises(InputError, match="were found on 'm', not on 'tiny-llama'"):
        other = NeuronScores(("Japan",), fits, metadata={"model": "m"})
        fidelity(lens("llama"), toy_questions(), other)


def test_no_questions_are_refused():
    with pytest.raises(InputError):
        fidelity(lens("llama"), [], scores_of(lens("llama")), progress=False)


@pytest.mark.slow
def test_p_gold_of_the_records_is_the_unmodified_one():
    model = lens("llama")
    found = compared(model).frame.drop_duplicates("id").set_index("id")["p_gold"]
    prompts = build_prompts(toy_questions(), model.tokenizer)
    one = [Neurons.of({"gate": [(0, 0)]})]
    p = predicted_effects(model, prompts, one, running=Running(progress=False)).p_gold
    for prompt, value in zip(prompts, p.tolist(), strict=True):
        assert found[prompt.question.id] == pytest.approx(value, rel=1e-5)


@pytest.mark.slow
def test_half_precision_is_warned_of():
    model = lens("llama", torch.bfloat16)
    scores = attribute(model, toy_questions(2), progress=False)
    with pytest.warns(CultureLensWarning, match="drowns in rounding"):
        fidelity(model, toy_questions(2), scores, **FEW)
