"""Attribution leaves a model as it was: no hooks, no gradients, no activations in memory."""

import gc
import warnings

import pytest
import torch

from culture_lens.attribution import passes, scoring
from culture_lens.interventions.hooks import ablated
from culture_lens.neurons.neurons import Neurons
from tests.helpers import reference_culnig as reference
from tests.helpers.gradients import assert_equal_to, assert_same, reference_items, scored, sites_of
from tests.helpers.lm import each_architecture, exact, exact_raw, lens
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import toy_questions


def facts_of(model):
    parameters = list(model.bridge.original_model.parameters())
    return (
        [p.requires_grad for p in parameters],
        [p.grad is None for p in parameters],
        model.bridge.original_model.training,
        model.is_hooked,
        torch.is_grad_enabled(),
    )


@each_architecture
def test_the_model_is_left_as_it_was(architecture):
    model = lens(architecture)
    before, state = facts_of(model), torch.get_rng_state()
    weights = [p.detach().clone() for p in model.bridge.original_model.parameters()]
    scored(model, toy_questions()[:4])
    assert facts_of(model) == before
    assert not any(before[0]) and all(before[1]) and not model.is_hooked
    assert torch.equal(torch.get_rng_state(), state)
    for parameter, weight in zip(model.bridge.original_model.parameters(), weights, strict=True):
        assert torch.equal(parameter, weight) and not parameter.is_inference()


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_exception_inside_the_pass_leaves_no_hooks(monkeypatch, where, error):
    model = lens("llama")
    before = facts_of(model)

    def fail(*_):
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        if where == "forward":
            patch.setattr(scoring, "check_logits", fail)
        else:
            patch.setattr(passes, "Met", fail)
        scored(model, toy_questions()[:4])
    assert facts_of(model) == before
    assert_same(scored(model, toy_questions()[:4]), scored(model, toy_questions()[:4]))


def tensors_alive(n_pos):
    """Activations of a given length that somebody still holds, counted without collecting."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
    return [tuple(x.shape) for x in held if x.ndim >= 3 and n_pos in x.shape[1:3]]


@pytest.mark.parametrize(
    "architecture", mostly_slow(["llama", "gemma3", "phi3", "gpt2"], fast=["phi3"])
)
def test_no_activation_outlives_the_call(architecture):
    model, questions = lens(architecture), toy_questions()
    n_pos = max(len(ids) for ids, _, _ in reference_items(model, questions))
    gc.collect()
    before = len(tensors_alive(n_pos))
    gc.disable()  # what only the garbage collector frees would pile up from batch to batch
    try:
        found = scored(model, questions, batch_size=4)
        assert len(tensors_alive(n_pos)) == before
    finally:
        gc.enable()
    for scores in found.scores.values():
        assert not scores.requires_grad and scores.grad_fn is None


@pytest.mark.slow
def test_activations_are_let_go_of_between_batches(monkeypatch):
    model, questions = lens("llama"), toy_questions()
    lengths = sorted((len(ids) for ids, _, _ in reference_items(model, questions)), reverse=True)
    gc.collect()
    before, alive = len(tensors_alive(lengths[0])), []
    check = scoring.check_logits

    def look(logits, batch):
        if batch.input_ids.shape[1] < lengths[0]:
            alive.append(len(tensors_alive(lengths[0])))
        return check(logits, batch)

    monkeypatch.setattr(scoring, "check_logits", look)
    gc.disable()
    try:
        scored(model, questions, batch_size=4)
    finally:
        gc.enable()
    assert len(alive) >= 2 and set(alive) == {before}


def test_hooks_around_the_call_take_part_and_stay():
    """An ablated neuron: its gate and up have nothing left to add, and the rest feels it."""
    model, questions = exact("llama"), toy_questions()[:4]
    plain = scored(model, questions)
    after_ablation = Neurons.of({"act": [(1, 5), (2, 7)]})
    with ablated(model, after_ablation, 0.0):
        found = scored(model, questions)
        assert model.is_hooked
    assert not model.is_hooked
    for layer, index in ((1, 5), (2, 7)):
        for site in ("gate", "up"):
            assert (found.scores[site][:, layer, index] == 0).all()
            assert (plain.scores[site][:, layer, index] != 0).any()
    hf = exact_raw("llama")
    layers = {1: 5, 2: 7}
    handles = [
        reference.decoder_layers(hf)[layer].mlp.act_fn.register_forward_hook(
            lambda module, args, output, index=index: output.index_fill(
                -1, torch.tensor([index]), 0.0
            )
        )
        for layer, index in layers.items()
    ]
    try:
        items = reference_items(model, questions)
        expected = reference.summed(hf, items, sites=sites_of(model))
    finally:
        for handle in handles:
            handle.remove()
    assert_equal_to(found, expected, 1e-9)
