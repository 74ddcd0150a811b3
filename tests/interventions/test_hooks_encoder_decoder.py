"""Edits of T5, FLAN-T5 and mT5 are those of the raw modules, at every site."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated, ablation_hooks, steered
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from tests.helpers import reference_t5 as reference
from tests.helpers.closeness import assert_close
from tests.helpers.t5 import (
    ROUNDING,
    as_raw,
    each_site,
    lens,
    prompts_of,
    raw,
    some_neurons,
)


@each_site
def test_an_edit_is_the_same_edit_of_the_raw_module(family, site):
    model, hf = lens(family, torch.float64), raw(family, torch.float64)
    prompts = prompts_of(model)[4:10]  # with and without an answer prefix
    neurons = some_neurons(model, site)
    places = as_raw(neurons)
    means = torch.linspace(-1, 1, model.shape(site)[0] * model.shape(site)[1]).double()
    means = means.reshape(model.shape(site))
    batch = collate(prompts, model.pad_id)
    edits = [
        (ablated(model, neurons), lambda _, v: torch.zeros_like(v)),
        (ablated(model, neurons, 0.7), lambda _, v: torch.full_like(v, 0.7)),
        (steered(model, neurons, 2.5), lambda _, v: v * 3.5),
        # Each layer has values of its own.
        (
            ablated(model, neurons, {site: means}),
            lambda layer, v: means[layer, places[site, layer]].expand_as(v),
        ),
    ]
    rows = [(places, edit) for _, edit in edits]
    expected = [reference.edited_rows(hf, p.ids, p.decoder_ids, rows)[:, -1] for p in prompts]
    plain, found = model.logits(batch), []
    for row, (context, _) in enumerate(edits):
        with context:
            found.append(model.logits(batch))
        assert_close(
            found[-1], torch.stack([its[row] for its in expected]), ROUNDING[torch.float64]
        )
    # On a single position attention is 1, whatever q and k: there only those edits do nothing.
    blind = site in ("decoder.q", "decoder.k")
    changed = (found[0] - plain).abs().amax(1) > 1e-6
    assert changed.tolist() == [not blind or len(p.decoder_ids) > 1 for p in prompts]


def test_masks_of_their_own_for_every_row():
    model = lens("flan", torch.float64)
    batch = collate(prompts_of(model)[:6], model.pad_id)
    sets = [some_neurons(model, site) for site in list(model.sites)[::3]][:6]
    with ablated(model, sets):
        found = model.logits(batch)
    for row, neurons in enumerate(sets):
        with ablated(model, neurons):
            assert_close(found[row], model.logits(batch)[row], ROUNDING[torch.float64])


def test_neurons_beyond_the_layers_of_their_own_stack():
    model = lens("flan")
    assert ablation_hooks(model, Neurons.of({"encoder.act": [(2, 0)]}))
    with pytest.raises(InputError, match=r"'decoder\.act'.*2 layers of 48"):
        ablation_hooks(model, Neurons.of({"decoder.act": [(2, 0)]}))
    with pytest.raises(InputError, match=r"\(2, 24\) \(layer neuron\) for site 'cross\.k'"):
        ablation_hooks(model, Neurons.of({"cross.k": [(0, 0)]}), {"cross.k": torch.zeros(3, 24)})
    other = NeuronSet({}, {"decoder.act": (3, 48)})
    with pytest.raises(InputError, match="3 layers of 48"):
        other.check_model(model)
