"""Value questions as a model is asked them: cultures, personas and wordings."""

import json
import re

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.values.people import HumanValues
from culture_lens.evaluation.values.prompts import CULNIG_COUNTRIES, load_values, value_questions
from culture_lens.evaluation.values.wordings import (
    LETTER_INSTRUCTIONS,
    OUR_PROMPTS,
    ValuePrompts,
)
from culture_lens.prompts.build import build_prompt
from culture_lens.prompts.layout import fill_layout
from tests.helpers.lm import lens
from tests.helpers.values import FAMILY, JOBS, asked_of_cultures, people


def test_one_question_for_each_culture_persona_and_wording():
    found = asked_of_cultures()
    assert len(found) == 2 * 3 * 2 * 2 == len({q.id for q in found})
    one = next(q for q in found if q.id == "Q122/Peru/country/1")
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
    humans = HumanValues({"South_Korea": {"Q1": (10, 0, 0, 0)}})
    model = lens("llama")
    for question in value_questions([FAMILY], humans):
        text = build_prompt(question, model.processor, style).text
        persona, wording = question.metadata["persona"], question.metadata["wording"]
        pieces = [OUR_PROMPTS.personas[persona].format(culture="South Korea"), FAMILY.text]
        if style == "choices":
            pieces += ["A. 1\nB. 2\nC. 3\nD. 4", LETTER_INSTRUCTIONS[wording]]
        else:
            filled = OUR_PROMPTS.instructions[wording].format(question="", low=1, high=4)
            pieces += [filled.strip()]
        places = [text.index(piece) for piece in pieces]
        assert places == sorted(places)


def test_ours_are_two_system_prompts_with_two_instructions_that_ask_for_a_number():
    assert len(OUR_PROMPTS.personas) == len(OUR_PROMPTS.instructions) == 2
    assert all("number" in text and "letter" not in text for text in OUR_PROMPTS.instructions)


def written(folder, content):
    file = folder / "prompts.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


OWN = {
    "personas": {"born": "Born in {culture}.", "as": "Be one of {culture}."},
    "instructions": ["Q: {question}\n{low}-{high}!", "A digit, {low} to {high}:"],
}


def test_own_prompts_as_arguments_and_as_a_file(folder, tmp_path):
    options = {"cultures": ["Peru"], "questions": ["Q48"], "least_answers": 1}
    found = load_values(folder, people(), prompts=written(tmp_path, OWN), **options)
    assert found == load_values(folder, people(), prompts=ValuePrompts(**OWN), **options)
    assert [(q.metadata["persona"], q.metadata["wording"]) for q in found] == [
        ("born", 0), ("born", 1), ("as", 0), ("as", 1)
    ]  # fmt: skip
    assert [q.prompt.system for q in found] == 2 * ["Born in Peru."] + 2 * ["Be one of Peru."]
    text = found[0].text
    assert [fill_layout(q, "cloze")[0] for q in found[:2]] == [
        f"Q: {text}\n1-10!", f"{text}\n\nA digit, 1 to 10:"
    ]  # fmt: skip
    one = load_values(folder, people(), prompts=ValuePrompts(**OWN), personas=["as"], **options)
    assert one == found[2:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"personas": {}}, "prompts.json: value prompts: there is no persona"),
        ({"instructions": []}, "there is no instruction"),
        ({"personas": {"a": "Be kind."}}, "persona 'a': lacks {culture}"),
        ({"personas": {"a": "In {country}."}}, "unknown placeholder '{country}'.*persona 'a'"),
        ({"personas": {"a": " "}}, "persona 'a': is ' '; write a sentence"),
        ({"instructions": ["{min_option}?"]}, "unknown placeholder '{min_option}'"),
        ({"instructions": ["{question}{question}"]}, "{question} stands in it twice"),
        ({"instructions": ["{low}?", "{low}?"]}, "instruction 0 and 1 are the same"),
        ({"instructions": "{low}?"}, "'instructions' must be a list"),
        ({"personas": ["{culture}"]}, "'personas' must be an object"),
        ({"system": []}, "must hold an object with the keys personas"),
    ],
)
def test_own_prompts_that_cannot_be_used(folder, tmp_path, change, message):
    with pytest.raises(InputError, match=re.escape(message).replace(r"\.\*", ".*")):
        load_values(folder, people(), prompts=written(tmp_path, {**OWN, **change}))


