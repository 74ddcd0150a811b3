"""Zero in the weights equals zero by hooks to the last bit, and the weights come back whole."""

import os
import signal

import pytest
import torch

from culture_lens.interventions.folding import can_fold, folded, projection, uninterrupted
from culture_lens.interventions.hooks import ablated
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from tests.helpers.lm import each_architecture, lens, prompts_of
from tests.helpers.t5 import lens as t5_lens
from tests.helpers.tiny import D_MLP, N_LAYERS

PLACES = [(0, 3), (1, 0), (1, 7), (2, 40), (2, 47)]


def weights(model):
    return [p.detach().clone() for p in model.bridge.original_model.parameters()]


def unchanged(model, before):
    now = list(model.bridge.original_model.parameters())
    return all(torch.equal(a, b) for a, b in zip(before, now, strict=True))


@each_architecture
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folded_is_hooked_to_the_last_bit(architecture, dtype):
    model = lens(architecture, dtype)
    batch, before = collate(prompts_of(model), model.pad_id), weights(model)
    plain = model.logits(batch)
    for sites in (["act"], ["post"], ["gate"], ["z"], ["up"], ["act", "post", "z"]):
        if not set(sites) <= set(model.sites):
            continue
        neurons = Neurons.of({site: [(layer, i % 32) for layer, i in PLACES] for site in sites})
        assert can_fold(model, neurons, "zero") and can_fold(model, neurons, 0.0)
        with ablated(model, neurons):
            hooked = model.logits(batch)
        with folded(model, neurons):
            assert torch.equal(model.logits(batch), hooked) and not unchanged(model, before)
        assert not torch.equal(hooked, plain) and unchanged(model, before)


def test_overlapping_sites_come_back_whole():
    """act, post and up of one neuron are one column, which must be kept once."""
    model = lens("llama")
    before = weights(model)
    with folded(model, Neurons.of({"act": PLACES, "post": PLACES[:2], "up": PLACES[1:]})):
        assert not unchanged(model, before)
    assert unchanged(model, before)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_weights_come_back_on_any_end(error):
    model = lens("llama")
    before, print_before = weights(model), model.fingerprint
    versions = [p._version for p in model.bridge.original_model.parameters()]
    with pytest.raises(error), folded(model, Neurons.of({"act": PLACES})):
        raise error
    assert unchanged(model, before) and model.fingerprint == print_before
    assert versions == [p._version for p in model.bridge.original_model.parameters()]


def test_weights_come_back_where_folding_itself_is_interrupted(monkeypatch):
    model = lens("llama")
    before, fill, calls = weights(model), torch.Tensor.index_fill_, []

    def stops(self, *args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fill(self, *args)

    monkeypatch.setattr(torch.Tensor, "index_fill_", stops)
    with pytest.raises(KeyboardInterrupt), folded(model, Neurons.of({"act": PLACES})):
        raise AssertionError("the block was entered")
    assert len(calls) == 2 and unchanged(model, before)


@pytest.fixture
def interruptible():
    """Control-C raises here, also where tests run in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_while_weights_are_put_back_waits(monkeypatch, interruptible):
    """Control-C in the middle of putting columns back: all are back, and then it is raised."""
    model = lens("llama")
    before, copy = weights(model), torch.Tensor.index_copy_

    def interrupted(self, *args):
        os.kill(os.getpid(), signal.SIGINT)
        return copy(self, *args)

    monkeypatch.setattr(torch.Tensor, "index_copy_", interrupted)
    with pytest.raises(KeyboardInterrupt), folded(model, Neurons.of({"act": PLACES})):
        assert not unchanged(model, before)
    assert unchanged(model, before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_uninterrupted_leaves_the_handler_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    with uninterrupted():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_what_is_not_folded():
    model, neurons = lens("llama"), Neurons.of({"act": PLACES})
    for value in ("mean", "double", 0.5, {"act": torch.zeros(N_LAYERS, D_MLP)}):
        assert not can_fold(model, neurons, value)
    for site in ("q", "k", "v"):
        assert not can_fold(model, Neurons.of({site: [(0, 1)]}), "zero")
    assert not can_fold(lens("llama", torch.float16), neurons, "zero")


@pytest.mark.parametrize("kind", ["other layer", "other type", "elsewhere"])
def test_weights_that_are_not_plain_are_not_folded(kind, monkeypatch):
    class Quantised(torch.nn.Linear):
        pass

    model = lens("llama")
    module = model.bridge.blocks[1].mlp.out.original_component
    if kind == "other layer":
        monkeypatch.setattr(module, "__class__", Quantised)
    elif kind == "other type":
        narrow = torch.nn.Parameter(module.weight.to(torch.int8), requires_grad=False)
        monkeypatch.setitem(module._parameters, "weight", narrow)
    else:
        away = torch.nn.Parameter(module.weight.to("meta"), requires_grad=False)
        monkeypatch.setitem(module._parameters, "weight", away)
    assert projection(model, "act", 1) is None and projection(model, "act", 0) is not None
    assert not can_fold(model, Neurons.of({"act": PLACES}), "zero")
    assert can_fold(model, Neurons.of({"act": [(0, 3)]}), "zero")


def test_an_activation_that_is_not_zero_at_zero(monkeypatch):
    model = lens("llama")
    config = model.bridge.original_model.config
    monkeypatch.setattr(config, "hidden_act", "sigmoid")
    assert not can_fold(model, Neurons.of({"gate": PLACES}), "zero")
    assert can_fold(model, Neurons.of({"act": PLACES}), "zero")


@pytest.mark.slow
def test_both_stacks_of_an_encoder_decoder():
    model = t5_lens("flan")
    before = weights(model)
    neurons = Neurons.of({"encoder.act": [(0, 3)], "decoder.act": [(1, 5)]})
    assert can_fold(model, neurons, "zero")
    with folded(model, neurons):
        assert not unchanged(model, before)
    assert unchanged(model, before)
