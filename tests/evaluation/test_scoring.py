"""Answers read from a model: letters and option likelihoods, against the plain reference."""

import math

import numpy as np
import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import SCORINGS, get_scoring
from culture_lens.interventions.hooks import ablated
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import NO_OPTION, continuation_ids, joined, label_ids
from culture_lens.prompts.batches import batches, collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import PromptFormat, Question, with_format
from tests.helpers import reference
from tests.helpers.lm import each_architecture, lens, raw, raw_logits, wide_gemma3
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_tokenizer

LONG_HEAD = PromptFormat(cloze="People of many countries answer questions like this.\n{question}")


def mixed_questions():
    """Prompts of mixed length; two to five options, of one token and of many."""
    return [
        Question("a", "Japan", "Food in Japan?", ("rice", "noodles and soup with bread"), 1),
        Question("b", "Mexico", "Which sport do people in Mexico play in the morning and in the "
                 "evening, and where do people play it?", ("A", "soccer", "tea"), 0),
        Question("c", "France", "Capital?", ("Paris", "Addis Ababa", "Tokyo", "Mexico City",
                 "the capital of the country, which is Paris, France"), 0),
        Question("d", "Ethiopia", "Which drink is popular?", ("B", "C"), 1),
        Question("e", "Japan", "Which drink do people in Japan drink with the new year festival?",
                 ("tea", "coffee with sugar", "milk", "é日本"), 0),
    ]  # fmt: skip


def options_of(prompt, tokenizer):
    return [
        continuation_ids(prompt, joined(prompt, option), tokenizer)
        for option in prompt.question.options
    ]


def check_likelihoods(model, hf, work, neurons=None):
    """Every score of every batch against the reference, one whole sequence at a time."""
    lengths = set()
    for batch in work:
        total = SCORINGS["option_likelihood_sum"].answers(model, batch)
        mean = SCORINGS["option_likelihood"].answers(model, batch)
        for prompt, by_sum, by_mean in zip(batch.prompts, total, mean, strict=True):
            options = options_of(prompt, model.tokenizer)
            assert list(prompt.continuations) == options
            expected = [
                reference.option_log_likelihood(hf, prompt.ids, ids)
                if neurons is None
                else ablated_log_likelihood(hf, prompt.ids, ids, neurons)
                for ids in options
            ]
            per_token = [e / len(ids) for e, ids in zip(expected, options, strict=True)]
            lengths |= {len(ids) for ids in options}
            assert len(by_sum.scores) == len(by_mean.scores) == len(prompt.question.options)
            assert by_sum.scores == pytest.approx(expected, rel=1e-5, abs=5e-5)
            assert by_mean.scores == pytest.approx(per_token, rel=1e-5, abs=5e-5)
            assert by_sum.prediction == int(np.argmax(expected))
            assert by_mean.prediction == int(np.argmax(per_token))
            for answer, scores in ((by_sum, expected), (by_mean, per_token)):
                weights = np.exp(np.array(scores) - max(scores))
                gold = weights[prompt.question.answer] / weights.sum()
                assert answer.p_gold == pytest.approx(gold, rel=1e-3, abs=1e-5)
    return lengths


def ablated_log_likelihood(hf, context, option, chosen):
    ids = torch.tensor([[*context, *option]])
    logits = reference.ablated_logits(hf, ids, torch.ones_like(ids), chosen)[0].double()
    logs = logits.log_softmax(-1)
    return sum(logs[len(context) + i - 1, token].item() for i, token in enumerate(option))


# ------------------------------------------------------------------ likelihood


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@each_architecture
def test_likelihoods_equal_the_reference(architecture, batch_size):
    model, hf = lens(architecture), raw(architecture)
    prompts = build_prompts(mixed_questions(), model.tokenizer, style="cloze")
    assert len({len(prompt.ids) for prompt in prompts}) == 5
    lengths = check_likelihoods(model, hf, batches(prompts, batch_size, model.pad_id))
    assert 1 in lengths and max(lengths) > 10


@each_architecture
def test_likelihoods_where_every_option_is_one_token(architecture):
    model, hf = lens(architecture), raw(architecture)
    asked = [
        Question("a", "Japan", "Which?", ("A", "B"), 0),
        Question("b", "Peru", "Which food do people in Peru eat?", ("C", "D", "E"), 2),
    ]
    prompts = build_prompts(asked, model.tokenizer, style="cloze")
    assert check_likelihoods(model, hf, [collate(prompts, model.pad_id)]) == {1}


@each_architecture
def test_likelihoods_behind_a_prefix_that_was_run_once(architecture):
    if architecture == "gemma3":
        from culture_lens.models.load import load_model

        hf = wide_gemma3()
        model = load_model("wide", hf_model=wide_gemma3(), tokenizer=tiny_tokenizer("gemma3"))
    else:
        model, hf = lens(architecture), raw(architecture)
    questions = with_format(mixed_questions(), LONG_HEAD)
    prompts = build_prompts(questions, model.tokenizer, style="cloze")
    work = batches(prompts, 3, model.pad_id, share_prefix=model.can_share_prefix(prompts))
    assert all(batch.prefix_length > 8 for batch in work if len(batch.prompts) > 1)
    assert len(check_likelihoods(model, hf, work)) > 2


