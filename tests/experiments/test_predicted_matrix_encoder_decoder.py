"""Predicted effects on T5 are sums of attributions, and what small edits do."""

import pytest
import torch

from culture_lens.experiments.predicted_effects import predicted_effects
from culture_lens.interventions.hooks import steered
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.running import Running
from tests.helpers import reference_t5 as reference
from tests.helpers.gold import gold_tokens
from tests.helpers.marks import mostly_slow
from tests.helpers.t5 import lens, prompts_of, raw, some_neurons

QUIET_RUN = Running(progress=False)


def test_predictions_are_sums_of_attributions():
    model, hf = lens("flan", torch.float64), raw("flan", torch.float64)
    prompts = prompts_of(model)
    gold = gold_tokens(prompts, model.processor)
    sets = [
        Neurons.of({"encoder.act": [(2, 3)], "cross.v": [(1, 0), (0, 4)]}),
        Neurons.of({"decoder.post": [(0, 0), (1, 5)]}),
    ]
    found = predicted_effects(model, prompts, sets, running=Running(batch_size=5, progress=False))
    for row, prompt in enumerate(prompts):
        sites = ("encoder.act", "cross.v", "decoder.post")
        products, p = reference.attribution(
            hf, sites, prompt.ids, prompt.decoder_ids, gold[prompt.question.id]
        )
        assert abs(float(found.p_gold[row]) - p) < 1e-12
        for column, neurons in enumerate(sets):
            total = sum(float(products[s][layer, :, i].sum()) for s, layer, i in neurons.members())
            assert abs(float(found.changes[row, column]) + total) < 1e-9


@pytest.mark.parametrize("site", mostly_slow(reference.SITES, fast=["encoder.act", "cross.v"]))
def test_small_edits_do_what_gradients_say(site):
    """Central differences, not too small: T5's norms are in float32 whatever the weights are."""
    model = lens("flan", torch.float64)
    prompts, neurons = prompts_of(model), some_neurons(model, site)
    found = predicted_effects(model, prompts, [neurons], factor=1.003, running=QUIET_RUN)
    changes = found.changes
    ends = []
    for alpha in (0.003, -0.003):
        with steered(model, neurons, alpha):
            ends.append(predicted_effects(model, prompts, [neurons], running=QUIET_RUN).value)
    assert ((ends[0] - ends[1]) / 2 - changes[:, 0]).abs().max() < 0.01 * changes.abs().max()
    assert changes.abs().max() > 1e-8
