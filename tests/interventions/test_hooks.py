"""Ablated and steered neurons: the logits of the reference, rows of their own, nothing left."""

import pytest
import torch

from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import SCORINGS
from culture_lens.interventions.hooks import (
    ablated,
    ablation_hooks,
    edit_hook,
    enhance,
    replaced,
    scaled,
    steered,
    suppress,
)
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.prompts.batches import build_prompts, collate
from culture_lens.questions.question import Question
from tests.conftest import lens, raw, toy_questions
from tests.helpers import reference
from tests.helpers.tiny import ARCHITECTURES, D_MLP, N_LAYERS

CHOSEN = {0: [1, 7, 40], 1: [3, 5], 2: [0, 47]}
NEURONS = Neurons.of({"act": [(layer, i) for layer, row in CHOSEN.items() for i in row]})
OTHERS = Neurons.of({"act": [(0, 2), (1, 3), (1, 9)]})


def batch_of(model, n=5, style="choices"):
    return collate(build_prompts(toy_questions()[:n], model.tokenizer, style=style), model.pad_id)


def reference_logits(hf, batch, chosen, scale=0.0):
    return reference.ablated_logits(hf, batch.input_ids, batch.attention_mask, chosen, scale)[:, -1]


def edited_raw(hf, batch, site, layer, columns, edit):
    """Last logits of the raw model with an edit of some columns of a raw module's output."""
    module, places = reference.site_module(hf, reference.decoder_layers(hf)[layer], site)

    def hook(module, args, output):
        output = output.clone()
        view = output[..., places]
        view[..., columns] = edit(view[..., columns])
        return output

    handle = module.register_forward_hook(hook)
    try:
        return reference_logits(hf, batch, {})
    finally:
        handle.remove()


def close(found, expected):
    return (found - expected).abs().max() <= 1e-5 * expected.abs().max()


# ------------------------------------------------------------------ against the reference


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_silenced_neurons(architecture):
    model, hf = lens(architecture), raw(architecture)
    batch = batch_of(model)
    plain = model.logits(batch)
    with ablated(model, NEURONS) as inside:
        assert inside is model
        found = model.logits(batch)
    expected = reference_logits(hf, batch, CHOSEN)
    assert close(found, expected)
    assert (found - plain).abs().max() > 1e-2
    assert torch.equal(model.logits(batch), plain)


@pytest.mark.parametrize("alpha", [0.5, -0.5, 2.0])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_steered_neurons(architecture, alpha):
    model, hf = lens(architecture), raw(architecture)
    batch = batch_of(model)
    plain = model.logits(batch)
    with steered(model, NEURONS, alpha):
        found = model.logits(batch)
    assert close(found, reference_logits(hf, batch, CHOSEN, scale=1 + alpha))
    assert (found - plain).abs().max() > 1e-2


def test_steering_by_minus_one_is_silencing_and_the_default_is_a_half():
    model = lens("llama")
    batch = batch_of(model)
    with ablated(model, NEURONS):
        after_ablation = model.logits(batch)
    with steered(model, NEURONS, -1.0):
        assert close(model.logits(batch), after_ablation)
    with steered(model, NEURONS):
        half = model.logits(batch)
    with steered(model, NEURONS, 0.5):
        assert torch.equal(model.logits(batch), half)


