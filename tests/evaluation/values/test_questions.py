"""Value questions of WorldValuesBench, read from its files."""

import json
from dataclasses import replace

import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.values.questions import read_value_questions
from tests.helpers.values import ASKED, FAMILY, JOBS, metadata_of


def test_questions_of_the_probe_and_beyond(folder):
    assert read_value_questions(folder) == list(ASKED)
    assert [q.id for q in read_value_questions(folder, questions="all")] == [
        "Q1",
        "Q122",
        "Q48",
        "Q2",
    ]
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
            read_value_questions(folder, questions="all")
    file.write_text(json.dumps({"Q1": metadata_of(FAMILY, answer_scale_max=1)}), encoding="utf-8")
    with pytest.raises(InputError, match="scale goes from 1 to 1"):
        read_value_questions(folder, questions="all")
    with pytest.raises(InputError, match="scale goes from -1 to 4.*none below 0"):
        replace(FAMILY, low=-1)
    file.write_text("[1]", encoding="utf-8")
    with pytest.raises(InputError, match="no object of questions"):
        read_value_questions(folder)
