"""The two files of value questions."""

import json

import pytest

from culture_lens.evaluation.values.questions import ValueQuestion
from tests.helpers.values import ASKED, FAMILY, metadata_of


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