def test_questions_with_few_answers_are_left_out_and_said():
    votes = {"Peru": {"Q1": (3, 7, 0, 0), "Q122": (9, 0, 0)}}
    with pytest.warns(CultureLensWarning, match="1 of 2 pairs .* fewer than 10 people"):
        found = value_questions([FAMILY, JOBS], HumanValues(votes))
    assert {q.group for q in found} == {"Q1"}
    with pytest.raises(InputError, match="none of 1 pairs .* has 10 answers.*least_answers=1"):
        value_questions([JOBS], HumanValues(votes))
    assert len(value_questions([JOBS], HumanValues(votes), least_answers=9)) == 4


@pytest.mark.filterwarnings("ignore:.*are left out")
def test_culnigs_seven_countries(folder):
    assert len(CULNIG_COUNTRIES) == 7 and "Spain" not in CULNIG_COUNTRIES
    names = [*CULNIG_COUNTRIES, "Peru"]
    names[names.index("Great Britain")] = "UK"
    rows = [{"question": "Q1", "culture": name, "answer": 2} for name in names]
    found = load_values(folder, rows, cultures="culnig", least_answers=1)
    assert {q.culture for q in found} == {*names} - {"Peru"}
    assert found == load_values(folder, rows, cultures=["culnig"], least_answers=1)
    with pytest.raises(InputError, match="unknown culture 'China'"):
        load_values(folder, rows[1:], cultures="culnig", least_answers=1)


def test_ties_and_missing_answers_are_said():
    votes = {"Peru": {"Q1": (0, 2, 2, 0)}, "Japan": {"Q1": (0, 0, 0, 2), "Q122": (1, 0, 0)}}
    with pytest.warns(CultureLensWarning) as said:
        found = value_questions([FAMILY, JOBS], HumanValues(votes), wordings=[0], least_answers=1)
    assert {(q.culture, q.group): q.answer for q in found} == {
        ("Japan", "Q1"): 3,
        ("Japan", "Q122"): 0,
        ("Peru", "Q1"): 1,
    }
    messages = [str(warning.message) for warning in said]
    assert "1 of 4 pairs of a culture and a question are left out" in messages[0]
    assert "on 1 of 4 pairs" in messages[1] and "that the table has first" in messages[1]


def test_load_values(folder, tmp_path):
    people(Q2=["-4"] * 5).to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    found = load_values(folder, tmp_path / "a.tsv", cultures=["Peru"], least_answers=1)
    assert [q.id for q in found] == [q.id for q in asked_of_cultures(cultures=["Peru"])]
    assert [q.metadata for q in found] == [q.metadata for q in asked_of_cultures(cultures=["Peru"])]
    with pytest.raises(InputError, match="unknown culture 'Per': did you mean 'Peru'"):
        load_values(folder, people(), cultures=["Per"])
    with pytest.raises(InputError, match="unknown persona 'persons'"):
        load_values(folder, people(), personas=["persons"])
    for options in ({"personas": []}, {"wordings": [2]}, {"wordings": []}):
        with pytest.raises(InputError, match="numbers from 0 to 1"):
            load_values(folder, people(), **options)
    with pytest.raises(InputError, match="least_answers=0: must be at least 1"):
        load_values(folder, people(), least_answers=0)
    with pytest.raises(InputError, match="unknown value question 'Q3'.*stands in"):
        load_values(folder, people(Q3=["1"] * 5))
