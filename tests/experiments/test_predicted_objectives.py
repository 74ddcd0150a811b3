"""Predicted effects of every objective, scoring and path, against a raw model and real ablation."""

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.measured_values import objective_values
from culture_lens.experiments.predicted_effects import Prediction, predicted_effects
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from tests.helpers.factors import contribution, plain_objective
from tests.helpers.lm import exact, exact_raw
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import lengthened, toy_questions
from tests.helpers.tiny import N_LAYERS

OBJECTIVES = ("probability", "log_probability", "logit_difference")
STYLES = {"letter": "choices", "option_likelihood": "cloze"}
PATHS = ("none", "integrated", "integrated_layerwise")
SETS = [
    Neurons.of({"up": [(0, 1), (1, 3), (2, 15)]}),
    Neurons.of({"up": [(1, 4)], "v": [(0, 2), (1, 0)]}),
    Neurons.of({}),
    Neurons.of({"gate": [(2, 5), (2, 9)]}),
]
SHARES = {"none": (1.0,), "integrated": (0.25, 0.75), "integrated_layerwise": (0.25, 0.75)}


def prompts_of(model, scoring, questions=None):
    return build_prompts(questions or toy_questions(), model.tokenizer, style=STYLES[scoring])


def effects_of(model, sets, prompts, batch_size=None, **options):
    return predicted_effects(
        model,
        prompts,
        sets,
        prediction=Prediction(**{"points": 2, **options}),
        running=Running(batch_size, progress=False),
    )


def everything(model, site, layers=range(N_LAYERS)):
    places = [(layer, index) for layer in layers for index in range(model.widths[site])]
    return Neurons.of({site: places})


# ------------------------------------------------------------------ against the raw model


def expected(model, hf, prompt, neurons, scoring, objective, path):
    """Minus the contributions of a set: all its sites are scaled, at once or by layers."""
    labels = list(label_ids(prompt, model.processor)) if scoring == "letter" else None
    sites = {site for site, _, _ in neurons.members()}
    every = {(site, layer): model.widths[site] for site in sites for layer in range(N_LAYERS)}
    if path == "integrated_layerwise":
        parts = [{p: w for p, w in every.items() if p[1] == layer} for layer in range(N_LAYERS)]
    else:
        parts = [every]
    return -sum(
        contribution(
            hf,
            lambda: plain_objective(hf, prompt, scoring, objective, labels),
            neurons.members(),
            part,
            SHARES[path],
        )
        for part in parts
        if neurons.members() and any((s, layer) in part for s, layer, _ in neurons.members())
    )


WAYS = [(o, s, p) for o in OBJECTIVES for s in STYLES for p in PATHS]
FAST = [("logit_difference", "letter", "none")]


@pytest.mark.parametrize(("objective", "scoring", "path"), mostly_slow(WAYS, fast=FAST))
def test_predictions_equal_the_plain_computation(objective, scoring, path):
    model, hf = exact("llama"), exact_raw("llama")
    prompts = prompts_of(model, scoring)[1::10]
    found = effects_of(
        model, SETS, prompts, objective=objective, scoring=scoring, path=path, batch_size=2
    )
    assert found.changes.shape == (len(prompts), len(SETS))
    for row, prompt in enumerate(prompts):
        labels = list(label_ids(prompt, model.processor)) if scoring == "letter" else None
        with torch.no_grad():
            value, p = (
                plain_objective(hf, prompt, scoring, name, labels).item()
                for name in (objective, "probability")
            )
        assert found.value[row].item() == pytest.approx(value, rel=1e-9)
        assert found.p_gold[row].item() == pytest.approx(p, rel=1e-9)
        for column, neurons in enumerate(SETS):
            change = expected(model, hf, prompt, neurons, scoring, objective, path)
            assert found.changes[row, column].item() == pytest.approx(change, rel=1e-8, abs=1e-14)
    assert (found.changes[:, 2] == 0).all() and (found.changes[:, [0, 1, 3]] != 0).all()


# ------------------------------------------------------------------ against real ablation


@pytest.mark.slow
@pytest.mark.parametrize("scoring", list(STYLES))
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_ablating_all_neurons_of_a_site_is_predicted_exactly(objective, scoring):
    """Integrated gradients are complete; the error falls with the square of the points."""
    model, questions = exact("llama"), toy_questions(topics=1)
    prompts, all_of = prompts_of(model, scoring, questions), everything(model, "gate")
    before, after = (
        objective_values(
            evaluate(model, questions, neurons, scoring=scoring, progress=False).frame, objective
        )
        for neurons in (None, all_of)
    )
    measured, how = after - before, {"objective": objective, "scoring": scoring}
    errors = []
    for points in (8, 32):
        found = effects_of(model, [all_of], prompts, path="integrated", points=points, **how)
        errors.append(np.abs(found.changes[:, 0].numpy() - measured).max())
    assert errors[1] < 1e-3 * np.abs(measured).max() and errors[1] < errors[0] / 8
    first_order = effects_of(model, [all_of], prompts, **how).changes[:, 0].numpy()
    assert np.abs(first_order - measured).max() > 0.1 * np.abs(measured).max()


