"""Predicted effects equal a plain computation on the raw model, and what small edits really do."""

import functools

import numpy as np
import pytest
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix, predicted_effects
from culture_lens.interventions.hooks import ablated, steered
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from tests.helpers import reference
from tests.helpers.forwards import rows_refused_beyond
from tests.helpers.gold import gold_tokens
from tests.helpers.lm import exact, exact_raw, lens
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import lengthened, toy_questions
from tests.helpers.tiny import D_MLP, N_LAYERS

PLACES = [(0, 1), (0, 7), (1, 3), (1, 11), (2, 0), (2, 15)]
OTHERS = [(0, 2), (1, 4), (2, 9)]
SETS = [
    Neurons.of({"gate": PLACES}),
    Neurons.of({"gate": OTHERS[:2], "v": OTHERS}),
    Neurons.of({"q": PLACES, "k": OTHERS, "v": [(1, 0)]}),
    Neurons.of({}),
    Neurons.of({"act": PLACES}),
    Neurons.of({"z": PLACES, "gate": [(2, 40)]}),
]


def prompts_of(model, questions=None):
    return build_prompts(questions or toy_questions(), model.tokenizer)


def effects_of(model, sets, prompts=None, batch_size=None, **options):
    """P(gold) and predicted changes of each set, item x set."""
    prompts, running = prompts or prompts_of(model), Running(batch_size, progress=False)
    return predicted_effects(model, prompts, sets, running=running, **options)


def p_gold(model, prompts):
    """P(gold) of prompts one by one, under the hooks of the moment, in the model's own dtype."""
    gold = gold_tokens(prompts, model.processor)
    rows = [model.logits(collate([prompt], model.pad_id))[0].softmax(-1) for prompt in prompts]
    return torch.stack([p[gold[q.question.id]] for p, q in zip(rows, prompts, strict=True)])


# ------------------------------------------------------------------ against the raw model


def slope_of(hf, ids, gold, neurons):
    """P(gold), and its derivative by a factor in front of all the neurons, where it is 1.

    Forward hooks on the raw modules, and autograd of P itself; a factor is shared by all tokens.
    """
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    layers = reference.decoder_layers(hf)
    members = {}
    for site, layer, index in neurons.members():
        members.setdefault((site, layer), []).append(index)
    running, handles = [], []

    def multiply(output, columns):
        output = output.clone()
        output[..., columns] = output[..., columns] * factor
        return output

    def edit_output(module, args, output, site, layer, first):
        if site != "act" or running[-1] == layer:
            return multiply(output, [first + index for index in members[site, layer]])
        return output

    def edit_input(module, args, layer):
        return (multiply(args[0], members["z", layer]), *args[1:])

    for position, block in enumerate(layers):
        handles.append(
            block.mlp.register_forward_pre_hook(lambda m, a, i=position: running.append(i))
        )
    for site, layer in members:
        block = layers[layer]
        if site == "z":
            out = block.attn.c_proj if hasattr(block, "attn") else block.self_attn.o_proj
            hook = functools.partial(edit_input, layer=layer)
            handles.append(out.register_forward_pre_hook(hook))
            continue
        module, columns = reference.site_module(hf, block, site)
        hook = functools.partial(edit_output, site=site, layer=layer, first=columns.start or 0)
        handles.append(module.register_forward_hook(hook))
    try:
        with torch.enable_grad():
            p = hf(input_ids=torch.tensor([list(ids)])).logits[0, -1].softmax(-1)[gold]
            slope = torch.autograd.grad(p, factor)[0] if members else torch.zeros(())
    finally:
        for handle in handles:
            handle.remove()
    return p.item(), slope.item()


@pytest.mark.parametrize("factor", [0.0, 2.0, 0.5])
@pytest.mark.parametrize(
    "architecture", mostly_slow(["llama", "phi3", "gpt2", "qwen3"], fast=["llama"])
)
def test_predictions_equal_the_plain_computation(architecture, factor):
    model, hf = exact(architecture), exact_raw(architecture)
    prompts = prompts_of(model)[::3]
    gold = gold_tokens(prompts, model.processor)
    found_p, found = effects_of(model, SETS, prompts, factor=factor)
    assert found.shape == (len(prompts), len(SETS)) and found.dtype == torch.float64
    for row, prompt in enumerate(prompts):
        for column, neurons in enumerate(SETS):
            p, slope = slope_of(hf, prompt.ids, gold[prompt.question.id], neurons)
            assert found_p[row].item() == pytest.approx(p, rel=1e-9)
            expected = (factor - 1) * slope
            assert found[row, column].item() == pytest.approx(expected, rel=1e-9, abs=1e-16)
    assert (found[:, 3] == 0).all()
    assert (found[:, [0, 1, 2, 4, 5]] != 0).all()


