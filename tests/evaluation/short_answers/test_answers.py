"""Short answers scored: by hand, and what tiny models write."""

import pandas as pd
import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation import generation
from culture_lens.evaluation.short_answers.answers import (
    ShortAnswers,
    evaluate_short_answers,
    first_line,
    score_answers,
)
from culture_lens.evaluation.short_answers.matching import HumanAnswer, words_of
from culture_lens.evaluation.short_answers.questions import ANSWER_INSTRUCTIONS, load_short_answers
from culture_lens.neurons.neurons import Neurons
from culture_lens.statistics.estimates import mean_estimate
from tests.helpers.lm import lens
from tests.helpers.marks import QUIET
from tests.helpers.short_answers import short

NEURONS = Neurons.of({"act": [(layer, i) for layer in range(3) for i in range(0, 48, 2)]})


# ------------------------------------------------------------------ scores


def test_scores_by_hand():
    """Q1 4 votes tea, 1 milk; Q2 2 votes rice and cake each."""
    drink = (HumanAnswer(("tea",), 4), HumanAnswer(("milk",), 1))
    food = (HumanAnswer(("rice",), 2), HumanAnswer(("cake",), 2))
    questions = [
        short("a", answers=drink, group="drink"),
        short("b", "US", answers=drink, group="drink"),
        short("c", answers=food, group="food"),
        short("d", "US", answers=food, group="food", wording=1),
    ]
    written = {
        "a": "\n The milk.\nQuestion: what else do they drink?",
        "b": "They drink tea or milk",
        "c": "Cake",
        "d": "steak\ncake",
    }
    answers = ShortAnswers(score_answers(questions, written))
    frame = answers.frame
    assert frame["answer"].tolist() == ["The milk.", "They drink tea or milk", "Cake", "steak"]
    assert frame["written"].tolist() == list(written.values())
    assert frame["exact"].tolist() == [1, 0, 1, 0]
    assert frame["exact_weight"].tolist() == [0.25, 0.0, 1.0, 0.0]
    assert frame["contained"].tolist() == [1, 1, 1, 0]
    assert frame["contained_weight"].tolist() == [0.25, 1.0, 1.0, 0.0]
    groups = ["drink", "drink", "food", "food"]
    assert answers.accuracy() == mean_estimate([1, 0, 1, 0], groups)
    assert answers.accuracy(weighted=True) == mean_estimate([0.25, 0.0, 1.0, 0.0], groups)
    assert answers.accuracy("contained", weighted=True).value == 2.25 / 4
    by = answers.by(matching="contained", weighted=True)
    assert by["UK"].value == 1.25 / 2 and by["US"].value == 1 / 2
    assert answers.by("wording")["1"].value == 0


def test_scores_refuse_what_they_cannot_read():
    with pytest.raises(InputError, match="no output for question '1'"):
        score_answers([short()], {})
    answers = ShortAnswers(score_answers([short()], {"1": "milk"}))
    with pytest.raises(InputError, match="unknown matching 'exactly': did you mean 'exact'"):
        answers.accuracy("exactly")
    with pytest.raises(InputError, match="unknown column 'country'"):
        answers.by("country")


def test_the_first_line_that_holds_anything():
    assert first_line("") == "" == first_line(" \n\t\n")
    assert first_line("\r\n tea \r\nmilk") == "tea"


# ------------------------------------------------------------------ models


def test_the_frame_says_what_was_asked(small):
    model, questions = lens("llama", torch.float64), load_short_answers(small)
    found = evaluate_short_answers(model, questions, max_new_tokens=5, **QUIET)
    assert found.frame["id"].tolist() == [q.id for q in questions]
    for column in ("culture", "group", "category", "language", "wording"):
        assert found.frame[column].tolist() == [getattr(q, column) for q in questions]
    assert found.metadata["model"] == "tiny-llama" and found.metadata["ablated"] == 0
    assert found.metadata["max_new_tokens"] == 5
    assert set(found.by()) == {"UK", "Spain"}


