"""P(gold) without a neuron against plain PyTorch; predictions; which items are asked; sets."""

from functools import cache, partial

import numpy as np
import pytest
import torch

from culture_lens.cards.effects import Asking, drawn, half_of
from culture_lens.cards.neuron_card import neuron_card, neuron_cards
from culture_lens.cards.prediction import tokens_and_changes
from culture_lens.cards.tokens import token_activations
from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.predicted_effects import Prediction, predicted_effects
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.running import Running
from tests.helpers import t5, vlm
from tests.helpers.lm import exact, exact_raw, lens, prompts_of
from tests.helpers.marks import QUIET
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions
from tests.helpers.reference import ablated_logits, activation_module

PLACE = ("act", 1, 7)


@pytest.fixture(scope="module")
def card():
    asked = {"scoring": "letter", "measured": None, **QUIET}
    return neuron_card(exact("llama"), PLACE, toy_questions(), **asked)


def predicted(model, places, questions, scoring):
    """Tokens and changes, of content tokens."""
    running = Running(progress=False)
    return tokens_and_changes(model, places, questions, scoring, "content", running)


@cache
def by_hand(*neurons):
    """P(gold) and log-odds of every question by id, neurons of layer 1 at 0, in plain PyTorch."""
    model, hf, found = exact("llama"), exact_raw("llama"), {}
    for prompt in prompts_of(model):
        ids = torch.tensor([prompt.ids])
        logits = ablated_logits(hf, ids, torch.ones_like(ids), {1: list(neurons)})[0, -1]
        labels, gold = list(label_ids(prompt, model.processor)), prompt.question.answer
        others = logits[[own for at, own in enumerate(labels) if at != gold]]
        odds = logits[labels[gold]] - others.logsumexp(0)
        found[prompt.question.id] = (float(logits.softmax(-1)[labels[gold]]), float(odds))
    return found


def test_shown_items_have_p_gold_with_and_without_the_neuron(card):
    before, after = by_hand(), by_hand(7)
    assert len({item.id for item in card.items}) == len(card.items) >= 6
    for item in card.items:
        assert item.p_gold == pytest.approx(before[item.id][0], rel=1e-5)
        assert item.p_without == pytest.approx(after[item.id][0], rel=1e-5)


def test_effects_are_mean_changes_per_culture(card):
    before, after = by_hand(), by_hand(7)
    for row in card.effects[:-1]:
        own = [name for name in before if name.endswith(row.label)]
        for found, column in ((row.p_gold, 0), (row.log_odds, 1)):
            changes = [after[name][column] - before[name][column] for name in own]
            assert found.value == pytest.approx(np.mean(changes), rel=1e-4, abs=1e-9)
        assert row.items == row.predicted_items == len(own)
    assert card.effects[0].label in card.cultures and card.effects[-1].items == 12


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["letter", "option_likelihood"])
def test_predictions_are_those_of_predicted_effects(scoring):
    model = lens("llama")
    places = [PLACE, ("act", 2, 3), ("gate", 0, 5), ("act", 1, 1)]
    recorded, found = predicted(model, places, toy_questions()[::3], scoring)
    prompts = recorded.prompts
    sets = [Neurons.of({site: [(layer, index)]}) for site, layer, index in places]
    whole = predicted_effects(
        model, prompts, sets,
        prediction=Prediction("logit_difference", scoring), running=Running(progress=False),
    )  # fmt: skip
    np.testing.assert_allclose(found.sum(2), whole.changes.numpy(), atol=1e-6)
    assert np.abs(found).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "questions", "scoring"),
    [
        pytest.param(partial(lens, "llama"), toy_questions, "letter", id="letter"),
        pytest.param(partial(lens, "llama"), toy_questions, "option_likelihood", id="likelihood"),
        pytest.param(partial(t5.lens, "t5"), toy_questions, "option_likelihood", id="t5"),
        pytest.param(partial(vlm.lens, "llava"), vlm.pictured_questions, "letter", id="pictures"),
    ],
)
def test_tokens_and_answers_are_those_of_a_pass_of_their_own(load, questions, scoring):
    model, questions = load(), questions()[::3]
    site = model.default_site
    places = [(site, 0, 3), (site, 1, 5)]
    same, _ = predicted(model, places, questions, scoring)
    apart = token_activations(model, places, questions, scoring=scoring, **QUIET)
    for one, other in zip(same.items, apart.items, strict=True):
        assert one.tokens == other.tokens and (one.roles == other.roles).all()
        assert (one.counted == other.counted).all()
        np.testing.assert_allclose(one.values, other.values, atol=2e-5)
    answers = same.answers.drop(columns=["p_gold", "scores"])
    assert answers.equals(apart.answers.drop(columns=["p_gold", "scores"]))
    np.testing.assert_allclose(same.answers["p_gold"], apart.answers["p_gold"], atol=1e-5)
    for own, theirs in zip(same.answers["scores"], apart.answers["scores"], strict=True):
        np.testing.assert_allclose(own, theirs, atol=1e-4)


