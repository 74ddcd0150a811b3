"""One record per item, the same whatever the batches; intervals by question group."""

from bisect import bisect_right

import pandas as pd
import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate, prepare
from culture_lens.evaluation.evaluation import Evaluation
from culture_lens.evaluation.scoring import SCORINGS
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import continuation_ids, joined, label_ids
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.speed import Speed
from culture_lens.questions.question import PromptFormat, Question, with_format
from culture_lens.statistics.estimates import mean_estimate
from tests.helpers import reference
from tests.helpers.forwards import rows_refused_beyond
from tests.helpers.lm import each_architecture, lens, raw
from tests.helpers.marks import QUIET, mostly_slow
from tests.helpers.questions import toy_questions

CHOSEN = {0: [1, 7, 40], 1: [3, 5], 2: [0, 47]}
NEURONS = Neurons.of({"act": [(layer, i) for layer, row in CHOSEN.items() for i in row]})


def same(one: pd.DataFrame, other: pd.DataFrame, tolerance=1e-5):
    """Equal records: predictions the same, scores to a tolerance."""
    plain = [c for c in one.columns if c not in ("scores", "p_gold")]
    assert list(one.columns) == list(other.columns)
    pd.testing.assert_frame_equal(one[plain], other[plain])
    for a, b in zip(one["scores"], other["scores"], strict=True):
        assert list(a) == pytest.approx(list(b), abs=tolerance)
    assert one["p_gold"].tolist() == pytest.approx(other["p_gold"].tolist(), abs=tolerance)


# ------------------------------------------------------------------ records


@pytest.mark.parametrize("neurons", [None, NEURONS])
@each_architecture
def test_predictions_equal_the_reference(architecture, neurons):
    model, hf = lens(architecture), raw(architecture)
    questions, chosen = toy_questions(), CHOSEN if neurons else {}
    frame = evaluate(
        model, questions, neurons, scoring="letter_options", batch_size=5, **QUIET
    ).frame
    for record, prompt in zip(
        frame.to_dict("records"), build_prompts(questions, model.tokenizer), strict=True
    ):
        ids = torch.tensor([prompt.ids])
        logits = reference.ablated_logits(hf, ids, torch.ones_like(ids), chosen)[0, -1]
        labels = logits[list(label_ids(prompt, model.processor))]
        assert record["prediction"] == int(labels.argmax())
        assert record["scores"] == pytest.approx(labels.tolist(), abs=1e-3)
        assert record["p_gold"] == pytest.approx(
            float(labels.softmax(-1)[prompt.question.answer]), abs=1e-3
        )


def test_likelihood_records_equal_the_reference():
    model, hf = lens("llama"), raw("llama")
    questions = toy_questions(topics=2)
    frame = evaluate(model, questions, batch_size=3, **QUIET).frame
    for record, prompt in zip(
        frame.to_dict("records"),
        build_prompts(questions, model.tokenizer, style="cloze"),
        strict=True,
    ):
        options = [
            continuation_ids(prompt, joined(prompt, o), model.processor)
            for o in prompt.question.options
        ]
        logs = [reference.option_log_likelihood(hf, prompt.ids, ids) / len(ids) for ids in options]
        assert record["scores"] == pytest.approx(logs, abs=1e-4)
        assert record["prediction"] == logs.index(max(logs))


