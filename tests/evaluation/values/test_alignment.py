"""How well a model agrees with people: by hand, clustered by question, on tiny models."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import wasserstein_distance

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation import answering
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.values.alignment import (
    ValueAlignment,
    evaluate_values,
    scale_distance,
    score_values,
)
from culture_lens.evaluation.values.people import HumanValues
from culture_lens.evaluation.values.prompts import value_questions
from culture_lens.evaluation.values.wordings import OUR_PROMPTS
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.statistics.estimates import mean_estimate
from tests.helpers.lm import lens
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions
from tests.helpers.values import ASKED, HUMANS, JOBS, asked_of_cultures

NEURONS = Neurons.of({"act": [(layer, i) for layer in range(3) for i in range(0, 48, 2)]})


# ------------------------------------------------------------------ scores


def records(questions, predictions, scores=None):
    rows = zip(questions, predictions, scores or [None] * len(predictions), strict=True)
    return pd.DataFrame(
        [
            {
                "id": q.id,
                "culture": q.culture,
                "group": q.group,
                "gold": q.answer,
                "prediction": prediction,
                "correct": prediction == q.answer,
                "scores": list(given) if given is not None else [0.0] * len(q.options),
            }
            for q, prediction, given in rows
        ]
    )


def test_alignment_by_hand():
    """Peru's majorities are 1 of 1-4, 2 of 0-2 and 10 of 1-10; the model says 3, 2 and nothing."""
    questions = asked_of_cultures(cultures=["Peru"], personas=["person"], wordings=[0])
    found = ValueAlignment(score_values(records(questions, [2, 2, -1]), questions))
    frame = found.frame
    assert frame["low"].tolist() == [1, 0, 1] and frame["high"].tolist() == [4, 2, 10]
    assert frame["majority"].tolist() == [1, 2, 10]
    assert frame["chosen"].tolist()[:2] == [3, 2] and pd.isna(frame["chosen"][2])
    assert frame["alignment"].tolist() == pytest.approx([1 - 2 / 3, 1, 0])
    assert found.alignment().value == pytest.approx((1 / 3 + 1) / 3)
    assert found.answered() == pytest.approx(2 / 3)
    # guessing: (1 + 2/3 + 1/3 + 0) / 4, (0 + 1/2 + 1) / 3, (0 + 1/9 + ... + 1) / 10
    assert found.chance() == pytest.approx((0.5 + 0.5 + 0.5) / 3)


@pytest.mark.parametrize(
    ("point", "alignment"), [(5, 1), (6, 0.8), (4, 0.8), (1, 0.2), (10, 0), (9, 0.2)]
)
def test_the_farthest_point_of_a_scale_has_no_alignment(point, alignment):
    """Japan's majority is 5 on 1 to 10: 10 is 5 away, farther than 1. By hand."""
    asked = asked_of_cultures(cultures=["Japan"], personas=["person"], wordings=[0])
    free = [question for question in asked if question.group == "Q48"]
    found = score_values(records(free, [point - 1]), free)
    assert found["majority"].tolist() == [5] and found["chosen"].tolist() == [point]
    assert found["alignment"].tolist() == pytest.approx([alignment])


def test_chance_depends_on_where_the_majority_lies():
    asked = asked_of_cultures(cultures=["Japan"], personas=["person"], wordings=[0])
    middle = [question for question in asked if question.group == JOBS.id]
    found = ValueAlignment(score_values(records(middle, [0]), middle))
    assert found.chance() == pytest.approx((0 + 1 + 0) / 3)
    assert found.frame["alignment"].tolist() == [0]