@pytest.mark.slow
def test_ablating_all_neurons_of_a_layer_is_predicted_exactly_layer_by_layer():
    model, questions = exact("llama"), toy_questions(topics=1)
    how = {"objective": "logit_difference", "scoring": "option_likelihood"}
    prompts = prompts_of(model, how["scoring"], questions)
    layer = everything(model, "up", [1])
    found = effects_of(model, [layer], prompts, path="integrated_layerwise", points=32, **how)
    before, after = (
        objective_values(
            evaluate(model, questions, neurons, scoring=how["scoring"], progress=False).frame,
            how["objective"],
        )
        for neurons in (None, layer)
    )
    np.testing.assert_allclose(found.changes[:, 0], after - before, rtol=1e-3, atol=1e-7)


# ------------------------------------------------------------------ what must hold


@pytest.mark.parametrize("path", mostly_slow(PATHS, fast=["none"]))
def test_a_set_is_the_sum_of_its_neurons_whatever_else_is_asked(path):
    model, scoring = exact("llama"), "option_likelihood"
    prompts = prompts_of(model, scoring)[::8]
    how = {"objective": "logit_difference", "scoring": scoring, "path": path}
    singles = [Neurons.of({"up": [(layer, index)]}) for _, layer, index in SETS[0].members()]
    together = effects_of(model, [*SETS, *singles], prompts, **how).changes
    torch.testing.assert_close(together[:, 0], together[:, 4:].sum(1), rtol=1e-9, atol=1e-14)
    alone = torch.cat([effects_of(model, [one], prompts, **how).changes for one in singles], 1)
    torch.testing.assert_close(together[:, 4:], alone, rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(
        together[:, 1], effects_of(model, SETS[1:2], prompts, **how).changes[:, 0]
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scoring", list(STYLES))
def test_batches_order_and_padding_do_not_matter(scoring, path):
    model = exact("llama")
    prompts = prompts_of(model, scoring, lengthened(toy_questions(topics=1), times=4))
    how = {"objective": "logit_difference", "scoring": scoring, "path": path}
    one = effects_of(model, SETS, prompts, batch_size=1, **how)
    turned = effects_of(model, SETS, prompts[::-1], batch_size=3, **how)
    torch.testing.assert_close(turned.value.flip(0), one.value, rtol=1e-9, atol=1e-12)
    scale = one.changes.abs().max().item()
    torch.testing.assert_close(turned.changes.flip(0), one.changes, rtol=1e-8, atol=1e-11 * scale)


def test_bad_input_is_refused():
    model = exact("llama")
    prompts = prompts_of(model, "letter")
    with pytest.raises(InputError, match="factor=2.0: a path leads to ablated neurons"):
        predicted_effects(
            model, prompts, SETS, factor=2.0, prediction=Prediction(path="integrated")
        )
    with pytest.raises(InputError, match="by option_likelihood need .* style 'cloze'"):
        effects_of(model, SETS, prompts, scoring="option_likelihood")
    with pytest.raises(InputError, match="a path needs at least one point"):
        Prediction(path="integrated", points=0)


# ------------------------------------------------------------------ objectives of answers


def answers(p_gold=0.5):
    """Options of scores 3 and 1, and 0, 1 and 2; the right ones are the first and the last."""
    return pd.DataFrame(
        {
            "id": ["a", "b"],
            "gold": [0, 2],
            "prediction": [0, 2],
            "correct": [True, True],
            "p_gold": [p_gold, 0.25],
            "scores": [[3.0, 1.0], [0.0, 1.0, 2.0]],
        }
    )


def test_objectives_of_answers_are_those_by_hand():
    assert objective_values(answers(), "probability").tolist() == [0.5, 0.25]
    logs = objective_values(answers(), "log_probability")
    np.testing.assert_allclose(logs, np.log([0.5, 0.25]), rtol=1e-12)
    odds = objective_values(answers(), "logit_difference")
    np.testing.assert_allclose(odds, [2.0, 2 - np.log(1 + np.e)], rtol=1e-12)


def test_the_logarithm_of_nothing_is_refused():
    with pytest.raises(InputError, match="question 'a': log_probability .* rounded to 0"):
        objective_values(answers(p_gold=0.0), "log_probability")
    assert objective_values(answers(p_gold=0.0), "logit_difference")[0] == 2.0
    with pytest.raises(InputError, match="objective 'accuracy'"):
        objective_values(answers(), "accuracy")


@pytest.mark.parametrize("scoring", list(STYLES))
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_answers_and_attribution_have_one_objective(objective, scoring):
    model, questions = exact("llama"), toy_questions(topics=1)
    frame = evaluate(model, questions, scoring=scoring, progress=False).frame
    prompts = prompts_of(model, scoring, questions)
    found = effects_of(model, SETS[:1], prompts, objective=objective, scoring=scoring)
    np.testing.assert_allclose(objective_values(frame, objective), found.value, rtol=1e-9)
