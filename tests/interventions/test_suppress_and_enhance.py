"""Suppressed and enhanced neurons: raw projections at zero or doubled, as CULNIG edits them."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated, enhance, steered, suppress
from culture_lens.neurons.neurons import Neurons
from tests.helpers.closeness import assert_close, relative
from tests.helpers.edits import batch_of, edited_raw
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.neurons import NEURONS


@each_architecture
@pytest.mark.parametrize("site", ["gate", "up", "q", "k", "v"])
def test_suppress_and_enhance_edit_raw_projections(architecture, site):
    model, hf = lens(architecture), raw(architecture)
    if site not in model.sites:
        pytest.skip("GPT-2 has no gate, so no up")
    batch, columns = batch_of(model), [0, 3, 11]
    neurons = Neurons.of({site: [(1, column) for column in columns]})
    plain = model.logits(batch)
    for edit, factor in ((suppress(model, neurons), 0.0), (enhance(model, neurons), 2.0)):
        with edit:
            found = model.logits(batch)
        expected = edited_raw(hf, batch, site, 1, columns, lambda n, f=factor: f * n)
        assert_close(found, expected)
        assert relative(found, plain) > 1e-5
    assert not model.is_hooked
    with enhance(model, neurons, factor=3.0):
        found = model.logits(batch)
    assert_close(found, edited_raw(hf, batch, site, 1, columns, lambda n: 3.0 * n))


def test_twice_the_raw_gate_is_not_twice_its_activation():
    model = lens("llama")
    batch = batch_of(model)
    places = [(1, 3), (2, 7)]
    with enhance(model, Neurons.of({"gate": places})):
        raw_twice = model.logits(batch)
    with steered(model, Neurons.of({"act": places}), alpha=1.0):
        act_twice = model.logits(batch)
    assert relative(raw_twice, act_twice) > 1e-5


def test_double_is_a_value_of_ablation():
    model = lens("llama")
    batch, neurons = batch_of(model), Neurons.of({"v": [(0, 1)], "gate": [(2, 5)]})
    with ablated(model, neurons, "double"):
        doubled = model.logits(batch)
    with enhance(model, neurons):
        assert torch.equal(model.logits(batch), doubled)


@pytest.mark.parametrize("edit", [suppress, enhance])
def test_neurons_that_are_no_raw_projection_are_refused(edit):
    with pytest.raises(InputError, match="at 'act': use ablated or steered"):
        with edit(lens("llama"), NEURONS):
            pass
