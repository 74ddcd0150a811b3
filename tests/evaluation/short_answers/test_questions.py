"""Short-answer questions, read from BLEnD's annotations."""

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.short_answers.matching import HumanAnswer
from culture_lens.evaluation.short_answers.questions import ANSWER_INSTRUCTIONS, load_short_answers
from tests.helpers.short_answers import entry, short, written_to


def test_regions_languages_and_wordings(small):
    found = load_short_answers(small)
    assert len(found) == 3 * len(ANSWER_INSTRUCTIONS) == len({q.id for q in found})
    one = next(q for q in found if q.id == "q1/Spain/local/2")
    assert (one.culture, one.language, one.group) == ("Spain", "Spanish", "q1")
    assert one.prompt.cloze_instruction == ANSWER_INSTRUCTIONS[2] and one.wording == 2
    assert one.answers == (
        HumanAnswer(("el vino", "vino tinto"), 2, ("wine",)),
        HumanAnswer(("té",), 1, ("tea",)),
    )
    assert one.most_votes == 2
    (english,) = load_short_answers(small, regions=["Spain"], asked="english", wordings=[0])
    assert english.text == "¿Bebida? in English" and english.language == "English"
    assert english.answers[0] == HumanAnswer(("wine",), 2)


def test_what_is_left_out_is_said(tmp_path):
    ok = (["tea"], ["tea"], 1)
    entries = {
        "kept": entry("A?", ok, idk=4, none=1, inapplicable=1),
        "unknown": entry("B?", ok, idk=5),
        "inapplicable": entry("C?", ok, none=1, inapplicable=2),
        "unanswered": entry("D?"),
        "blank": entry("E?", (["", " - "], [""], 2)),
        "untranslated": entry("  ", ok),
        "partly": entry("F?", ([""], [], 5), (["tea", ""], ["tea"], 2)),
    }
    written_to(tmp_path, "US", entries)
    with pytest.warns(CultureLensWarning) as said:
        found = load_short_answers(tmp_path, wordings=[0])
    assert [q.group for q in found] == ["kept", "partly"]
    # the empty answer's votes still say how many people agreed on one at most
    assert found[1].answers[1].texts == ("tea",) and found[1].most_votes == 5
    messages = " ".join(str(warning.message) for warning in said)
    assert "dropped 5 of 7 rows: 1 whose question is empty, 2 that 3 or more" in messages
    assert "2 that have no human answer" in messages and "1 human answers have no text" in messages


def test_topics_and_split(small, tmp_path):
    topics = {"q1": "Food", "q2": "Family"}
    found = load_short_answers(small, topics=topics, split="evaluate", wordings=[0])
    assert [(q.group, q.category) for q in found] == [("q2", "Family")]
    (small / "US_questions.csv").write_text("ID,Topic\nq1,Food\nq2,Sport\n", encoding="utf-8")
    assert {q.category for q in load_short_answers(small)} == {"Food", "Sport"}
    assert load_short_answers(small, split="evaluate") == []


def test_bad_input_of_readers(small, tmp_path):
    with pytest.raises(InputError, match="holds no file REGION_data.json"):
        load_short_answers(tmp_path / "nowhere")
    with pytest.raises(InputError, match="unknown region 'Span': did you mean 'Spain'"):
        load_short_answers(small, regions=["Span"])
    with pytest.raises(InputError, match="asked='locally'"):
        load_short_answers(small, asked="locally")
    for wordings in ([], [4]):
        with pytest.raises(InputError, match="wordings=.*0 to 3"):
            load_short_answers(small, wordings=wordings)
    with pytest.raises(InputError, match="needs the topics"):
        load_short_answers(small, split="identify")
    with pytest.raises(InputError, match="no topic of BLEnD's .first 'q2'"):
        load_short_answers(small, split="identify", regions=["UK"], topics={"q1": "Food"})
    with pytest.raises(InputError, match="unknown split of BLEnD 'test'"):
        load_short_answers(small, split="test")
    written_to(small, "Peru", {"q1": entry("A?", (["a"], ["a"], 1))})
    with pytest.raises(InputError, match="language of 'Peru' is not known.*languages="):
        load_short_answers(small)
    found = load_short_answers(small, regions=["Peru"], languages={"Peru": "Spanish"})
    assert found[0].language == "Spanish"


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": [{"answers": ["a"], "en_answers": ["a"], "count": "two"}]},
        {"annotations": [{"answers": ["a"], "en_answers": ["a"], "count": 0}]},
        {"annotations": [{"answers": "tea", "en_answers": ["a"], "count": 1}]},
        {"annotations": [{"answers": ["a"], "count": 1}]},
        {"idks": {"idk": 0}},
        {"idks": None},
    ],
)
def test_a_file_of_another_layout(tmp_path, change):
    written_to(tmp_path, "US", {"q9": entry("A?", (["a"], ["a"], 1)) | change})
    with pytest.raises(InputError, match="US_data.json, question 'q9': not of the published"):
        load_short_answers(tmp_path)


def test_a_file_that_is_no_object(tmp_path):
    (tmp_path / "US_data.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="no object of questions"):
        load_short_answers(tmp_path)
    (tmp_path / "US_data.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not valid JSON"):
        load_short_answers(tmp_path)


def test_a_question_without_a_human_answer():
    with pytest.raises(InputError, match="'1': has no human answer"):
        short(answers=(HumanAnswer((), 3), HumanAnswer(("tea",), 0)))
