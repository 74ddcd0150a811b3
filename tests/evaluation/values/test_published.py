"""The published questions and answers of WorldValuesBench."""

import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from culture_lens.evaluation.values.alignment import evaluate_values
from culture_lens.evaluation.values.people import read_human_values
from culture_lens.evaluation.values.prompts import load_values
from culture_lens.evaluation.values.questions import read_value_questions
from tests.helpers.marks import QUIET, needs_data, quiet
from tests.helpers.places import DATA

FOLDER = DATA / "worldvaluesbench"
real = needs_data("worldvaluesbench")


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
        FOLDER, answers, questions=["Q1", "Q57", "Q48"], personas=["country"], wordings=[0]
    )
    found = evaluate_values(smollm2, questions, **QUIET)
    assert found.answered() == 1 and len(found.frame) == 6
    assert 0 <= found.alignment().low <= found.alignment().value <= found.alignment().high <= 1
    letters = evaluate_values(smollm2, questions, scoring="letter", **QUIET)
    assert letters.frame["chosen"].dropna().isin(range(1, 11)).all()
