"""Integrated gradients add up to the change of the objective, measured by running the model."""

import pytest
import torch

from culture_lens.interventions.hooks import ablated
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from tests.helpers import reference_attribution as reference
from tests.helpers.attributed import asked, found, prompts_of, text_items
from tests.helpers.lm import exact
from tests.helpers.marks import mostly_slow

DIFFERENCE = {"objective": "logit_difference", "aggregation": "sum"}
CASES = [
    ("gpt2", "letter", "integrated", 4),
    ("gpt2", "option_likelihood", "integrated_layerwise", 4),
    ("llama", "letter", "integrated", 16),
]


@pytest.mark.parametrize(
    ("architecture", "scoring", "path", "few"), mostly_slow(CASES, fast=CASES[:1])
)
def test_contributions_add_up_to_the_measured_change(architecture, scoring, path, few):
    """And ``gap`` says by how much they do not: an error of 1 over the square of the points."""
    model, questions = exact(architecture), asked()[1:3]  # one of each culture
    sites, gaps = ("act", "v"), {}
    how = {**DIFFERENCE, "scoring": scoring, "path": path}
    items = dict(text_items(architecture, model, questions, how))
    for points in (few, 4 * few):
        scores = found(model, questions, sites, {**how, "points": points})
        for row, culture in enumerate(scores.cultures):
            total = sum(float(table[row].sum()) for table in scores.scores.values())
            change = reference.change(items[culture], sites, "logit_difference", path)
            told = scores.metadata
            assert told["change"][culture] == pytest.approx(abs(change), rel=1e-8)
            gaps[points, culture] = abs(change - total)
            expected = pytest.approx(gaps[points, culture], rel=1e-6, abs=1e-9)
            assert told["gap"][culture] == expected
    for culture in items:
        assert 0 < gaps[4 * few, culture] < gaps[few, culture] / 8


@pytest.mark.parametrize("scoring", mostly_slow(["letter", "option_likelihood"], fast=[]))
def test_layer_by_layer_is_the_effect_of_ablating_each_layer_alone(scoring):
    """With the package's own ablation, and F worked out from what the model says."""
    model, question = exact("llama"), asked()[1]
    how = {**DIFFERENCE, "scoring": scoring}
    batch = collate(prompts_of(model, [question], how), model.pad_id)

    def value():
        if scoring == "letter":
            labels = model.tokenizer.convert_tokens_to_ids(["A", "B"])
            scores = model.logits(batch)[0, labels]
        else:
            options = model.continuation_log_probs(batch)[0]
            scores = torch.stack([option.mean() for option in options])
        return float(scores[question.answer] - scores[1 - question.answer])

    assert question.answer == 0 and len(question.options) == 2
    scores = found(
        model, [question], "act", {**how, "path": "integrated_layerwise", "points": 24}
    ).scores["act"][0]
    whole, layers, width = value(), *model.shape("act")
    assert whole != 0
    for layer in range(layers):
        with ablated(model, Neurons.of({"act": [(layer, i) for i in range(width)]}), 0.0):
            effect = whole - value()
        assert abs(effect) > 1e-3
        assert float(scores[layer].sum()) == pytest.approx(effect, rel=0.02)