@each_architecture
def test_likelihoods_under_ablation(architecture):
    model, hf = lens(architecture), raw(architecture)
    chosen = {0: [1, 7], 1: [3, 5, 8], 2: [40]}
    neurons = Neurons.of({"act": [(layer, i) for layer, row in chosen.items() for i in row]})
    prompts = build_prompts(mixed_questions(), model.tokenizer, style="cloze")
    with ablated(model, neurons):
        check_likelihoods(model, hf, [collate(prompts, model.pad_id)], neurons=chosen)


# ------------------------------------------------------------------ letters


@each_architecture
def test_letters_equal_the_reference(architecture):
    model, hf = lens(architecture), raw(architecture)
    prompts = build_prompts(mixed_questions(), model.tokenizer)
    batch = collate(prompts, model.pad_id)
    among = SCORINGS["letter_options"].answers(model, batch)
    whole = SCORINGS["letter"].answers(model, batch)
    for prompt, options, letter in zip(prompts, among, whole, strict=True):
        logits, labels = raw_logits(hf, prompt).double(), list(label_ids(prompt, model.processor))
        gold = prompt.question.answer
        assert len(labels) == len(prompt.question.options)
        for answer in (options, letter):
            assert answer.scores == pytest.approx(logits[labels].tolist(), rel=1e-4, abs=1e-4)
        assert options.prediction == int(logits[labels].argmax())
        assert options.p_gold == pytest.approx(float(logits[labels].softmax(-1)[gold]), rel=1e-3)
        assert letter.p_gold == pytest.approx(float(logits.softmax(-1)[labels[gold]]), rel=1e-3)
        best = int(logits.argmax())
        assert letter.prediction == (labels.index(best) if best in labels else NO_OPTION)


def with_logits(monkeypatch, model, logits):
    monkeypatch.setattr(type(model), "logits", lambda self, batch, *cache: logits)


def test_letter_wants_the_label_over_the_whole_vocabulary(monkeypatch):
    model = lens("llama")
    prompts = build_prompts(toy_questions()[:3], model.tokenizer)
    labels = label_ids(prompts[0], model.processor)
    logits = torch.zeros(3, 400)
    logits[0, labels[2]] = 5  # the label wins
    logits[1, 17], logits[1, labels[1]] = 9, 5  # another token wins
    logits[2, :] = -1.0
    logits[2, [labels[1], labels[3]]] = 2  # a tie goes to the first option
    with_logits(monkeypatch, model, logits)
    batch = collate(prompts, model.pad_id)
    letter = SCORINGS["letter"].answers(model, batch)
    assert [a.prediction for a in letter] == [2, NO_OPTION, 1]
    among = SCORINGS["letter_options"].answers(model, batch)
    assert [a.prediction for a in among] == [2, 1, 1]
    gold = prompts[1].question.answer
    weights = [math.exp(5 if i == 1 else 0) for i in range(4)]
    assert among[1].p_gold == pytest.approx(weights[gold] / sum(weights), rel=1e-5)
    total = 398 + math.exp(9) + math.exp(5)
    assert letter[1].p_gold == pytest.approx(weights[gold] / total, rel=1e-5)


def test_a_label_that_is_not_one_token_is_refused():
    model = lens("llama")
    options = tuple(f"option {i}" for i in range(6))
    asked = Question("six", "Japan", "?", options, 0, prompt=PromptFormat(label_form="space"))
    batch = collate(build_prompts([asked], model.tokenizer), model.pad_id)
    with pytest.raises(InputError, match="'six': the label 'F' is not one token"):
        SCORINGS["letter"].answers(model, batch)


def test_truncated_prompts_are_scored_behind_what_is_left():
    model, hf = lens("llama"), raw("llama")
    prompts = build_prompts(mixed_questions(), model.tokenizer, style="cloze")
    room = max(len(prompt.ids) for prompt in prompts) - 5
    with pytest.warns(UserWarning, match="truncated"):
        cut = build_prompts(
            mixed_questions(), model.tokenizer, style="cloze", context=room, too_long="truncate"
        )
    for before, after in zip(prompts, cut, strict=True):
        assert isinstance(after, Prompt)
        assert options_of(after, model.tokenizer) == options_of(before, model.tokenizer)
    check_likelihoods(model, hf, [collate(cut, model.pad_id)])


def test_names():
    assert get_scoring("letter").style == "choices"
    assert get_scoring("option_likelihood").style == "cloze"
    with pytest.raises(InputError, match="unknown scoring 'letters': did you mean 'letter'"):
        get_scoring("letters")
