"""Every public experiment takes the running options, and refuses any other before it runs."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.short_answers import evaluate_short_answers
from culture_lens.evaluation.values import evaluate_values
from culture_lens.experiments.ablation_fidelity import fidelity
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.compare_units import compare_units
from culture_lens.experiments.comparison import compare_selectors
from culture_lens.experiments.evaluate_suite import evaluate_suite
from culture_lens.experiments.predicted_effects import Prediction, predicted_effects
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
from culture_lens.experiments.transfer_matrix import transfer_matrix
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions

SOME = {culture: Neurons.of({"act": [(0, 1)]}) for culture in ("Japan", "Mexico")}
SET = NeuronSet(SOME, {"act": (3, 48)})
SCORES = NeuronScores(("Japan", "Mexico"), {"act": torch.rand(2, 3, 48)})


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (ablation_matrix, (SET, toy_questions())),
        (compare_selectors, (toy_questions(),)),
        (compare_units, (toy_questions(), {"neurons": ("act", "mad")})),
        (evaluate, (toy_questions(),)),
        (evaluate_short_answers, ([],)),
        (evaluate_suite, (SOME, {"toys": toy_questions()})),
        (evaluate_values, ([],)),
        (fidelity, (toy_questions(), SCORES)),
        (predicted_ablation_matrix, (SET, toy_questions())),
        (transfer_matrix, ({"one": toy_questions(), "two": toy_questions()},)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batchsize": 3}, "unknown option 'batchsize': did you mean 'batch_size'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_before_the_model_runs(
    monkeypatch, function, arguments, option, message
):
    monkeypatch.setattr(LensModel, "_forward", None)
    with pytest.raises(InputError, match=message):
        function(lens("llama"), *arguments, **option)


def test_predicted_effects_are_kept_in_a_run_folder(monkeypatch, tmp_path):
    model = lens("llama", torch.float64)
    prompts = build_prompts(toy_questions(topics=1), model.processor)
    sets = [Neurons.of({"gate": [(0, 1), (2, 7)]}), Neurons.of({"up": [(1, 3)]})]
    running = Running(progress=False, run=tmp_path)
    first = predicted_effects(model, prompts, sets, running=running)
    again = predicted_effects(model, prompts, sets, running=Running(progress=False))
    for name in ("p_gold", "value", "changes"):
        assert torch.equal(getattr(first, name), getattr(again, name))

    def refuse(*_, **__):
        raise AssertionError("the model was run")

    monkeypatch.setattr(LensModel, "_forward", refuse)
    kept = predicted_effects(model, prompts, sets, factor=2.0, running=running)
    assert torch.equal(kept.value, first.value) and torch.equal(kept.changes, -first.changes)
    for other in (sets[:1], sets[::-1]):
        with pytest.raises(AssertionError, match="the model was run"):
            predicted_effects(model, prompts, other, running=running)
    with pytest.raises(AssertionError, match="the model was run"):
        predicted_effects(model, prompts[:2], sets, running=running)
    for way in (Prediction("logit_difference"), Prediction(path="integrated")):
        with pytest.raises(AssertionError, match="the model was run"):
            predicted_effects(model, prompts, sets, prediction=way, running=running)
