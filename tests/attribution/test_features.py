"""Attribution to features: the raw model's gradients, and completeness with the error and b_dec."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from culture_lens.attribution.item_scores import item_scores
from culture_lens.attribution.settings import Attribution
from culture_lens.models.attach import with_features
from culture_lens.prompts.batches import collate
from tests.helpers.closeness import relative
from tests.helpers.gold import gold_tokens
from tests.helpers.lm import exact, exact_raw, prompts_of
from tests.helpers.sae import plain_features, random_sae, stream_edited, tensors

HOOK, LAYER = "blocks.1.hook_resid_post", 1
SUMMED = Attribution(objective="log_probability", scoring="letter", aggregation="sum")


def by_hand(hf, ids, gold, held, bias=True):
    """f dF/df, e dF/dx, b_dec dF/dx and x dF/dx, summed over tokens, of F = log P(gold)."""
    seen = {}

    def add(x):
        seen["x"] = x.detach().requires_grad_(True)
        seen["f"] = plain_features(held, seen["x"].detach())
        seen["more"] = torch.zeros_like(seen["f"], requires_grad=True)
        return seen["x"] + seen["more"] @ held["W_dec"]

    with stream_edited(hf, LAYER, add), torch.enable_grad():
        logits = hf(input_ids=torch.tensor([ids])).logits[0, -1]
        score = torch.log_softmax(logits, -1)[gold]
        of_features, of_x = torch.autograd.grad(score, [seen["more"], seen["x"]])
    x, f = seen["x"].detach(), seen["f"]
    error = x - f @ held["W_dec"] - held["b_dec"]
    parts = {"features": (f * of_features).sum((0, 1))}
    parts |= {"error": (error * of_x).sum(), "bias": (held["b_dec"] * of_x).sum()}
    return parts | {"all": (x * of_x).sum()}


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_gradients_and_completeness(architecture):
    model = with_features(exact(architecture), random_sae(HOOK))
    hf, held = exact_raw(architecture), tensors()
    prompts = prompts_of(model)[:4]
    gold = gold_tokens(prompts, model.processor)
    sites = ["sae", "sae_error", "resid"]
    scores = item_scores(model, collate(prompts, model.pad_id), sites, SUMMED).scores
    for row, prompt in enumerate(prompts):
        expected = by_hand(hf, prompt.ids, gold[prompt.question.id], held)
        features, error = scores["sae"][row, LAYER], scores["sae_error"][row, LAYER]
        assert relative(features, expected["features"]) < 1e-8
        assert relative(error, expected["error"][None]) < 1e-8
        total = features.sum() + error.sum() + expected["bias"]
        assert abs(float(total - expected["all"])) < 1e-9
        assert abs(float(scores["resid"][row, LAYER].sum() - expected["all"])) < 1e-9
        assert not scores["sae"][row, [0, 2]].any()


def test_gradients_below_are_those_of_the_model():
    """An attribution to features changes none to neurons beside it, in earlier layers too."""
    plain, model = exact("llama"), with_features(exact("llama"), random_sae(HOOK))
    batch = collate(prompts_of(model)[:2], model.pad_id)
    alone = item_scores(plain, batch, ["act"], SUMMED).scores["act"]
    beside = item_scores(model, batch, ["act", "sae"], SUMMED).scores["act"]
    assert relative(beside, alone) < 1e-9


@pytest.mark.slow
def test_integrated_gradients_are_complete():
    """Over features and error from 0, at one layer after another, where b_dec is what is left."""
    sae = random_sae(HOOK)
    model = with_features(exact("llama"), sae)
    batch = collate(prompts_of(model)[:2], model.pad_id)
    gaps = []
    for points in (3, 30):
        how = replace(SUMMED, path="integrated", points=points)
        found = item_scores(model, batch, ["sae", "sae_error"], how)
        assert (found.change.abs() > 0.1).all()
        gaps.append(float((found.gap.abs() / found.change.abs()).max()))
    assert gaps[1] < 1e-2 and gaps[1] < gaps[0] / 10


@pytest.mark.parametrize("style", ["choices", "cloze"])
def test_one_stream_is_attributed_alike_where_it_leaves_a_layer_and_enters_the_next(style):
    """Gradients begin where the stream enters the lowest layer, at which it may also be read."""
    reads = "letter" if style == "choices" else "option_likelihood"
    how, model = replace(SUMMED, scoring=reads), exact("llama")
    batch = collate(prompts_of(model, style)[:4], model.pad_id)

    def scores(hook, layer):
        sites = ["sae", "sae_error"]
        found = item_scores(with_features(model, random_sae(hook)), batch, sites, how).scores
        return torch.cat([found[site][:, layer] for site in sites], 1)

    entering, leaving = scores("blocks.1.hook_resid_pre", 1), scores("blocks.0.hook_resid_post", 0)
    assert leaving.abs().max() > 0 and torch.allclose(entering, leaving, rtol=1e-9)
    assert scores("blocks.0.hook_resid_pre", 0).abs().max() > 0


@pytest.mark.parametrize("style", ["choices", "cloze"])
def test_no_graph_is_kept_below_the_lowest_layer(style):
    reads = "letter" if style == "choices" else "option_likelihood"
    how, model = replace(SUMMED, scoring=reads), exact("llama")
    batch = collate(prompts_of(model, style)[:4], model.pad_id)
    grown = set()

    def note(activation, hook, layer):
        if activation.requires_grad:
            grown.add(layer)

    places = [(model.hook_name("post", n), partial(note, layer=n)) for n in range(3)]
    with model.hooks(places):
        part = item_scores(with_features(model, random_sae(HOOK)), batch, ["sae"], how)
    assert grown == {1, 2} and part.scores["sae"][:, 1].abs().max() > 0
    with model.hooks(places):
        item_scores(model, batch, ["act"], how)
    assert grown == {0, 1, 2}
