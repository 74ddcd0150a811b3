"""Ablated and steered neurons give the logits of the reference, and nothing stays on the model."""

import pytest
import torch

from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import InputError
from culture_lens.interventions.hooks import (
    ablated,
    ablation_hooks,
    edit_hook,
    replaced,
    scaled,
    steered,
)
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from tests.helpers import reference
from tests.helpers.closeness import assert_close, relative
from tests.helpers.edits import batch_of, edited_raw, reference_logits
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.neurons import CHOSEN, NEURONS, OTHERS
from tests.helpers.tiny import D_MLP, N_LAYERS

# ------------------------------------------------------------------ against the reference


@each_architecture
def test_ablated_neurons(architecture):
    model, hf = lens(architecture), raw(architecture)
    batch = batch_of(model)
    plain = model.logits(batch)
    with ablated(model, NEURONS) as inside:
        assert inside is model
        found = model.logits(batch)
    expected = reference_logits(hf, batch, CHOSEN)
    assert_close(found, expected)
    assert (found - plain).abs().max() > 1e-2
    assert torch.equal(model.logits(batch), plain)


@pytest.mark.parametrize("alpha", [0.5, -0.5, 2.0])
@each_architecture
def test_steered_neurons(architecture, alpha):
    model, hf = lens(architecture), raw(architecture)
    batch = batch_of(model)
    plain = model.logits(batch)
    with steered(model, NEURONS, alpha):
        found = model.logits(batch)
    assert_close(found, reference_logits(hf, batch, CHOSEN, scale=1 + alpha))
    assert (found - plain).abs().max() > 1e-2


def test_steering_by_minus_one_is_ablation_and_the_default_is_a_half():
    model = lens("llama")
    batch = batch_of(model)
    with ablated(model, NEURONS):
        after_ablation = model.logits(batch)
    with steered(model, NEURONS, -1.0):
        assert_close(model.logits(batch), after_ablation)
    with steered(model, NEURONS):
        half = model.logits(batch)
    with steered(model, NEURONS, 0.5):
        assert torch.equal(model.logits(batch), half)


@pytest.mark.parametrize("site", ["gate", "up", "q", "k", "v"])
@each_architecture
def test_every_site_is_edited_where_the_raw_module_is(architecture, site):
    model, hf = lens(architecture), raw(architecture)
    if site not in model.widths:
        return
    batch, columns = batch_of(model), [0, 3, 15]
    neurons = Neurons.of({site: [(1, i) for i in columns]})
    expected = edited_raw(hf, batch, site, 1, columns, torch.zeros_like)
    with ablated(model, neurons):
        assert_close(model.logits(batch), expected)
    with ablated(model, neurons, -0.75):
        found = model.logits(batch)
    fixed = edited_raw(hf, batch, site, 1, columns, lambda x: torch.full_like(x, -0.75))
    assert_close(found, fixed)
    if (architecture, site) != ("gpt2", "k"):  # there a constant shifts all scores alike
        assert (expected - fixed).abs().max() > 1e-3
    with steered(model, neurons, 1.0):  # CULNIG's "enhance": twice the raw projection
        found = model.logits(batch)
    assert_close(found, edited_raw(hf, batch, site, 1, columns, lambda x: 2 * x))


@each_architecture
def test_gate_post_and_act_at_zero_are_one(architecture):
    model = lens(architecture)
    batch = batch_of(model)
    logits = []
    for site in ("act", "gate", "post"):
        with ablated(model, Neurons.of({site: [(1, 3), (2, 5)]})):
            logits.append(model.logits(batch))
    assert_close(logits[1], logits[0])
    assert_close(logits[2], logits[0])


@each_architecture
def test_fixed_values_and_means(architecture):
    model, hf = lens(architecture), raw(architecture)
    batch = batch_of(model)
    values = torch.randn(N_LAYERS, D_MLP, generator=torch.Generator().manual_seed(0))
    places = NEURONS.places["act"]
    mean = Neurons(NEURONS.places, {}, {"act": values[places[:, 0], places[:, 1]].double()})

    handles = []
    for i, layer in enumerate(reference.decoder_layers(hf)):

        def put(module, args, output, i=i):
            output = output.clone()
            output[..., CHOSEN[i]] = values[i, CHOSEN[i]]
            return output

        handles.append(reference.activation_module(layer).register_forward_hook(put))
    try:
        expected = reference_logits(hf, batch, {})
    finally:
        for handle in handles:
            handle.remove()
    with ablated(model, NEURONS, {"act": values}):
        assert_close(model.logits(batch), expected)
    with ablated(model, mean, "mean"):
        assert_close(model.logits(batch), expected)
    with ablated(model, mean):
        assert relative(model.logits(batch), expected) > 1e-5


