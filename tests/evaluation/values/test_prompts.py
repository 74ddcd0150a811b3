"""Value questions as a model is asked them: cultures, personas and wordings."""

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.values.people import HumanValues
from culture_lens.evaluation.values.prompts import (
    PERSONAS,
    VALUE_INSTRUCTIONS,
    load_values,
    value_questions,
)
from culture_lens.prompts.build import build_prompt
from tests.helpers.lm import lens
from tests.helpers.values import FAMILY, JOBS, asked_of_cultures, people


def test_one_question_for_each_culture_persona_and_wording():
    found = asked_of_cultures()
    assert (
        len(found) == 2 * 3 * len(PERSONAS) * len(VALUE_INSTRUCTIONS) == len({q.id for q in found})
    )
    one = next(q for q in found if q.id == "Q122/Peru/country/3")
    assert one.options == ("0", "1", "2") and one.answer == 2  # two of three people said 2
    assert (one.group, one.category, one.culture) == ("Q122", "Migration", "Peru")
    assert [
        q.id for q in asked_of_cultures(cultures=["Japan"], personas=["person"], wordings=[1])
    ] == [
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
        instruction = VALUE_INSTRUCTIONS[wording][0 if style == "choices" else 1]
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
    assert [q.id for q in found] == [q.id for q in asked_of_cultures(cultures=["Peru"])]
    assert [q.metadata for q in found] == [q.metadata for q in asked_of_cultures(cultures=["Peru"])]
    with pytest.raises(InputError, match="unknown culture 'Per': did you mean 'Peru'"):
        load_values(folder, people(), cultures=["Per"])
    with pytest.raises(InputError, match="unknown persona 'persons'"):
        load_values(folder, people(), personas=["persons"])
    for options in ({"personas": []}, {"wordings": [4]}, {"wordings": []}):
        with pytest.raises(InputError, match="numbers from 0 to 3"):
            load_values(folder, people(), **options)
    with pytest.raises(InputError, match="unknown value question 'Q3'.*stands in"):
        load_values(folder, people(Q3=["1"] * 5))