def test_intervals_are_clustered_by_question():
    questions = asked_of_cultures()
    predictions = [i % len(q.options) for i, q in enumerate(questions)]
    found = ValueAlignment(score_values(records(questions, predictions), questions))
    values, groups = found.frame["alignment"].tolist(), found.frame["group"].tolist()
    assert found.alignment() == mean_estimate(values, groups)
    assert set(groups) == {"Q1", "Q122", "Q48"}
    by = found.by()
    for culture in ("Peru", "Japan"):
        inside = (found.frame["culture"] == culture).to_numpy()
        part = np.array(values)[inside].tolist()
        assert by[culture] == mean_estimate(part, np.array(groups)[inside].tolist())
    assert set(found.by("persona")) == set(OUR_PROMPTS.personas)
    assert set(found.by("wording")) == {"0", "1"}
    distances = found.by("culture", "distance")
    assert distances["Peru"].value == pytest.approx(
        found.frame.loc[found.frame["culture"] == "Peru", "distance"].mean()
    )
    with pytest.raises(InputError, match="unknown column 'country'"):
        found.by("country")
    with pytest.raises(InputError, match="unknown column 'score'"):
        found.by("culture", "score")


def test_distance_is_scipys():
    source = np.random.default_rng(0)
    for points in (2, 3, 4, 10):
        scores, votes = source.normal(size=points) * 3, source.integers(0, 9, points)
        votes[0] += 1
        shares = torch.tensor(scores).softmax(-1).numpy()
        at = np.arange(points) / (points - 1)
        expected = wasserstein_distance(at, at, shares, votes)
        found = scale_distance(scores.tolist(), votes.tolist())
        assert found == pytest.approx(expected, abs=1e-12)
    assert scale_distance([800.0, 0.0], [0, 3]) == 1.0 and scale_distance([800.0, 0.0], [3, 0]) == 0


# ------------------------------------------------------------------ models


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["letter", "letter_options", "option_likelihood_sum", "number"])
def test_records_are_those_of_an_evaluation(scoring):
    model, questions = lens("llama", torch.float64), asked_of_cultures(personas=["country"])
    found = evaluate_values(model, questions, NEURONS, scoring=scoring, **QUIET)
    asked = questions
    if scoring == "option_likelihood_sum":
        asked = [replace(q, options=tuple(f"{o}." for o in q.options)) for q in questions]
    plain = evaluate(model, asked, NEURONS, scoring=scoring, **QUIET).frame
    pd.testing.assert_frame_equal(found.frame[list(plain.columns)], plain)
    assert found.metadata == {
        "model": "tiny-llama",
        "revision": "",
        "scoring": scoring,
        "ablated": 72,
    }
    for row, question in zip(found.frame.to_dict("records"), questions, strict=True):
        farthest = max(question.answer, len(question.options) - 1 - question.answer)
        apart = abs(row["prediction"] - question.answer) / farthest
        assert row["alignment"] == pytest.approx(0 if row["prediction"] < 0 else 1 - apart)
        assert row["persona"] == question.metadata["persona"]
        if row["prediction"] >= 0:
            assert str(row["chosen"]) == question.options[row["prediction"]]


def test_letters_that_a_model_never_writes_align_with_nothing():
    found = evaluate_values(
        lens("llama", torch.float64), asked_of_cultures(), scoring="letter", **QUIET
    )
    none = found.frame["prediction"] == -1
    assert none.any() and (found.frame.loc[none, "alignment"] == 0).all()
    assert found.frame.loc[none, "chosen"].isna().all()
    assert found.answered() == pytest.approx(1 - none.mean())


def test_the_default_scoring_compares_whole_answers():
    model = lens("llama")
    assert model.scoring == "option_likelihood"
    questions = asked_of_cultures(cultures=["Peru"], personas=["person"], wordings=[0])
    found = evaluate_values(model, questions, **QUIET)
    assert found.metadata["scoring"] == "option_likelihood_sum"
    with pytest.warns(CultureLensWarning, match="favours '10'"):
        evaluate_values(model, questions, scoring="option_likelihood", **QUIET)


def test_models_that_read_letters_are_asked_for_a_number():
    model = replace_scoring(lens("llama", torch.float64), "letter")
    questions = asked_of_cultures(cultures=["Peru"], personas=["person"], wordings=[0])
    assert evaluate_values(model, questions, **QUIET).metadata["scoring"] == "number"


