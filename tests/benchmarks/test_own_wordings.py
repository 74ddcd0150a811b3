"""CountryRC in a user's own wordings: as the file says, to the letter; bad ones named."""

import json
from dataclasses import replace

import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.countryrc import WORDINGS
from culture_lens.errors import InputError
from culture_lens.prompts.layout import fill_layout
from culture_lens.questions.question import PromptFormat
from tests.helpers.countryrc import made_template, questions_of_templates

LETTERS = {"layout": "Take a letter.\n\npassage: {passage}\nquestion: {question}\n{options}\n"}
DIGITS = {
    "layout": "question: {question}\ntext: {passage}\n\n{options}\n\n{instruction}",
    "instruction": 'Fill in {"n":""}.',
    "answer_prefix": '{"n":"',
    "labels": "1234",
}
PLAIN = {"layout": "{instruction}\n{question}\n{options}", "instruction": "One letter."}
OWN = [LETTERS, DIGITS, PLAIN]


def written(folder, content):
    file = folder / "wordings.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_messages_are_those_of_the_file(tmp_path):
    rows = [made_template(), made_template("t2", "{a} from {country}.", "Which {b}?")]
    found = questions_of_templates(*rows, countries=["Iran"], wordings=written(tmp_path, OWN))
    assert [q.metadata["wording"] for q in found] == [1, 1, 2, 2, 3, 3]
    first, _, second, braces, third, _ = found
    listed = "\n".join(
        f"{label}. {name}" for label, name in zip("ABCD", first.options, strict=True)
    )
    assert fill_layout(first, "choices")[0] == (
        "Take a letter.\n\npassage: It came from Iran.\nquestion: Where from?\n" + listed + "\n"
    )
    listed = "\n".join(
        f"{label}. {name}" for label, name in zip("1234", second.options, strict=True)
    )
    assert fill_layout(second, "choices")[0] == (
        f'question: Where from?\ntext: It came from Iran.\n\n{listed}\n\nFill in {{"n":""}}.'
    )
    assert second.prompt.answer_prefix == '{"n":"' and second.labels == "1234"
    assert braces.text == "question: Which {b}?\ntext: {a} from Iran.".removeprefix("question: ")
    assert fill_layout(third, "choices")[0].startswith(
        "One letter.\nPassage: It came from Iran.\nQuestion: Where from?\nA. "
    )


def test_prompt_formats_and_a_file_are_the_same(tmp_path):
    forms = [PromptFormat(**entry) for entry in OWN]
    options = {"countries": ["Iran", "Spain"], "split": "identify"}
    found = load_benchmark("countryrc", wordings=forms, **options)
    assert found == load_benchmark("countryrc", wordings=written(tmp_path, OWN), **options)
    assert found == load_benchmark("countryrc", wordings=str(tmp_path / "wordings.json"), **options)
    assert len(found) == 3 * 2 * 25 == len({q.id for q in found})


@pytest.mark.slow
def test_options_and_answers_are_those_of_the_bundled_wordings():
    """Only the words change: own wordings differ from ours in nothing that is drawn."""
    ours = load_benchmark("countryrc", limit=40)
    assert load_benchmark("countryrc", limit=40, wordings=WORDINGS) == ours
    own = load_benchmark("countryrc", limit=40, wordings=[PromptFormat(**one) for one in OWN[:2]])
    drawn = {q.id: (q.options, q.answer, q.metadata["decoy"]) for q in ours}
    shared = [q for q in own if q.id in drawn]
    assert len(shared) > 100
    assert all(drawn[q.id] == (q.options, q.answer, q.metadata["decoy"]) for q in shared)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], ["0 wordings", "at least 2"]),
        ([LETTERS], ["1 wordings", "at least 2"]),
        ({"a": LETTERS}, ["must hold a list of objects"]),
        ([LETTERS, "x"], ["must hold a list of objects"]),
        ([LETTERS, {**PLAIN, "layuot": ""}], ["unknown key 'layuot'", "'layout'", "wording 2"]),
        ([LETTERS, {"instruction": "A."}], ["wording 2", "has no 'layout'"]),
        ([LETTERS, {"layout": 3}], ["wording 2", "'layout' is 3"]),
        ([LETTERS, {**LETTERS, "instruction": "A."}], ["wording 2", "lacks {instruction}"]),
        ([LETTERS, DIGITS, LETTERS], ["wording 3", "same prompts as wording 1"]),
        ([LETTERS, {**LETTERS, "labels": "ABCDE"}], ["wording 2", "same prompts as wording 1"]),
        ([LETTERS, {"layout": "{question}"}], ["wording 2", "lacks {options}"]),
        ([LETTERS, {"layout": "{passage} {options}"}], ["wording 2", "lacks {question}"]),
        ([LETTERS, {"layout": "{question}{options}{options}"}], ["{options}", "more than once"]),
        (
            [LETTERS, {"layout": "{question} A. {option_a}"}],
            ["placeholder '{option_a}'", "wording 2"],
        ),
        ([LETTERS, {"layout": "{country} {question} {options}"}], ["'{country}'"]),
        ([LETTERS, {"layout": "{passage} {options} {question}"}], ["must not stand between"]),
        ([LETTERS, {**PLAIN, "labels": "AB"}], ["'AB'", "too few for 4"]),
        ([LETTERS, {**PLAIN, "labels": "AABC"}], ["wording 2", "letters or digits, each once"]),
    ],
)
def test_wordings_that_cannot_be_used(tmp_path, content, words):
    file = written(tmp_path, content)
    with pytest.raises(InputError) as caught:
        questions_of_templates(made_template(), wordings=file)
    for word in words:
        assert word in str(caught.value)


def test_other_mistakes(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_benchmark("countryrc", wordings=tmp_path / "none.json")
    own = [replace(WORDINGS[0], answer_prefix=""), WORDINGS[1]]
    with pytest.raises(InputError, match="wording= is the number of a benchmark's own wording"):
        load_benchmark("countryrc", wordings=own, wording=1)