@pytest.mark.parametrize("architecture", mostly_slow(["llama", "phi3", "gpt2"], fast=["llama"]))
def test_predictions_agree_with_small_edits(architecture):
    """Attribution against ablation: nothing of autograd, the neurons are really scaled."""
    model = exact(architecture)
    alpha = 2.0**-20  # about 1e-6, and exact in float32, in which hooks hold their factors
    prompts = prompts_of(model)[::5]
    _, predicted = effects_of(model, SETS, prompts, factor=1 + alpha)
    before = p_gold(model, prompts)
    for column, neurons in enumerate(SETS):
        with steered(model, neurons, alpha):
            measured = p_gold(model, prompts) - before
        expected = predicted[:, column].numpy()
        scale = np.abs(expected).max()
        np.testing.assert_allclose(measured.numpy(), expected, rtol=1e-4, atol=1e-4 * scale)
    assert torch.equal(p_gold(model, prompts), before)


def test_a_whole_edit_is_another_thing_than_a_small_one():
    """What fidelity is for: the model is not linear over the whole way to 0."""
    model = exact("llama")
    prompts = prompts_of(model)
    _, predicted = effects_of(model, SETS[:1], prompts)
    with ablated(model, SETS[0]):
        after_ablation = p_gold(model, prompts)
    measured = after_ablation - p_gold(model, prompts)
    assert (measured - predicted[:, 0]).abs().max() > 1e-3 * measured.abs().max()


# ------------------------------------------------------------------ what must hold


def test_a_union_is_the_sum_of_its_parts():
    model = exact("llama")
    one, other = Neurons.of({"gate": PLACES}), Neurons.of({"gate": OTHERS, "k": PLACES})
    _, found = effects_of(model, [one, other, one | other])
    torch.testing.assert_close(found[:, 2], found[:, 0] + found[:, 1], rtol=1e-12, atol=1e-18)


def test_sets_may_share_neurons_and_do_not_touch_each_other():
    model = exact("llama")
    wide = Neurons.of({"gate": PLACES + OTHERS})
    _, together = effects_of(model, [SETS[0], wide, SETS[2]])
    for column, neurons in enumerate((SETS[0], wide, SETS[2])):
        _, alone = effects_of(model, [neurons])
        torch.testing.assert_close(together[:, column], alone[:, 0], rtol=1e-12, atol=1e-18)


def test_doubling_is_minus_ablating():
    model = lens("llama")
    p, after_ablation = effects_of(model, SETS)
    same, doubled = effects_of(model, SETS, factor=2.0)
    assert torch.equal(doubled, -after_ablation) and torch.equal(p, same)
    _, nothing = effects_of(model, SETS, factor=1.0)
    assert not nothing.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", mostly_slow(["llama", "phi3", "gpt2", "gemma3"], fast=["llama"])
)
def test_batches_order_and_padding_do_not_matter(architecture):
    model = exact(architecture)
    prompts = prompts_of(model, lengthened(toy_questions(), times=9))
    p, effects = effects_of(model, SETS, prompts, batch_size=1)
    for batch_size in (3, 16):
        turned_p, turned = effects_of(model, SETS, prompts[::-1], batch_size=batch_size)
        torch.testing.assert_close(turned_p.flip(0), p, rtol=1e-9, atol=0)
        scale = effects.abs().max().item()
        torch.testing.assert_close(turned.flip(0), effects, rtol=1e-9, atol=1e-12 * scale)


def test_a_batch_is_halved_where_memory_runs_out(monkeypatch):
    model = exact("llama")
    _, whole = effects_of(model, SETS)
    rows = []
    refuse = rows_refused_beyond(5, LensModel.differentiable_logits, rows)
    monkeypatch.setattr(LensModel, "differentiable_logits", refuse)
    with pytest.warns(CultureLensWarning, match="out of memory"):
        _, halved = effects_of(model, SETS)
    assert sum(rows) == 16 and max(rows) <= 5
    torch.testing.assert_close(halved, whole, rtol=1e-9, atol=1e-16)


def test_half_precision_stays_near():
    p, effects = effects_of(lens("llama"), SETS[:3])
    half_p, half = effects_of(lens("llama", torch.bfloat16), SETS[:3])
    assert half.dtype == half_p.dtype == torch.float64
    assert np.corrcoef(half.flatten(), effects.flatten())[0, 1] > 0.9


def test_nothing_is_left_on_the_model():
    model = lens("llama")
    batch = collate(prompts_of(model), model.pad_id)
    before = model.logits(batch)
    effects_of(model, SETS)
    assert torch.equal(model.logits(batch), before) and not model.is_hooked