@pytest.mark.slow
def test_smollm2_ablated_and_steered(smollm2):
    from transformers import AutoModelForCausalLM

    from culture_lens.models.checkpoints import embedded_path

    hf = AutoModelForCausalLM.from_pretrained(embedded_path("smollm2-135m"), dtype=torch.float32)
    questions = sorted(load_benchmark("everyday", cultures="Japan"), key=lambda q: len(q.text))[:3]
    batch = collate(build_prompts(questions, smollm2.tokenizer, style="cloze"), smollm2.pad_id)
    source = torch.Generator().manual_seed(0)
    chosen = {
        layer: torch.randperm(1536, generator=source)[:30].tolist() for layer in range(0, 30, 3)
    }
    neurons = Neurons.of({"act": [(layer, i) for layer, row in chosen.items() for i in row]})
    plain = smollm2.logits(batch)
    for context, scale in ((ablated(smollm2, neurons), 0.0), (steered(smollm2, neurons, 0.5), 1.5)):
        with context:
            found = smollm2.logits(batch)
        expected = reference_logits(hf.eval(), batch, chosen, scale)
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert (found - plain).abs().max() > 1e-2


# ------------------------------------------------------------------ care


def test_edits_return_new_tensors():
    activation = torch.randn(2, 3, 4)
    before = activation.clone()
    mask, value = torch.tensor([[True, False, False, True]]), torch.ones(1, 4)
    for edit in (replaced, scaled):
        out = edit_hook(edit, mask, value * 3)(activation, None)
        assert out.shape == activation.shape and not torch.equal(out, activation)
        assert torch.equal(activation, before)
    heads = edit_hook(replaced, mask, value)(activation.reshape(2, 3, 2, 2), None)
    assert (
        heads.shape == (2, 3, 2, 2)
        and heads[..., 1, 1].eq(1).all()
        and heads[..., 0, 0].eq(1).all()
    )


def test_no_neurons_change_nothing():
    model = lens("llama")
    batch = batch_of(model)
    plain = model.logits(batch)
    for nobody in (Neurons.of({}), Neurons.of({"act": []}), [Neurons.of({})] * 5):
        with ablated(model, nobody):
            assert torch.equal(model.logits(batch), plain)


def test_nothing_stays_after_an_exception_and_blocks_nest():
    model = lens("llama")
    batch = batch_of(model)
    plain = model.logits(batch)
    with pytest.raises(KeyboardInterrupt), ablated(model, NEURONS):
        raise KeyboardInterrupt
    assert torch.equal(model.logits(batch), plain)
    with ablated(model, NEURONS | OTHERS):
        both = model.logits(batch)
    with ablated(model, NEURONS):
        outer = model.logits(batch)
        with ablated(model, OTHERS):
            assert_close(model.logits(batch), both)
        assert torch.equal(model.logits(batch), outer)
    assert torch.equal(model.logits(batch), plain)


def test_one_hook_for_each_site_and_layer_in_use():
    model = lens("llama")
    hooks = ablation_hooks(model, [NEURONS, Neurons.of({"q": [(1, 0)], "act": [(1, 3)]})])
    names = sorted(name for name, _ in hooks)
    expected = [model.hook_name("act", i) for i in range(3)] + [model.hook_name("q", 1)]
    assert names == sorted(expected)


def test_values_that_are_refused():
    model = lens("llama")
    with pytest.raises(
        InputError, match="ablation value 'median': use 'zero', 'mean', 'double', a number"
    ):
        ablation_hooks(model, NEURONS, "median")
    with pytest.raises(InputError, match="no means were recorded for site 'act'.*magnitudes=True"):
        ablation_hooks(model, NEURONS, "mean")
    with pytest.raises(InputError, match="'act'"):
        ablation_hooks(model, NEURONS, {"q": torch.zeros(3, 32)})
    with pytest.raises(InputError, match="'act'"):
        ablation_hooks(model, NEURONS, {"act": torch.zeros(3, 7)})


@pytest.mark.parametrize("place", [(3, 0), (0, 48)])
def test_neurons_outside_the_model_are_refused(place):
    with pytest.raises(InputError, match="site 'act' lie outside 'tiny-llama'.*another model"):
        ablation_hooks(lens("llama"), Neurons.of({"act": [(0, 0), place]}))


@pytest.mark.parametrize("place", [(-1, 0), (0, -1)])
def test_neurons_below_0_cannot_even_be_named(place):
    with pytest.raises(InputError, match=r"places\['act'\]\[1\]=-1: give a whole number"):
        Neurons.of({"act": [(0, 0), place]})


def test_sites_outside_the_model_are_refused():
    with pytest.raises(InputError, match="another model than 'tiny-gpt2': unknown site 'up'"):
        ablation_hooks(lens("gpt2"), Neurons.of({"up": [(0, 0)]}))
