"""Hooks as data: the same edits on a bridge of any origin as on a model of load_model."""

import pytest
import torch

from culture_lens.interventions.hooks import ablated, steered
from culture_lens.models.sites import hook_name
from culture_lens.neurons.hooks import ablation_hooks, steering_hooks
from culture_lens.neurons.neurons import Neurons
from tests.helpers import t5, vlm
from tests.helpers.bridges import own_bridge, own_t5, own_vlm
from tests.helpers.closeness import assert_close
from tests.helpers.errors import refused
from tests.helpers.lm import each_architecture, lens

TEXT = "Which food do people in Japan eat?"
PLACES = [(0, 1), (0, 9), (1, 5), (2, 30)]
MEANS = torch.tensor([0.5, -0.25, 1.0, 2.0], dtype=torch.float64)
VALUES = {
    "zero": "zero",
    "number": 0.75,
    "double": "double",
    "mean": "mean",
    "tensors": {"act": torch.linspace(-1, 1, 3 * 48).reshape(3, 48)},
}


def neurons_at(site, places=PLACES):
    return Neurons(Neurons.of({site: places}).places, means={site: MEANS[: len(places)]})


@pytest.mark.slow
@each_architecture
def test_a_bare_bridge_is_edited_as_a_loaded_model(architecture):
    model, bridge = lens(architecture), own_bridge(architecture)
    before = set(bridge.hook_dict)
    ids = model.to_tokens(TEXT)
    plain = model(ids)
    sites = [site for site in model.sites if site != "post"]
    for site in sites:
        neurons = neurons_at(site, [p for p in PLACES if p[1] < model.widths[site]])
        given = {"zero": "zero"} if site != "act" else VALUES
        for name, value in given.items():
            found = bridge.run_with_hooks(ids, fwd_hooks=neurons.hooks(bridge, value))
            with ablated(model, neurons, value):
                expected = model(ids)
            assert_close(found.detach(), expected.detach())
            assert (expected - plain).abs().max() > 1e-3, (site, name)
        found = bridge.run_with_hooks(ids, fwd_hooks=steering_hooks(bridge, neurons, 0.5))
        with steered(model, neurons, 0.5):
            assert_close(found.detach(), model(ids).detach())
    assert set(bridge.hook_dict) == before and hook_name("act", 0) not in before
    assert_close(bridge(ids).detach(), plain.detach())  # nothing is left on it
    assert any(p.requires_grad for p in bridge.original_model.parameters())


def test_neurons_at_several_sites_of_one_mlp():
    """On a bare bridge act is edited in the product, of an up that is edited, before post is."""
    model, bridge = lens("llama"), own_bridge("llama")
    ids = model.to_tokens(TEXT)
    both = Neurons.of(
        {
            "post": [(1, 5)],
            "act": [(1, 5), (1, 6), (1, 7)],
            "up": [(1, 6), (1, 7)],
            "gate": [(1, 3)],
        }
    )
    for value in (0.75, "double"):
        found = bridge.run_with_hooks(ids, fwd_hooks=both.hooks(bridge, value))
        with ablated(model, both, value):
            assert_close(found.detach(), model(ids).detach())


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_one_set_for_each_row_on_a_bare_bridge(architecture):
    model, bridge = lens(architecture), own_bridge(architecture)
    ids = model.to_tokens(TEXT).repeat(2, 1)
    rows = [neurons_at("act"), neurons_at("act", [(0, 2), (1, 7)])]
    found = bridge.run_with_hooks(ids, fwd_hooks=ablation_hooks(bridge, rows, 0.75))
    for row, neurons in enumerate(rows):
        alone = model.run_with_hooks(ids[:1], fwd_hooks=neurons.hooks(model, 0.75))
        assert_close(found[row].detach(), alone[0].detach())


def test_hooks_are_for_run_with_hooks_and_for_hooks():
    model, neurons = lens("llama"), neurons_at("act")
    with ablated(model, neurons):
        expected = model(TEXT)
    pairs = neurons.hooks(model)
    assert [name for name, _ in pairs] == [model.hook_name("act", layer) for layer in range(3)]
    assert torch.equal(model.run_with_hooks(TEXT, fwd_hooks=pairs), expected)
    assert torch.equal(model.bridge.run_with_hooks(TEXT, fwd_hooks=pairs), expected)
    with model.hooks(fwd_hooks=pairs):
        assert torch.equal(model(TEXT), expected)
    of_bridge = neurons.hooks(model.bridge)  # its bridge has the hook points, too
    assert [name for name, _ in of_bridge] == [name for name, _ in pairs]


@pytest.mark.slow
@pytest.mark.parametrize("site", ["encoder.act", "decoder.act", "cross.k", "decoder.gate"])
def test_an_encoder_decoders_bridge(site):
    model = t5.lens("flan")
    bridge = own_t5("flan")
    neurons = neurons_at(site, [(0, 1), (1, 5)])
    ids, start = model.to_tokens(TEXT), torch.tensor([[0, 7]])
    for value in ("zero", 0.75):
        pairs = neurons.hooks(bridge, value)
        found = bridge.run_with_hooks(ids, decoder_input_ids=start, fwd_hooks=pairs)
        with ablated(model, neurons, value):
            expected = model(ids, decoder_input_ids=start)
        assert_close(found.detach(), expected.detach())
    refused(("'act'", "own/flan", "another model"), neurons_at("act").hooks, bridge, "zero")


@pytest.mark.slow
def test_a_vision_language_models_bridge():
    bridge = own_vlm("llava")
    model, neurons = vlm.lens("llava"), neurons_at("act")
    found = bridge.run_with_hooks(model.to_tokens(TEXT), fwd_hooks=neurons.hooks(bridge, 0.75))
    with ablated(model, neurons, 0.75):
        assert_close(found.detach(), model(TEXT).detach())


def test_what_hooks_are_not_for():
    refused(("Linear", "load_model"), neurons_at("act").hooks, torch.nn.Linear(2, 2))
    refused(("str", "load_model"), neurons_at("act").hooks, "smollm2-135m")
    bridge = own_bridge("llama")
    refused(("own/llama", "3 layers of 48"), Neurons.of({"act": [(0, 48)]}).hooks, bridge)
    refused(("own/gpt2", "'up'"), Neurons.of({"up": [(0, 0)]}).hooks, own_bridge("gpt2"))
    refused(("not a finite number",), neurons_at("act").hooks, bridge, float("nan"))