@pytest.mark.parametrize("site", ["gate", "up", "q", "k", "v"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_site_is_edited_where_the_raw_module_is(architecture, site):
    model, hf = lens(architecture), raw(architecture)
    if site not in model.widths:
        return
    batch, columns = batch_of(model), [0, 3, 15]
    neurons = Neurons.of({site: [(1, i) for i in columns]})
    expected = edited_raw(hf, batch, site, 1, columns, torch.zeros_like)
    with ablated(model, neurons):
        assert close(model.logits(batch), expected)
    with ablated(model, neurons, -0.75):
        found = model.logits(batch)
    fixed = edited_raw(hf, batch, site, 1, columns, lambda x: torch.full_like(x, -0.75))
    assert close(found, fixed)
    if (architecture, site) != ("gpt2", "k"):  # there a constant shifts all scores alike
        assert (expected - fixed).abs().max() > 1e-3
    with steered(model, neurons, 1.0):  # CULNIG's "enhance": twice the raw projection
        found = model.logits(batch)
    assert close(found, edited_raw(hf, batch, site, 1, columns, lambda x: 2 * x))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gate_post_and_act_at_zero_are_one(architecture):
    model = lens(architecture)
    batch = batch_of(model)
    logits = []
    for site in ("act", "gate", "post"):
        with ablated(model, Neurons.of({site: [(1, 3), (2, 5)]})):
            logits.append(model.logits(batch))
    assert close(logits[1], logits[0]) and close(logits[2], logits[0])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
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
        assert close(model.logits(batch), expected)
    with ablated(model, mean, "mean"):
        assert close(model.logits(batch), expected)
    with ablated(model, mean):
        assert not close(model.logits(batch), expected)


def test_smollm2_silenced_and_steered(smollm2):
    from transformers import AutoModelForCausalLM

    from culture_lens.models.load import embedded_path

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


# ------------------------------------------------------------------ rows of their own


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_row_has_its_own_neurons(architecture):
    model, hf = lens(architecture), raw(architecture)
    batch = batch_of(model, 4)
    rows = [NEURONS, Neurons.of({}), OTHERS, Neurons.of({"q": [(1, 3)], "act": [(2, 2)]})]
    with ablated(model, rows):
        found = model.logits(batch)
    for row, neurons in enumerate(rows):
        with ablated(model, neurons):
            assert close(found[row], model.logits(batch)[row])
    assert close(found[0], reference_logits(hf, batch, CHOSEN)[0])
    assert close(found[1], reference_logits(hf, batch, {})[1])
    with steered(model, rows, 1.5):
        found = model.logits(batch)
    assert close(found[0], reference_logits(hf, batch, CHOSEN, 2.5)[0])
    assert close(found[1], reference_logits(hf, batch, {})[1])


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_rows_of_their_own_under_option_likelihood(architecture):
    """Options are run as continuations of their row, under that row's neurons."""
    model = lens(architecture)
    rows = [NEURONS, OTHERS, Neurons.of({})]
    asked = (
        toy_questions()[:1]
        + toy_questions()[6:7]
        + [  # of other numbers and lengths
            Question(
                "x", "Japan", "Which drink?", ("tea", "A", "coffee with sugar in the morning"), 0
            )
        ]
    )
    batch = collate(build_prompts(asked, model.tokenizer, style="cloze"), model.pad_id)
    score = SCORINGS["option_likelihood"].answers
    with ablated(model, rows):
        together = score(model, batch)
    for row, neurons in enumerate(rows):
        with ablated(model, neurons):
            alone = score(model, collate([batch.prompts[row]], model.pad_id))[0]
        assert together[row].scores == pytest.approx(alone.scores, abs=1e-4)


@pytest.mark.parametrize(("masks", "rows"), [(3, 2), (3, 4), (2, 3), (2, 4)])
def test_as_many_rows_as_the_batch_has(masks, rows):
    """Two sets on four rows could only be a mistake: which row has which?"""
    model = lens("llama")
    with ablated(model, [NEURONS, OTHERS, NEURONS][:masks]):
        with pytest.raises(InputError, match="rows"):
            model.logits(batch_of(model, rows))


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
            assert close(model.logits(batch), both)
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


@pytest.mark.parametrize("place", [(3, 0), (0, 48), (-1, 0), (0, -1)])
def test_neurons_outside_the_model_are_refused(place):
    with pytest.raises(InputError, match="site 'act' lie outside 'tiny-llama'.*another model"):
        ablation_hooks(lens("llama"), Neurons.of({"act": [(0, 0), place]}))


def test_sites_outside_the_model_are_refused():
    with pytest.raises(InputError, match="'up'.*'tiny-gpt2'"):
        ablation_hooks(lens("gpt2"), Neurons.of({"up": [(0, 0)]}))


# ------------------------------------------------------------------ suppress and enhance (CULNIG)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
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
        assert close(found, expected) and not close(found, plain)
    assert not model.is_hooked
    with enhance(model, neurons, factor=3.0):
        found = model.logits(batch)
    assert close(found, edited_raw(hf, batch, site, 1, columns, lambda n: 3.0 * n))


def test_twice_the_raw_gate_is_not_twice_its_activation():
    model = lens("llama")
    batch = batch_of(model)
    places = [(1, 3), (2, 7)]
    with enhance(model, Neurons.of({"gate": places})):
        raw_twice = model.logits(batch)
    with steered(model, Neurons.of({"act": places}), alpha=1.0):
        act_twice = model.logits(batch)
    assert not close(raw_twice, act_twice)


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


def test_neurons_below_the_first_layer_are_refused():
    with pytest.raises(InputError, match="lie outside"):
        ablation_hooks(lens("llama"), Neurons.of({"act": [(-1, 0)]}))
