"""WorldValuesBench: readers, the alignment score by hand, models asked about values."""

import json
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import wasserstein_distance

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation import evaluate as evaluation
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.values.alignment import (
    ValueAlignment,
    evaluate_values,
    scale_distance,
    score_values,
)
from culture_lens.evaluation.values.people import HumanValues, read_human_values
from culture_lens.evaluation.values.prompts import PERSONAS, WORDINGS, load_values, value_questions
from culture_lens.evaluation.values.questions import ValueQuestion, read_value_questions
from culture_lens.experiments.matrix import ablation_matrix
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.prompts.build import build_prompt
from culture_lens.statistics.estimates import mean_estimate
from tests.conftest import lens, toy_questions
from tests.helpers.places import DATA

FOLDER = DATA / "worldvaluesbench"
real = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"WorldValuesBench is not at {FOLDER} (set CULTURE_LENS_DATA)"
)
quiet = pytest.mark.filterwarnings("ignore::culture_lens.errors.CultureLensWarning")
NEURONS = Neurons.of({"act": [(layer, i) for layer in range(3) for i in range(0, 48, 2)]})
QUIET = {"progress": False}

FAMILY = ValueQuestion("Q1", "On a scale of 1 to 4, how important is family?", 1, 4, "Social")
JOBS = ValueQuestion("Q122", "On a scale of 0 to 2, do immigrants fill jobs?", 0, 2, "Migration")
FREE = ValueQuestion("Q48", "On a scale of 1 to 10, how free is your choice?", 1, 10, "Happiness")
ASKED = (FAMILY, JOBS, FREE)


def metadata_of(question, **changes):
    return {
        "question": question.text,
        "category": question.category,
        "use_case": "value",
        "answer_scale_min": question.low,
        "answer_scale_max": question.high,
        "answer_data_type": "ordinal",
    } | changes


@pytest.fixture
def folder(tmp_path):
    """The two files, with a question about the person and a value question beyond the probe."""
    place = tmp_path / "wvb"
    place.mkdir()
    other = ValueQuestion("Q2", "On a scale of 1 to 4, how important are friends?", 1, 4, "Social")
    entries = {q.id: metadata_of(q) for q in (*ASKED, other)}
    entries["B_COUNTRY"] = metadata_of(FAMILY, use_case="demographic", answer_scale_min="")
    (place / "question_metadata.json").write_text(json.dumps(entries), encoding="utf-8")
    probe = {q.id: q.text for q in ASKED}
    (place / "value_questions.json").write_text(json.dumps(probe), encoding="utf-8")
    return place


def people(**columns):
    """One row per person, Peru's first; cells as a tsv file has them."""
    rows = {
        "D_INTERVIEW": ["1", "2", "3", "4", "5"],
        "B_COUNTRY": ["Peru", "Peru", "Peru", "Japan", "Japan"],
        "Q1": ["1", "1", "2", "4", "4"],
        "Q122": ["0", "2", "2", "1", "1"],
        "Q48": ["10", "9", "10", "5", "5"],
    }
    return pd.DataFrame(rows | columns, dtype=object)


HUMANS = HumanValues(
    {
        "Peru": {"Q1": (2, 1, 0, 0), "Q122": (1, 0, 2), "Q48": (0,) * 8 + (1, 2)},
        "Japan": {"Q1": (0, 0, 0, 2), "Q122": (0, 2, 0), "Q48": (0,) * 4 + (2,) + (0,) * 5},
    }
)


def made(**options):
    return value_questions(ASKED, HUMANS, **options)


# ------------------------------------------------------------------ reading questions


def test_questions_of_the_probe_and_beyond(folder):
    assert read_value_questions(folder) == list(ASKED)
    assert [q.id for q in read_value_questions(folder, probe=False)] == ["Q1", "Q122", "Q48", "Q2"]
    assert [q.id for q in read_value_questions(folder, questions=["Q2"])] == ["Q2"]
    assert JOBS.points == (0, 1, 2)