def replace_scoring(model, name):
    """The same model with another scoring of its own."""
    other = copy.copy(model)
    object.__setattr__(other, "scoring", name)
    return other


def test_a_models_favourite_point_aligns_fully_where_people_chose_it():
    model = lens("qwen2", torch.float64)
    questions = asked_of_cultures(personas=["person"], wordings=[0])
    base = evaluate_values(model, questions, **QUIET)
    votes = {
        culture: {
            group: tuple(int(i == point) for i in range(len(part.iloc[0]["scores"])))
            for group, part in rows.groupby("group")
            for point in part["prediction"]
        }
        for culture, rows in base.frame.groupby("culture")
    }
    one = {"wordings": [0], "least_answers": 1}
    agreed = value_questions(ASKED, HumanValues(votes), personas=["person"], **one)
    assert evaluate_values(model, agreed, **QUIET).alignment().value == 1
    after_ablation = evaluate_values(model, agreed, NEURONS, **QUIET)
    assert after_ablation.alignment().value < 1
    assert evaluate_values(model, agreed, **QUIET).alignment().value == 1  # nothing stays


@pytest.mark.slow
def test_batch_size_and_order_do_not_matter():
    model, questions = lens("qwen2", torch.float64), asked_of_cultures(personas=["person"])
    expected = evaluate_values(model, questions, NEURONS, batch_size=16, **QUIET).frame
    plain = [c for c in expected.columns if c not in ("scores", "p_gold", "distance")]
    for size in (1, 5):
        found = evaluate_values(model, questions[::-1], NEURONS, batch_size=size, **QUIET).frame
        found = found[::-1].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[plain], expected[plain])
        assert found["distance"].tolist() == pytest.approx(expected["distance"].tolist(), abs=1e-6)


def test_a_run_is_found_again_and_other_answers_of_people_are_scored_anew(tmp_path, monkeypatch):
    model, questions = lens("llama"), asked_of_cultures(wordings=[0])
    first = evaluate_values(model, questions, run=tmp_path, **QUIET).frame
    monkeypatch.setattr(answering, "tree_answers", lambda *_, **__: pytest.fail("it was done"))
    again = evaluate_values(model, questions, run=tmp_path, **QUIET).frame
    assert again["alignment"].tolist() == first["alignment"].tolist()
    votes = {c: {g: v[::-1] for g, v in own.items()} for c, own in HUMANS.votes.items()}
    other = value_questions(ASKED, HumanValues(votes), wordings=[0], least_answers=1)
    with pytest.raises(pytest.fail.Exception, match="it was done"):
        evaluate_values(model, other, run=tmp_path, **QUIET)


@pytest.mark.slow
def test_questions_serve_an_ablation_matrix():
    model = lens("llama")
    own = {"Peru": NEURONS, "Japan": Neurons.of({"act": [(0, 1)]})}
    found = NeuronSet(own, {"act": model.shape("act")})
    matrix = ablation_matrix(model, found, asked_of_cultures(wordings=[0]), **QUIET)
    assert matrix.cultures == ("Japan", "Peru")


def test_parquet_is_readable_without_the_package(tmp_path):
    found = evaluate_values(
        lens("llama"), asked_of_cultures(wordings=[0]), scoring="letter", **QUIET
    )
    frame = pd.read_parquet(found.to_parquet(tmp_path / "deep" / "v.parquet"))
    assert frame["alignment"].tolist() == found.frame["alignment"].tolist()
    assert frame["chosen"].isna().tolist() == found.frame["chosen"].isna().tolist()
    again = ValueAlignment.from_parquet(tmp_path / "deep" / "v.parquet")
    assert again.alignment() == found.alignment() and again.metadata["model"] == "tiny-llama"


def test_other_questions_are_refused():
    with pytest.raises(InputError, match="has no people's votes.*load_values"):
        evaluate_values(lens("llama"), toy_questions(), **QUIET)
    with pytest.raises(InputError, match="there are no questions"):
        evaluate_values(lens("llama"), [], **QUIET)