def test_the_parts_of_a_prediction_are_of_positive_and_of_other_tokens():
    """A neuron whose negative activations are cut off has no effect from negative tokens."""
    model = lens("llama")
    hook = model.hook_name("act", 1)
    with model.hooks([(hook, lambda activation, hook: activation.clamp(min=0))]):
        _, found = predicted(model, [PLACE], toy_questions()[:3], "letter")
    assert not found[..., 1].any() and found[..., 0].any()


def test_half_of_the_drawn_items_are_of_the_neuron_s_cultures():
    asked = toy_questions()
    own = drawn(asked, ["Japan"], 6)
    cultures = [name.split("/")[1] for name in own]
    assert cultures.count("Japan") == 3 and len(set(own)) == 6
    assert drawn(list(reversed(asked)), ["Japan"], 6) == own
    many = drawn(asked, ["Japan"], 12)
    assert len(many) == 12 and sum(name.endswith("Japan") for name in many) == 4
    assert len(drawn(asked, ["Japan"], None)) == 16 == len(drawn(asked, ["Japan"], 99))


@pytest.mark.slow
def test_the_sign_is_measured_where_there_is_an_effect(card):
    """A neuron whose negative activations alone are cut off, item by item in plain PyTorch."""
    model, hf = exact("llama"), exact_raw("llama")
    before, after = by_hand(), by_hand(7)
    own = [name for name in before if name.endswith(card.cultures[0])]
    assert card.signs.whole.value == pytest.approx(
        np.mean([after[name][1] - before[name][1] for name in own]), rel=1e-4, abs=1e-9
    )
    asking = Asking(
        model,
        token_activations(model, PLACE, toy_questions(), scoring="letter", **QUIET),
        get_scoring("letter"),
        Running(progress=False),
    )
    cut = asking.without_negative(PLACE, own)

    def clamp(module, args, output):
        output = output.clone()
        output[..., 7] = output[..., 7].clamp(min=0)
        return output

    handle = activation_module(hf.model.layers[1]).register_forward_hook(clamp)
    try:
        expected = by_hand.__wrapped__()
    finally:
        handle.remove()
    for name in own:
        assert cut.loc[name, "log_odds"] == pytest.approx(expected[name][1], abs=1e-5)
    assert not model.is_hooked


def test_half_of_all_changes():
    assert half_of(np.array([-0.1, -0.6, 0.2, 0.0])) == 1
    assert half_of(np.array([0.3, -0.3, 0.3, 0.3])) == 2 == half_of(np.zeros(4))


@pytest.mark.slow
def test_a_set_with_and_without_the_neuron_from_the_matrix_or_asked():
    model, asked = lens("llama"), toy_questions(3)
    found = found_set(groups=["drink"])
    place = sorted(found["Japan"].members())[0]
    matrix = ablation_matrix(model, found, asked, random_seeds=0, scoring="letter", **QUIET)
    options = {"found": found, "scoring": "letter", "measured": None, **QUIET}
    one = neuron_card(model, place, asked, **options)
    other = neuron_card(model, place, asked, matrix=matrix, **options)
    row = next(row for row in one.sets if row.culture == "Japan")
    assert [s.culture for s in one.sets] == list(one.cultures)
    assert row.items == 2  # the group that found the set is left out
    assert row.whole.value == pytest.approx(
        float(matrix.table("p_change").loc["Japan", "Japan"]), abs=1e-6
    )
    again = next(row for row in other.sets if row.culture == "Japan")
    assert again.whole.value == pytest.approx(row.whole.value, abs=1e-6)
    assert again.without.value == pytest.approx(row.without.value, abs=1e-6)
    options["found"] = found.renamed({"Japan": "Chad"})
    with pytest.raises(InputError, match="matrix is of other neurons"):
        neuron_card(model, place, asked, matrix=matrix, **options)


@pytest.mark.slow
def test_many_cards_are_those_of_one(card):
    places = [("act", 2, 3), PLACE]
    cards = neuron_cards(
        exact("llama"),
        places,
        toy_questions(),
        scoring="letter",
        measured=None,
        batch_size=5,
        **QUIET,
    )
    assert [own.neuron for own in cards] == places
    same = cards[PLACE]
    assert [item.id for item in same.items] == [item.id for item in card.items]
    for one, other in zip(same.effects, card.effects, strict=True):
        assert one.log_odds.value == pytest.approx(other.log_odds.value, abs=1e-9)
        assert one.predicted.value == pytest.approx(other.predicted.value, abs=1e-9)
    assert same.warnings == card.warnings