def test_bad_question_files(folder, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_value_questions(tmp_path / "nowhere")
    for name in ("Q3", "B_COUNTRY"):
        with pytest.raises(InputError, match=f"unknown value question '{name}'"):
            read_value_questions(folder, questions=[name])
    file = folder / "question_metadata.json"
    for change in ({"answer_scale_max": ""}, {"answer_scale_min": 1.5}, {"answer_scale_max": True}):
        file.write_text(json.dumps({"Q1": metadata_of(FAMILY, **change)}), encoding="utf-8")
        with pytest.raises(InputError, match="question 'Q1': not of the published layout"):
            read_value_questions(folder, probe=False)
    file.write_text(json.dumps({"Q1": metadata_of(FAMILY, answer_scale_max=1)}), encoding="utf-8")
    with pytest.raises(InputError, match="scale goes from 1 to 1"):
        read_value_questions(folder, probe=False)
    with pytest.raises(InputError, match="scale goes from -1 to 4.*none below 0"):
        replace(FAMILY, low=-1)
    file.write_text("[1]", encoding="utf-8")
    with pytest.raises(InputError, match="no object of questions"):
        read_value_questions(folder)


# ------------------------------------------------------------------ reading answers


def test_both_layouts_are_counted_alike(tmp_path):
    wide = people()
    assert read_human_values(wide, ASKED).votes == HUMANS.votes
    long = wide.melt(
        id_vars=["D_INTERVIEW", "B_COUNTRY"], var_name="question", value_name="answer"
    ).rename(columns={"B_COUNTRY": "culture"})
    assert read_human_values(long, ASKED).votes == HUMANS.votes
    counted = long.groupby(["question", "culture", "answer"]).size().rename("count").reset_index()
    assert (counted["count"] > 1).any()
    assert read_human_values(counted, ASKED).votes == HUMANS.votes
    wide.to_csv(tmp_path / "answers.tsv", sep="\t", index=False)
    assert read_human_values(tmp_path / "answers.tsv", ASKED).votes == HUMANS.votes
    numbers = wide.assign(Q1=[1.0, 1.0, 2.0, 4.0, 4.0])
    assert read_human_values(numbers, ASKED).votes == HUMANS.votes


def test_countries_from_a_table_of_their_own():
    wide = people()
    answers = wide.drop(columns="B_COUNTRY")[::-1]
    listed = wide[["B_COUNTRY", "D_INTERVIEW"]]
    assert read_human_values(answers, ASKED, people=listed).votes == HUMANS.votes
    named = listed.rename(columns={"B_COUNTRY": "land"})
    assert read_human_values(answers, ASKED, people=named, country="land").votes == HUMANS.votes
    with pytest.raises(InputError, match="2 people with answers are not listed, such as '5'"):
        read_human_values(answers, ASKED, people=listed[:3])
    with pytest.raises(InputError, match="D_INTERVIEW '1' occurs twice"):
        read_human_values(answers, ASKED, people=pd.concat([listed, listed[:1]]))
    with pytest.raises(InputError, match="column 'B_COUNTRY' is missing"):
        read_human_values(answers, ASKED, people=answers)
    with pytest.raises(InputError, match="needs the columns question, culture and answer"):
        read_human_values(answers, ASKED)


def test_what_is_no_answer_is_counted_and_said():
    table = people(Q1=["-1", "1", "", "-1", "4"], Q122=["-4", "2", "2", None, "1"])
    with pytest.warns(CultureLensWarning, match="5 cells.*2 code -1, 1 code -4, 2 empty"):
        found = read_human_values(table, ASKED)
    assert found.left_out == {"code -1": 2, "code -4": 1, "empty": 2}
    assert found.votes["Peru"]["Q1"] == (1, 0, 0, 0) and found.votes["Peru"]["Q122"] == (0, 0, 2)
    assert found.votes["Japan"]["Q122"] == (0, 1, 0)
    counts = pd.DataFrame(
        {"question": ["Q1", "Q1"], "culture": "Peru", "answer": ["-2", "3"], "count": ["7", "2"]}
    )
    with pytest.warns(CultureLensWarning, match="7 cells.*7 code -2"):
        assert read_human_values(counts, ASKED).votes == {"Peru": {"Q1": (0, 0, 2, 0)}}


def test_rows_without_a_country_are_said():
    table = people(B_COUNTRY=["Peru", "", "Peru", None, "Japan"])
    with pytest.warns(CultureLensWarning, match="2 of 5 rows have no B_COUNTRY") as said:
        found = read_human_values(table, ASKED)
    assert len(said) == 1 and found.votes["Peru"]["Q1"] == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("Q1", ["1", "5", "2", "4", "4"], r"'Q1' \(Peru\): 1 answers beyond its scale of 1 to 4"),
        ("Q1", ["1", "1", "0", "4", "4"], "beyond its scale of 1 to 4, such as 0"),
        ("Q122", ["0", "2", "2", "1", "3"], r"\(Japan\): 1 answers beyond its scale of 0 to 2"),
        ("Q1", ["1", "2.5", "2", "4", "4"], "'2.5' is no whole number"),
        ("Q1", ["1", "often", "2", "4", "4"], "question 'Q1': 'often' is no whole number"),
        ("Q1", ["1", "inf", "2", "4", "4"], "'inf' is no whole number"),
        ("Q999", ["1", "1", "1", "1", "1"], "unknown value question 'Q999'"),
        ("Q1", [["1"], "1", "2", "4", "4"], "is no whole number"),
    ],
)
def test_answers_that_cannot_be_used(column, cells, message):
    with pytest.raises(InputError, match=message):
        read_human_values(people(**{column: cells}), ASKED)