@pytest.mark.slow
def test_a_model_is_right_where_people_wrote_what_it_writes(small):
    """Its own first words, and those under ablation, taken for human answers."""
    model, (question,) = lens("llama", torch.float64), [short()]
    plain = evaluate_short_answers(model, [question], **QUIET).frame["answer"][0]
    after_ablation = evaluate_short_answers(model, [question], NEURONS, **QUIET).frame["answer"][0]
    assert (
        words_of(plain) != words_of(after_ablation) and words_of(plain) and words_of(after_ablation)
    )
    humans = (HumanAnswer((plain,), 3), HumanAnswer((after_ablation,), 1))
    asked = [short(answers=humans)]
    assert evaluate_short_answers(model, asked, **QUIET).accuracy(weighted=True).value == 1
    masked = evaluate_short_answers(model, asked, NEURONS, **QUIET)
    assert masked.accuracy().value == 1 and masked.accuracy(weighted=True).value == 1 / 3
    assert masked.metadata["ablated"] == 72


@pytest.mark.slow
def test_batch_size_and_order_do_not_matter(small):
    model, questions = lens("qwen2", torch.float64), load_short_answers(small)
    expected = evaluate_short_answers(model, questions, NEURONS, **QUIET).frame
    for size in (1, 5):
        found = evaluate_short_answers(
            model, questions[::-1], NEURONS, batch_size=size, **QUIET
        ).frame
        pd.testing.assert_frame_equal(found[::-1].reset_index(drop=True), expected)


def test_the_prompt_holds_question_and_instruction_and_no_option(small, monkeypatch):
    seen = []

    def keep(model, prompts, *args, **options):
        seen.extend(prompts)
        return {prompt.question.id: "tea" for prompt in prompts}

    monkeypatch.setattr("culture_lens.evaluation.short_answers.answers.write_answers", keep)
    questions = load_short_answers(small, regions=["UK"], wordings=[1])
    assert evaluate_short_answers(lens("llama"), questions, **QUIET).accuracy().value == 0.5
    for prompt, question in zip(seen, questions, strict=True):
        assert f"{question.text} {ANSWER_INSTRUCTIONS[1]}" in prompt.text
        assert prompt.text.count("\n") == 4  # those of the chat template


@pytest.mark.slow
def test_an_interrupted_run_goes_on_with_the_next_culture(small, tmp_path, monkeypatch):
    model, questions = lens("llama", torch.float64), load_short_answers(small)
    expected = evaluate_short_answers(model, questions, **QUIET).frame
    real_tokens, calls = generation.greedy_tokens, []

    def dies(model, batch, length):
        calls.append(batch.prompts[0].question.culture)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real_tokens(model, batch, length)

    monkeypatch.setattr(generation, "greedy_tokens", dies)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        evaluate_short_answers(model, questions, run=folder, **QUIET)
    found = evaluate_short_answers(model, questions, run=folder, **QUIET).frame
    pd.testing.assert_frame_equal(found, expected)
    assert calls == ["Spain", "UK", "UK"]
    evaluate_short_answers(model, questions, run=folder, **QUIET)
    assert len(calls) == 3


def test_parquet_is_readable_without_the_package(small, tmp_path):
    answers = evaluate_short_answers(lens("llama"), load_short_answers(small), **QUIET)
    frame = pd.read_parquet(answers.to_parquet(tmp_path / "deep" / "a.parquet"))
    pd.testing.assert_frame_equal(frame, answers.frame, check_dtype=False)
    again = ShortAnswers.from_parquet(tmp_path / "deep" / "a.parquet")
    assert again.accuracy() == answers.accuracy() and again.metadata["model"] == "tiny-llama"


def test_bad_input_of_the_evaluation(small, monkeypatch):
    model, questions = lens("llama"), load_short_answers(small)
    with pytest.raises(InputError, match="there are no questions"):
        evaluate_short_answers(model, [], **QUIET)
    with pytest.raises(InputError, match="occurs twice"):
        evaluate_short_answers(model, questions[:1] * 2, **QUIET)
    with pytest.raises(InputError, match="max_new_tokens must be at least 1"):
        evaluate_short_answers(model, questions, max_new_tokens=0, **QUIET)
    with pytest.raises(InputError, match="prompts do not fit the context of 512"):
        evaluate_short_answers(model, questions, max_new_tokens=500, **QUIET)
    with (
        pytest.warns(CultureLensWarning, match="left out"),
        pytest.raises(InputError, match="every question was too long"),
    ):
        evaluate_short_answers(model, questions, max_new_tokens=500, too_long="skip", **QUIET)


def test_a_missing_stemmer_is_named_before_the_model_runs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "snowballstemmer", None)
    monkeypatch.setattr(generation, "greedy_tokens", None)
    with pytest.raises(InputError, match="pip install snowballstemmer"):
        evaluate_short_answers(lens("llama"), [short()], stem=True, **QUIET)