@pytest.mark.parametrize("sets", [[], [Neurons.of({})], [Neurons.of({}), Neurons.of({"gate": []})]])
def test_sets_without_neurons_are_refused(sets):
    with pytest.raises(InputError, match="none of the sets has a neuron"):
        effects_of(lens("llama"), sets)


# ------------------------------------------------------------------ the matrix


def found_on(model, groups=(), name=None):
    neurons = {"Japan": SETS[0], "Mexico": SETS[1], "Iran": Neurons.of({})}
    shapes = {site: (N_LAYERS, model.widths[site]) for site in ("gate", "v")}
    known = {"model": name or model.name, "selector": "made", "groups": list(groups)}
    return NeuronSet(neurons, shapes, known)


def test_the_matrix_holds_the_effects():
    model = lens("llama")
    questions = toy_questions()
    matrix = predicted_ablation_matrix(model, found_on(model), questions, progress=False)
    prompts = prompts_of(model)
    p, effects = effects_of(model, [SETS[0], SETS[1]])
    assert matrix.masks == ("Iran", "Japan", "Mexico")
    assert matrix.cultures == ("Ethiopia", "France", "Japan", "Mexico")
    for column, mask in enumerate(("Japan", "Mexico")):
        part = matrix.frame[matrix.frame["mask"] == mask]
        assert list(part["id"]) == [prompt.question.id for prompt in prompts]
        assert list(part["group"]) == [prompt.question.group for prompt in prompts]
        np.testing.assert_array_equal(part["p_gold"], p)
        np.testing.assert_array_equal(part["predicted"], effects[:, column])
        for culture in matrix.cultures:
            rows = [i for i, prompt in enumerate(prompts) if prompt.question.culture == culture]
            expected = effects[rows, column].mean().item()
            assert matrix.table().loc[mask, culture] == pytest.approx(expected, rel=1e-12)
    assert (matrix.table().loc["Iran"] == 0).all()
    assert matrix.metadata["neurons"] == {"Japan": 6, "Mexico": 5, "Iran": 0}
    assert matrix.metadata["items"] == 16 and matrix.metadata["model"] == "tiny-llama"


def test_the_matrix_asks_what_the_measured_one_asks():
    model = lens("llama")
    found, questions = found_on(model, groups=["food", "sport"]), toy_questions()
    predicted = predicted_ablation_matrix(model, found, questions, progress=False)
    measured = ablation_matrix(
        model, found, questions, scoring="letter", random_seeds=0, progress=False
    )
    assert set(predicted.frame["id"]) == set(measured.frame["id"])
    assert set(predicted.frame["group"]) == {"drink", "city"}
    base = measured.frame[measured.frame["condition"] == "unmodified"].set_index("id")["p_gold"]
    for _, row in predicted.frame.iterrows():
        assert row["p_gold"] == pytest.approx(base[row["id"]], rel=1e-4)


def test_seen_questions_are_asked_with_a_warning():
    model = lens("llama")
    found = found_on(model, groups=["food"])
    with pytest.warns(CultureLensWarning, match="4 of the 16 items"):
        matrix = predicted_ablation_matrix(model, found, toy_questions(), seen=True, progress=False)
    assert matrix.metadata["items"] == 16 and matrix.metadata["seen"] is True


def test_nothing_unseen_is_refused():
    model = lens("llama")
    found = found_on(model, groups=["food", "sport", "drink", "city"])
    with pytest.raises(InputError, match="every question was used"):
        predicted_ablation_matrix(model, found, toy_questions(), progress=False)


def test_another_model_is_refused():
    model = lens("llama")
    with pytest.raises(InputError, match="found on 'other'"):
        predicted_ablation_matrix(model, found_on(model, name="other"), toy_questions())
    wide = NeuronSet({"Japan": SETS[0]}, {"gate": (N_LAYERS, D_MLP + 1)})
    with pytest.raises(InputError, match="layers of 49"):
        predicted_ablation_matrix(model, wide, toy_questions())


def test_the_sum_of_scores_is_the_effect_weighted_by_p():
    """Attribution with aggregation="sum" is P times minus the effect of ablating that neuron."""
    model = exact("llama")
    questions = toy_questions(cultures=["Japan"])
    scores = attribute(model, questions, sites="gate", aggregation="sum", progress=False)
    p, effects = effects_of(
        model, [Neurons.of({"gate": [place]}) for place in PLACES], prompts_of(model, questions)
    )
    expected = -(p[:, None] * effects).sum(0)
    found = torch.stack([scores.scores["gate"][0][place] for place in PLACES])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-18)