def test_other_questions_of_the_survey_are_passed_over():
    table = people(Q2=["9", "9", "9", "9", "9"], weight=["x"] * 5)
    assert read_human_values(table, ASKED, known={"Q2"}).votes == HUMANS.votes
    long = pd.DataFrame({"question": ["Q2", "Q1"], "culture": "Peru", "answer": ["9", "1"]})
    assert read_human_values(long, ASKED, known={"Q2"}).votes == {"Peru": {"Q1": (1, 0, 0, 0)}}
    with pytest.raises(InputError, match="unknown value question 'Q2'"):
        read_human_values(long, ASKED)


def test_tables_without_an_answer():
    with pytest.raises(InputError, match="the table of rows is empty"):
        read_human_values([], ASKED)
    with (
        pytest.warns(CultureLensWarning),
        pytest.raises(InputError, match="no answer to any of the 3"),
    ):
        read_human_values(people(Q1=[""] * 5, Q122=[""] * 5, Q48=["-5"] * 5), ASKED)
    bad = pd.DataFrame({"question": ["Q1"], "culture": "Peru", "answer": ["1"], "count": ["-1"]})
    with pytest.raises(InputError, match="counts must be 0 or more"):
        read_human_values(bad, ASKED)


# ------------------------------------------------------------------ questions for a model


def test_one_question_for_each_culture_persona_and_wording():
    found = made()
    assert len(found) == 2 * 3 * len(PERSONAS) * len(WORDINGS) == len({q.id for q in found})
    one = next(q for q in found if q.id == "Q122/Peru/country/3")
    assert one.options == ("0", "1", "2") and one.answer == 2  # two of three people said 2
    assert (one.group, one.category, one.culture) == ("Q122", "Migration", "Peru")
    assert [q.id for q in made(cultures=["Japan"], personas=["person"], wordings=[1])] == [
        "Q1/Japan/person/1",
        "Q122/Japan/person/1",
        "Q48/Japan/person/1",
    ]


@pytest.mark.parametrize("style", ["choices", "cloze"])
def test_a_prompt_names_the_culture_before_question_and_instruction(style):
    humans = HumanValues({"South_Korea": {"Q1": (1, 0, 0, 0)}})
    model = lens("llama")
    for question in value_questions([FAMILY], humans):
        text = build_prompt(question, model.processor, style).text
        persona, wording = question.metadata["persona"], question.metadata["wording"]
        instruction = WORDINGS[wording][0 if style == "choices" else 1]
        pieces = [PERSONAS[persona].format(culture="South Korea"), FAMILY.text]
        pieces += ["A. 1\nB. 2\nC. 3\nD. 4"] if style == "choices" else []
        places = [text.index(piece) for piece in [*pieces, instruction]]
        assert places == sorted(places)


def test_ties_and_missing_answers_are_said():
    votes = {"Peru": {"Q1": (0, 2, 2, 0)}, "Japan": {"Q1": (0, 0, 0, 2), "Q122": (1, 0, 0)}}
    with pytest.warns(CultureLensWarning) as said:
        found = value_questions([FAMILY, JOBS], HumanValues(votes), wordings=[0])
    assert {(q.culture, q.group): q.answer for q in found} == {
        ("Japan", "Q1"): 3,
        ("Japan", "Q122"): 0,
        ("Peru", "Q1"): 1,
    }
    messages = [str(warning.message) for warning in said]
    assert "1 of 4 pairs of a culture and a question are left out" in messages[0]
    assert "on 1 of 4 pairs" in messages[1] and "the lowest of them" in messages[1]