def test_columns_and_order():
    questions = toy_questions()[::-1]
    frame = evaluate(lens("llama"), questions, **QUIET).frame
    assert frame["id"].tolist() == [q.id for q in questions]
    for column in ("culture", "group", "category"):
        assert frame[column].tolist() == [getattr(q, column) for q in questions]
    assert frame["gold"].tolist() == [q.answer for q in questions]
    assert frame["correct"].tolist() == (frame["prediction"] == frame["gold"]).tolist()
    assert frame["p_gold"].between(0, 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("scoring", SCORINGS)
def test_batch_size_and_order_do_not_matter(scoring):
    model = lens("qwen2", torch.float64)
    head = PromptFormat(
        layout="Read and choose well.\n{question}\n{options}", cloze="Answer well.\n{question}"
    )
    questions = with_format(toy_questions(), head)
    expected = evaluate(model, questions, NEURONS, scoring=scoring, batch_size=16, **QUIET).frame
    for batch_size in (1, 5):
        found = evaluate(
            model, questions[::-1], NEURONS, scoring=scoring, batch_size=batch_size, **QUIET
        ).frame
        same(found[::-1].reset_index(drop=True), expected)
    alone = [evaluate(model, [q], NEURONS, scoring=scoring, **QUIET).frame for q in questions[:4]]
    same(pd.concat(alone, ignore_index=True), expected[:4])


def test_the_default_scoring_is_the_models():
    model = lens("llama")
    evaluation = evaluate(model, toy_questions(), NEURONS, **QUIET)
    assert evaluation.metadata["scoring"] == model.scoring == "option_likelihood"
    assert evaluation.metadata["ablated"] == 7 and evaluation.metadata["model"] == "tiny-llama"


def test_ablation_changes_answers_and_nothing_stays():
    model = lens("llama")
    base = evaluate(model, toy_questions(), **QUIET).frame
    many = Neurons.of({"act": [(layer, i) for layer in range(3) for i in range(40)]})
    after_ablation = evaluate(model, toy_questions(), many, **QUIET).frame
    assert (after_ablation["prediction"] != base["prediction"]).any()
    same(evaluate(model, toy_questions(), **QUIET).frame, base, 0)


# ------------------------------------------------------------------ accuracy


def records(correct, groups, cultures, n_options=4):
    return Evaluation(
        pd.DataFrame(
            {
                "id": [str(i) for i in range(len(correct))],
                "culture": cultures,
                "group": groups,
                "category": ["x"] * len(correct),
                "correct": [bool(c) for c in correct],
                "scores": [[0.0] * n_options] * len(correct),
            }
        )
    )


def test_accuracy_is_clustered_by_question_group():
    correct = [1, 1, 0, 0, 1, 1, 0, 1]
    groups = ["a", "a", "b", "b", "c", "c", "d", "d"]
    evaluation = records(correct, groups, ["Japan", "Peru"] * 4)
    assert evaluation.accuracy() == mean_estimate(correct, groups)
    assert evaluation.accuracy().value == 5 / 8
    # a and c are right and b wrong as a whole: wider than eight items of their own
    loose = mean_estimate(correct, range(8))
    assert evaluation.accuracy().high - evaluation.accuracy().low > loose.high - loose.low
    by = evaluation.by()
    assert list(by) == ["Japan", "Peru"]
    assert by["Japan"] == mean_estimate([1, 0, 1, 0], list("abcd"))
    assert by["Peru"].value == 3 / 4
    assert list(evaluation.by("category")) == ["x"]


def test_chance_is_the_mean_of_one_over_the_options():
    frame = records([1, 0], ["a", "b"], ["x", "y"]).frame
    frame["scores"] = [[0.0, 0.0], [0.0] * 5]
    assert Evaluation(frame).chance() == pytest.approx((1 / 2 + 1 / 5) / 2)


def test_parquet_is_readable_without_the_package(tmp_path):
    evaluation = evaluate(lens("llama"), toy_questions(), **QUIET)
    frame = pd.read_parquet(evaluation.to_parquet(tmp_path / "deep" / "e.parquet"))
    same(frame, evaluation.frame, 0)
    again = Evaluation.from_parquet(tmp_path / "deep" / "e.parquet")
    same(again.frame, evaluation.frame, 0)
    assert again.metadata["model"] == "tiny-llama"
    assert again.metadata["scoring"] == "option_likelihood"


# ------------------------------------------------------------------ going on


@pytest.mark.parametrize("scoring", ["letter", "option_likelihood"])
def test_out_of_memory_halves_and_says_so(monkeypatch, scoring):
    model = lens("llama", torch.float64)
    options = {"scoring": scoring, "batch_size": 4, "speed": Speed(trees=False), **QUIET}
    expected = evaluate(model, toy_questions(), **options).frame
    method = "logits" if scoring == "letter" else "continuation_log_probs"
    rows: list[int] = []
    monkeypatch.setattr(LensModel, method, rows_refused_beyond(2, getattr(LensModel, method), rows))
    with pytest.warns(CultureLensWarning, match="out of memory at 4 rows.*2 rows") as warned:
        found = evaluate(model, toy_questions(), **options).frame
    assert len(warned) == 1 and rows == [2] * 8
    same(found, expected)


# ------------------------------------------------------------------ what is refused


def test_questions_are_checked():
    model = lens("llama")
    with pytest.raises(InputError, match="there are no questions"):
        evaluate(model, [])
    with pytest.raises(InputError, match="occurs twice"):
        evaluate(model, toy_questions()[:1] * 2)
    with pytest.raises(InputError, match="unknown scoring 'letters'"):
        evaluate(model, toy_questions(), scoring="letters")
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        evaluate(model, toy_questions(), batch_size=0, **QUIET)
    evaluate(model, toy_questions()[:1], **QUIET)  # one culture can be evaluated


def long_question(words, options=("tea", "coffee"), name="long"):
    return Question(name, "Japan", "people " * words + "?", tuple(options), 0)


def test_too_long_for_the_context():
    model = lens("llama")
    questions = [*toy_questions()[:3], long_question(600)]
    with pytest.raises(InputError, match="1 of 4 prompts.*'long'.*too_long='skip' or 'truncate'"):
        evaluate(model, questions, **QUIET)
    with pytest.warns(CultureLensWarning, match="1 of 4 prompts.*left out"):
        left = evaluate(model, questions, too_long="skip", **QUIET).frame
    assert left["id"].tolist() == [q.id for q in questions[:3]]
    with pytest.warns(CultureLensWarning, match="truncated"):
        cut = evaluate(model, questions, too_long="truncate", **QUIET).frame
    assert len(cut) == 4 and cut["p_gold"].between(0, 1).all()
    with (
        pytest.warns(CultureLensWarning),
        pytest.raises(InputError, match="every question was too"),
    ):
        evaluate(model, questions[3:], too_long="skip", **QUIET)


@pytest.mark.parametrize("architecture", mostly_slow(["llama", "gpt2"], fast=["gpt2"]))
def test_a_long_option_does_not_run_over_the_context(architecture):
    """The prompt fits, and so does the room kept for an answer, but this option does not."""
    model = lens(architecture)

    def tokens(words):
        return len(build_prompts([long_question(words)], model.tokenizer, style="cloze")[0].ids)

    words = bisect_right(range(1, 601), model.context - 40, key=tokens)
    assert tokens(words) <= model.context - 40 < tokens(words + 1)
    asked = long_question(words, ["tea", "coffee and sugar and milk " * 12])
    with pytest.raises(InputError, match="1 of 1 prompts.*'long'"):
        evaluate(model, [asked], scoring="option_likelihood", **QUIET)


def test_neurons_of_another_model():
    with pytest.raises(InputError, match="another model"):
        evaluate(lens("llama"), toy_questions(), Neurons.of({"act": [(30, 1)]}), **QUIET)


def test_prepare_builds_what_the_scoring_needs():
    model = lens("llama")
    for name, scoring in SCORINGS.items():
        prompts, way = prepare(model, toy_questions(), name)
        assert way is scoring and {p.style for p in prompts} == {way.style}
