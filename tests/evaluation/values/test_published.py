"""The published questions and answers of WorldValuesBench."""

import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import CultureLensWarning
from culture_lens.evaluation.generation import write_answers
from culture_lens.evaluation.values.alignment import evaluate_values, score_values
from culture_lens.evaluation.values.people import read_human_values
from culture_lens.evaluation.values.prompts import load_values
from culture_lens.evaluation.values.questions import read_value_questions
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.running import Running
from tests.helpers.marks import QUIET, needs_data, quiet
from tests.helpers.places import DATA

FOLDER = DATA / "worldvaluesbench"
real = needs_data("worldvaluesbench")


SCALE = re.compile(r"On a scale of (\d+) to (\d+), \1 meaning '.+?' and \2 meaning '.+?',")


@real
def test_the_published_questions():
    probe, every = read_value_questions(FOLDER), read_value_questions(FOLDER, questions="all")
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


def by_culnigs_rules(rows, scales):
    """CULNIG's gold answers from rows (question, culture, answer), written plainly anew."""
    told = {}
    for name, culture, answer in rows:
        counts = told.setdefault((name, culture), {})
        counts[int(answer)] = counts.get(int(answer), 0) + 1
    gold = {}
    for pair, counts in told.items():
        if sum(counts.values()) >= 10:
            most = max(counts.values())
            gold[pair] = next(answer for answer in counts if counts[answer] == most)
    farthest = {
        pair: max(abs(end - answer) for end in scales[pair[0]]) for pair, answer in gold.items()
    }
    return gold, farthest


@real
def test_gold_answers_and_alignments_of_the_probes_rows_are_culnigs():
    """Answers made here for the published rows, few enough of each pair that ties are common."""
    probe = read_value_questions(FOLDER)
    scales = {question.id: (question.low, question.high) for question in probe}
    samples = pd.read_csv(FOLDER / "samples.tsv", sep="\t", dtype=str).sample(2600, random_state=4)
    source = np.random.default_rng(2)
    rows = [
        (name, culture, int(source.integers(scales[name][0], scales[name][1] + 1)))
        for name, culture in zip(samples["Question"], samples["Continent"], strict=True)
    ]
    gold, farthest = by_culnigs_rules(rows, scales)
    table = pd.DataFrame(rows, columns=["question", "culture", "answer"])
    with pytest.warns(CultureLensWarning) as said:
        questions = load_values(FOLDER, table, personas=["person"], wordings=[0])
    assert any("several points have the most votes" in str(one.message) for one in said)
    assert {(q.group, q.culture) for q in questions} == set(gold) and len(gold) > 9
    answers = [int(source.integers(-1, len(q.options))) for q in questions]
    frame = pd.DataFrame(
        {
            "id": [q.id for q in questions],
            "gold": [q.answer for q in questions],
            "prediction": answers,
            "scores": [[0.0] * len(q.options) for q in questions],
        }
    )
    found = score_values(frame, questions)
    for row, question, answer in zip(found.to_dict("records"), questions, answers, strict=True):
        pair = question.group, question.culture
        assert row["majority"] == gold[pair]
        point = scales[question.group][0] + answer
        expected = 0 if answer < 0 else 1 - abs(point - gold[pair]) / farthest[pair]
        assert row["alignment"] == pytest.approx(expected, abs=1e-12)
    low = [q for q in probe if gold.get((q.id, "Asia")) is not None]
    assert low and any(scales[q.id][0] != gold[q.id, "Asia"] for q in low)


@pytest.mark.slow
@real
@quiet
def test_smollm2_is_asked_real_questions(smollm2):
    answers = [
        {"question": name, "culture": culture, "answer": point}
        for name, points in {"Q1": (1, 1), "Q57": (2, 1), "Q48": (10, 5)}.items()
        for culture, point in zip(("Peru", "Japan"), points, strict=True)
    ]
    questions = load_values(
        FOLDER,
        answers,
        questions=["Q1", "Q57", "Q48"],
        personas=["country"],
        wordings=[0],
        least_answers=1,
    )
    found = evaluate_values(smollm2, questions, **QUIET)
    assert found.answered() == 1 and len(found.frame) == 6
    assert 0 <= found.alignment().value <= 1 and np.isnan(found.alignment().low)  # of 3 questions
    letters = evaluate_values(smollm2, questions, scoring="letter", **QUIET)
    assert letters.frame["chosen"].dropna().isin(range(1, 11)).all()
    numbers = evaluate_values(smollm2, questions, scoring="number", **QUIET)
    prompts = build_prompts(questions, smollm2.processor, style="cloze")
    texts = write_answers(smollm2, prompts, max_new_tokens=4, running=Running(progress=False))
    for row in numbers.frame.to_dict("records"):
        begun = re.match(r"\s*(\d+)", texts[row["id"]])
        said = int(begun[1]) if begun and row["low"] <= int(begun[1]) <= row["high"] else None
        assert (None if pd.isna(row["chosen"]) else row["chosen"]) == said, texts[row["id"]]