def test_load_values(folder, tmp_path):
    people(Q2=["-4"] * 5).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    found = load_values(folder, tmp_path / "a.tsv", cultures=["Peru"])
    assert [q.id for q in found] == [q.id for q in made(cultures=["Peru"])]
    assert [q.metadata for q in found] == [q.metadata for q in made(cultures=["Peru"])]
    with pytest.raises(InputError, match="unknown culture 'Per': did you mean 'Peru'"):
        load_values(folder, people(), cultures=["Per"])
    with pytest.raises(InputError, match="unknown persona 'persons'"):
        load_values(folder, people(), personas=["persons"])
    for options in ({"personas": []}, {"wordings": [4]}, {"wordings": []}):
        with pytest.raises(InputError, match="numbers from 0 to 3"):
            load_values(folder, people(), **options)
    with pytest.raises(InputError, match="unknown value question 'Q3'.*stands in"):
        load_values(folder, people(Q3=["1"] * 5))


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
                "scores": list(given) if given is not None else [0.0] * len(q.options),
            }
            for q, prediction, given in rows
        ]
    )


def test_alignment_by_hand():
    """Peru's majorities are 1 of 1-4, 2 of 0-2 and 10 of 1-10; the model says 3, 2 and nothing."""
    questions = made(cultures=["Peru"], personas=["person"], wordings=[0])
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


def test_chance_depends_on_where_the_majority_lies():
    middle = value_questions([JOBS], HUMANS, cultures=["Japan"], personas=["person"], wordings=[0])
    found = ValueAlignment(score_values(records(middle, [0]), middle))
    assert found.chance() == pytest.approx((0.5 + 1 + 0.5) / 3)
    assert found.frame["alignment"].tolist() == [0.5]


def test_intervals_are_clustered_by_question():
    questions = made()
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
    assert set(found.by("persona")) == set(PERSONAS)
    assert set(found.by("wording")) == {"0", "1", "2", "3"}
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


@pytest.mark.parametrize("scoring", ["letter", "letter_options", "option_likelihood_sum"])
def test_records_are_those_of_an_evaluation(scoring):
    model, questions = lens("llama", torch.float64), made(wordings=[0, 2])
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
        last = len(question.options) - 1
        apart = abs(row["prediction"] - question.answer) / last
        assert row["alignment"] == pytest.approx(0 if row["prediction"] < 0 else 1 - apart)
        assert row["persona"] == question.metadata["persona"]
        if row["prediction"] >= 0:
            assert str(row["chosen"]) == question.options[row["prediction"]]


def test_letters_that_a_model_never_writes_align_with_nothing():
    found = evaluate_values(lens("llama", torch.float64), made(), scoring="letter", **QUIET)
    none = found.frame["prediction"] == -1
    assert none.any() and (found.frame.loc[none, "alignment"] == 0).all()
    assert found.frame.loc[none, "chosen"].isna().all()
    assert found.answered() == pytest.approx(1 - none.mean())


def test_the_default_scoring_compares_whole_answers():
    model = lens("llama")
    assert model.scoring == "option_likelihood"
    questions = made(cultures=["Peru"], personas=["person"], wordings=[0])
    found = evaluate_values(model, questions, **QUIET)
    assert found.metadata["scoring"] == "option_likelihood_sum"
    with pytest.warns(CultureLensWarning, match="favours '10'"):
        evaluate_values(model, questions, scoring="option_likelihood", **QUIET)


def test_a_models_favourite_point_aligns_fully_where_people_chose_it():
    model = lens("qwen2", torch.float64)
    questions = made(personas=["person"], wordings=[0])
    base = evaluate_values(model, questions, **QUIET)
    votes = {
        culture: {
            group: tuple(int(i == point) for i in range(len(part.iloc[0]["scores"])))
            for group, part in rows.groupby("group")
            for point in part["prediction"]
        }
        for culture, rows in base.frame.groupby("culture")
    }
    agreed = value_questions(ASKED, HumanValues(votes), personas=["person"], wordings=[0])
    assert evaluate_values(model, agreed, **QUIET).alignment().value == 1
    after_ablation = evaluate_values(model, agreed, NEURONS, **QUIET)
    assert after_ablation.alignment().value < 1
    assert evaluate_values(model, agreed, **QUIET).alignment().value == 1  # nothing stays


def test_batch_size_and_order_do_not_matter():
    model, questions = lens("qwen2", torch.float64), made(wordings=[1, 3])
    expected = evaluate_values(model, questions, NEURONS, batch_size=16, **QUIET).frame
    plain = [c for c in expected.columns if c not in ("scores", "p_gold", "distance")]
    for size in (1, 5):
        found = evaluate_values(model, questions[::-1], NEURONS, batch_size=size, **QUIET).frame
        found = found[::-1].reset_index(drop=True)
        pd.testing.assert_frame_equal(found[plain], expected[plain])
        assert found["distance"].tolist() == pytest.approx(expected["distance"].tolist(), abs=1e-6)


