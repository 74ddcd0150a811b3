"""Every score of a model written by hand is the one on paper: see ``tests/helpers/on_paper.py``."""

import math
from dataclasses import replace

import pytest
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.question import control_twin
from tests.helpers.on_paper import (
    D_A,
    D_B,
    D_TWIN,
    P_A,
    P_B,
    P_TWIN,
    SITES,
    TWIN,
    TWIN_A,
    TWIN_B,
    WORDS,
    A,
    B,
    D,
    L,
    P,
    hand_written_model,
    on_paper,
    on_paper_twin,
    question,
)
from tests.helpers.words import word_tokenizer


@pytest.fixture(scope="module")
def model():
    return load_model("by-hand", hf_model=hand_written_model(), tokenizer=word_tokenizer(WORDS))


def assert_is(scores, culture, expected):
    """The neurons named have these scores, to 1e-9; all others have exactly 0."""
    row = scores.cultures.index(culture)
    rest = {
        (site, *place) for site in SITES for place in scores.scores[site][row].nonzero().tolist()
    }
    for (site, layer, index), value in expected.items():
        found = scores.scores[site][row, layer, index].item()
        assert found == pytest.approx(value, rel=1e-9, abs=1e-14), (site, layer, index)
    assert rest <= set(expected), "a neuron that does nothing has a score"


def scored(model, questions, **options):
    return attribute(model, questions, sites=SITES, progress=False, **options)


def test_words_are_tokens_and_probabilities_are_as_on_paper(model):
    texts = ("coin Kenya", "coin of Kenya today", "Kenya")
    prompts = build_prompts([question(text, A) for text in texts], model.tokenizer)
    words = "coin of Kenya today A. red B. blue Answer:".split()
    assert model.tokenizer.convert_ids_to_tokens(list(prompts[1].ids)) == words
    twin = build_prompts([control_twin(question("Kenya", A))], model.tokenizer)
    assert model.tokenizer.convert_ids_to_tokens(list(twin[0].ids)) == TWIN
    found = model.logits(collate([*prompts, *twin], model.pad_id)).softmax(-1)[:, [1, 2]]
    expected = torch.tensor([[P_A, P_B]] * 3 + [[TWIN_A, TWIN_B]], dtype=torch.float64)
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)


def test_the_paper_agrees_with_itself():
    """Nudge y by hand: the slopes of P; and weights of all words sum to 1."""

    def p(y, gold):
        g = 2 * y
        a, b = 5 / 9 * g / (1 + math.exp(-g)), -2 * y
        return math.exp((a, b)[gold]) / (math.exp(a) + math.exp(b) + 10)

    h = 1e-5
    for gold in (A, B):
        for y, slope in ((L, D[gold]), (-L / 2, D_TWIN[gold])):
            assert (p(y + h, gold) - p(y - h, gold)) / (2 * h) == pytest.approx(slope, rel=1e-8)
    words = "coin Kenya A. red B. blue Answer:".split()
    for gold in (A, B):
        assert sum(on_paper(words, gold)["v", 1, 0]) == pytest.approx(L * D[gold])
        queries = on_paper(words, gold)["q", 1, 1]
        assert sum(on_paper(words, gold)["k", 1, 1]) == pytest.approx(sum(queries))


AGGREGATE = {"maximum": max, "sum": sum, "last": lambda scores: scores[-1]}


@pytest.mark.parametrize("aggregation", AGGREGATE)
@pytest.mark.parametrize("gold", [A, B])
@pytest.mark.parametrize("text", ["coin Kenya", "Kenya", "coin of Kenya today"])
def test_every_score_is_the_one_on_paper(model, text, gold, aggregation):
    words = [*text.split(), *TWIN]
    expected = {
        neuron: P[gold] * AGGREGATE[aggregation](scores)
        for neuron, scores in on_paper(words, gold).items()
    }
    assert_is(scored(model, [question(text, gold)], aggregation=aggregation), "here", expected)


@pytest.mark.parametrize("aggregation", AGGREGATE)
@pytest.mark.parametrize("gold", [A, B])
def test_every_score_of_a_control_twin_is_the_one_on_paper(model, gold, aggregation):
    expected = {
        neuron: max(0.0, P_TWIN[gold] * AGGREGATE[aggregation](scores))
        for neuron, scores in on_paper_twin(gold).items()
    }
    found = scored(model, [question("coin Kenya", gold)], aggregation=aggregation, control=True)
    assert_is(found, "here", expected)


def test_numbers_worked_out_to_the_end(model):
    """P = 27/118 = 0.2288, D = 0.2191 for A and -0.0192 for B; T = 21 words' weight, L = 1.0986."""
    found = scored(model, [question("coin Kenya", A), question("coin Kenya", B, "there")]).scores
    assert D_A == pytest.approx(0.2191079, abs=1e-7) and D_B == pytest.approx(-0.0191707, abs=1e-7)
    # A: the maximum of v is at Kenya, 28/21 L D; of q at any word but the last, where it is -8/7
    # L^2 D; of the second gate at red, the heaviest word.
    assert found["v"][0, 1, 0].item() == pytest.approx(27 / 118 * 28 / 21 * L * D_A, rel=1e-12)
    assert found["v"][0, 1, 0].item() == pytest.approx(0.0734384, abs=1e-7)
    assert found["q"][0, 1, 1].item() == 0
    assert found["gate"][0, 0, 1].item() == pytest.approx(0.0401179, abs=1e-7)
    # B: P falls with y. v is highest at red, 12/21 L; q at the last word; and the second gate is
    # negative at every word, so its maximum is, too: nothing is clamped here.
    assert found["v"][1, 1, 0].item() == pytest.approx(1 / 118 * 12 / 21 * L * -D_B, rel=1e-12)
    assert found["q"][1, 1, 1].item() == pytest.approx(1 / 118 * 8 / 7 * L**2 * -D_B, rel=1e-12)
    assert found["gate"][1, 0, 1].item() == pytest.approx(
        1 / 118 * L * (1 + L / 4) * D_B / 21, rel=1e-12
    )
    assert found["gate"][1, 0, 1].item() < 0