def test_a_run_is_found_again_and_other_answers_of_people_are_scored_anew(tmp_path, monkeypatch):
    model, questions = lens("llama"), made(wordings=[0])
    first = evaluate_values(model, questions, run=tmp_path, **QUIET).frame
    monkeypatch.setattr(evaluation, "run_batches", lambda *_, **__: pytest.fail("it was done"))
    again = evaluate_values(model, questions, run=tmp_path, **QUIET).frame
    assert again["alignment"].tolist() == first["alignment"].tolist()
    votes = {c: {g: v[::-1] for g, v in own.items()} for c, own in HUMANS.votes.items()}
    other = value_questions(ASKED, HumanValues(votes), wordings=[0])
    with pytest.raises(pytest.fail.Exception, match="it was done"):
        evaluate_values(model, other, run=tmp_path, **QUIET)


def test_questions_serve_an_ablation_matrix():
    model = lens("llama")
    own = {"Peru": NEURONS, "Japan": Neurons.of({"act": [(0, 1)]})}
    found = NeuronSet(own, {"act": model.shape("act")})
    matrix = ablation_matrix(model, found, made(wordings=[0]), **QUIET)
    assert matrix.cultures == ("Japan", "Peru")


def test_parquet_is_readable_without_the_package(tmp_path):
    found = evaluate_values(lens("llama"), made(wordings=[0]), scoring="letter", **QUIET)
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


# ------------------------------------------------------------------ published questions

SCALE = re.compile(r"On a scale of (\d+) to (\d+), \1 meaning '.+?' and \2 meaning '.+?',")


@real
def test_the_published_questions():
    probe, every = read_value_questions(FOLDER), read_value_questions(FOLDER, probe=False)
    assert len(probe) == 36 and len(every) == 239
    texts = json.loads((FOLDER / "value_questions.json").read_text(encoding="utf-8"))
    assert [(q.id, q.text) for q in probe] == list(texts.items())
    scales = Counter((q.low, q.high) for q in every)
    assert scales[1, 4] == 91 and scales[1, 10] == 50 and scales[0, 2] == 19
    for question in every:
        said = SCALE.match(question.text)
        assert said and (int(said[1]), int(said[2])) == (question.low, question.high)


@real
def test_the_probes_rows_join_a_table_of_answers_made_here():
    """The probe names people and not their answers: give every one of them an answer and a home."""
    samples = pd.read_csv(FOLDER / "samples.tsv", sep="\t", dtype=str)
    probe = read_value_questions(FOLDER)
    assert len(samples) == 8280 and set(samples["Question"]) == {q.id for q in probe}
    ends = {q.id: q for q in probe}
    source = np.random.default_rng(1)
    answers = samples.rename(columns={"Question": "question", "Continent": "culture"})
    answers["answer"] = [
        str(source.integers(ends[name].low, ends[name].high + 1)) for name in answers["question"]
    ]
    humans = read_human_values(answers, probe)
    assert humans.cultures == tuple(sorted(samples["Continent"].unique())) and not humans.left_out
    assert len(humans.cultures) == 6
    total = sum(sum(votes) for own in humans.votes.values() for votes in own.values())
    assert total == 8280
    culture, name = "Asia", "Q48"
    part = answers[(answers["culture"] == culture) & (answers["question"] == name)]["answer"]
    assert list(humans.votes[culture][name]) == [
        int((part == str(point)).sum()) for point in range(1, 11)
    ]


@real
@quiet
def test_smollm2_is_asked_real_questions(smollm2):
    answers = [
        {"question": name, "culture": culture, "answer": point}
        for name, points in {"Q1": (1, 1), "Q57": (2, 1), "Q48": (10, 5)}.items()
        for culture, point in zip(("Peru", "Japan"), points, strict=True)
    ]
    questions = load_values(
        FOLDER, answers, questions=["Q1", "Q57", "Q48"], personas=["country"], wordings=[0]
    )
    found = evaluate_values(smollm2, questions, **QUIET)
    assert found.answered() == 1 and len(found.frame) == 6
    assert 0 <= found.alignment().low <= found.alignment().value <= found.alignment().high <= 1
    letters = evaluate_values(smollm2, questions, scoring="letter", **QUIET)
    assert letters.frame["chosen"].dropna().isin(range(1, 11)).all()