def test_maximum_sum_and_last_tell_the_tokens_apart(model):
    """v on `coin Kenya`, over L D P / 21: Kenya 28, red -12, five other words 1 each."""
    unit = L * D_A / 21 * P_A
    for aggregation, value in (("maximum", 28), ("sum", 28 - 12 + 5), ("last", 1)):
        found = scored(model, [question("coin Kenya", A)], aggregation=aggregation)
        assert found.scores["v"][0, 1, 0].item() / unit == pytest.approx(value, rel=1e-9)


def test_each_item_weighs_by_its_own_confidence(model):
    """A and B of one culture: 27/118 of the one plus 1/118 of the other, and nothing divided."""
    both = [question("coin Kenya", A), question("coin Kenya", B)]
    found = scored(model, both)
    by_word = [max(on_paper([*"coin Kenya".split(), *TWIN], gold)["v", 1, 0]) for gold in (A, B)]
    expected = 27 / 118 * by_word[0] + 1 / 118 * by_word[1]
    assert found.scores["v"][0, 1, 0].item() == pytest.approx(expected, rel=1e-9)
    for wrong in (sum(by_word), 28 / 118 * sum(by_word), 14 / 118 * sum(by_word), expected / 2):
        assert wrong != pytest.approx(expected, rel=0.01)


def test_control_items_are_clamped_one_by_one_and_task_items_never(model):
    """The second gate of layer 0, on twins: positive for A, negative for B."""
    a, b = question("coin Kenya", A), question("coin Kenya", B)
    paper = [
        {neuron: P_TWIN[gold] * max(scores) for neuron, scores in on_paper_twin(gold).items()}
        for gold in (A, B)
    ]
    first = ("gate", 0, 1)
    assert paper[0][first] > 0 > paper[1][first]
    kept = scored(model, [a, b], control=True).scores["gate"][0, 0, 1].item()
    assert kept == pytest.approx(paper[0][first], rel=1e-9)
    assert kept > 1.01 * (paper[0][first] + paper[1][first]), "clamping the sum gives less"
    alone = scored(model, [b], control=True).scores["gate"][0, 0, 1].item()
    assert alone == 0
    # The same prompt asked as a task, without a question in it, is not clamped.
    asked = scored(model, [replace(b, text=" ")]).scores["gate"][0, 0, 1].item()
    assert asked == pytest.approx(paper[1][first], rel=1e-9) and asked < 0


def test_clamping_comes_after_the_tokens_are_joined(model):
    """The sum over tokens of v on a twin, gold A: red -12, others 4, so -8 before the clamp."""
    found = scored(model, [question("Kenya", A)], aggregation="sum", control=True).scores["v"][
        0, 1, 0
    ]
    assert sum(on_paper_twin(A)["v", 1, 0]) == pytest.approx(-8 * L * D_TWIN[A] / 16)
    assert found.item() == 0
    found = scored(model, [question("Kenya", B)], aggregation="sum", control=True).scores["v"][
        0, 1, 0
    ]
    assert found.item() == pytest.approx(TWIN_B * 8 * L * -D_TWIN[B] / 16, rel=1e-9)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_padding_and_batches_change_nothing_on_paper(model, batch_size):
    texts = ("Kenya", "coin Kenya", "coin of Kenya", "of of of coin coin Kenya today today today")
    items = [(text, gold) for text in texts for gold in (A, B)]
    found = scored(model, [question(text, gold) for text, gold in items], batch_size=batch_size)
    expected = {}
    for text, gold in items:
        for neuron, scores in on_paper([*text.split(), *TWIN], gold).items():
            expected[neuron] = expected.get(neuron, 0.0) + P[gold] * max(scores)
    assert_is(found, "here", expected)


def test_confidence_and_right_answers_are_told(model):
    """A is the likeliest word with a question, B without; the other words have 9/118 each."""
    both = [
        question("coin Kenya", A, "a"),
        question("coin Kenya", B, "b"),
        question("of Kenya", A, "a"),
    ]
    told = scored(model, both).metadata
    assert told["right"] == {"a": 2, "b": 0} and told["items"] == {"a": 2, "b": 1}
    assert told["p_gold"] == pytest.approx({"a": 54 / 118, "b": 1 / 118}, rel=1e-12)
    told = scored(model, both, control=True).metadata
    assert told["right"] == {"a": 0, "b": 1}
    assert told["p_gold"] == pytest.approx({"a": 2 * TWIN_A, "b": TWIN_B}, rel=1e-12)


def test_cultures_are_summed_by_themselves(model):
    rows = [question("coin Kenya", A, "here", n) for n in range(3)]
    rows += [question("Kenya", B, "there", n) for n in range(2)]
    found = scored(model, rows)
    assert found.cultures == ("here", "there")
    for culture, text, gold, n in (("here", "coin Kenya", A, 3), ("there", "Kenya", B, 2)):
        paper = on_paper([*text.split(), *TWIN], gold)
        assert_is(found, culture, {x: n * P[gold] * max(s) for x, s in paper.items()})
