"""CommonsenseQA: the published rows against counts made here with json alone, and made rows."""

import json
from collections import Counter

import datasets
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.commonsenseqa import WORDINGS, commonsenseqa_questions
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.errors import CultureLensWarning, InputError
from tests.helpers.marks import needs_data
from tests.helpers.places import DATA

FOLDER = DATA / "commonsenseqa"
real = needs_data("commonsenseqa")


@real
def test_the_published_rows():
    lines = (FOLDER / "dev_rand_split.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["id"]: row for row in map(json.loads, lines)}
    assert len(rows) == len(lines) == 1221
    with pytest.warns(CultureLensWarning) as caught:
        questions = load_benchmark("commonsenseqa", FOLDER)
    assert [str(w.message) for w in caught] == [
        "commonsenseqa: dropped 24 of 1221 rows: 24 whose options are empty or collide."
    ]
    assert [q.id for q in questions] == [
        name for name, row in rows.items() if len(set(row["choices"]["text"])) == 5
    ]
    assert len(questions) == 1197 and {q.culture for q in questions} == {"commonsense"}
    for question in questions:
        row = rows[question.id]
        assert list(question.options) == row["choices"]["text"]
        assert "ABCDE"[question.answer] == row["answerKey"]
        assert (question.text, question.category) == (
            row["question"].strip(),
            row["question_concept"],
        )
    # Even enough without a shuffle: one fifth of 1197 has sd 14, so three sd.
    assert all(abs(n - 1197 / 5) < 42 for n in Counter(q.answer for q in questions).values())


def made(number, key="B", texts=("bank", "mall", "farm"), labels="ABC", **other):
    return {
        "id": f"q{number}",
        "question": f"Where is a shop, {number}?",
        "question_concept": "shop",
        "choices": {"label": list(labels), "text": list(texts)},
        "answerKey": key,
        **other,
    }


def questions_of(*rows):
    return commonsenseqa_questions(as_frame(list(rows)))


def test_fields_and_order():
    (question,) = questions_of(made(1))
    assert (question.id, question.culture, question.category) == ("q1", "commonsense", "shop")
    assert (question.options, question.answer) == (("bank", "mall", "farm"), 1)
    assert question.prompt is WORDINGS[0] and question.benchmark == "commonsenseqa"
    (question,) = questions_of(made(1, "3", labels="312"))
    assert question.answer == 0  # the label decides, wherever it stands


@pytest.mark.parametrize("form", [json.dumps, repr, dict])
def test_choices_may_be_written_as_text(form):
    row = made(1)
    assert questions_of({**row, "choices": form(row["choices"])}) == questions_of(row)


QUIRKS = {
    "withheld": ({"answerKey": ""}, "1 whose answer is withheld"),
    "out of range": ({"answerKey": "F"}, "1 whose gold answer is out of range"),
    "no question": ({"question": " "}, "1 whose 'question' is empty"),
    "no id": ({"id": None}, "1 whose 'id' is empty"),
    "collide": (made(1, texts=("bank", "bank ", "farm")), "1 whose options are empty or collide"),
    "empty": (made(1, texts=("bank", "", "farm")), "1 whose options are empty or collide"),
    "one option": (made(1, "A", ("bank",), "A"), "1 whose options are empty or collide"),
    "repeat": ({"question": "Where is a shop, 0?"}, "1 repeating an earlier one"),
}


@pytest.mark.parametrize("case", QUIRKS)
def test_quirks_are_dropped_and_said(case):
    change, words = QUIRKS[case]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(made(0), {**made(1), **change}, made(2))
    assert [q.id for q in questions] == ["q0", "q2"]
    assert [str(w.message) for w in caught] == [f"commonsenseqa: dropped 1 of 3 rows: {words}."]


@pytest.mark.parametrize(
    "choices",
    [
        None,
        "bank, mall",
        "__import__('os').getcwd()",
        "[" * 100_000,
        ["bank", "mall"],
        {"label": ["A", "B"]},
        {"label": "AB", "text": "xy"},
        {"label": ["A", "B"], "text": ["bank"]},
    ],
)
def test_choices_of_another_shape_are_named(choices):
    with pytest.raises(InputError, match="CommonsenseQA row 'q1': choices is not an object with"):
        questions_of(made(0), {**made(1), "choices": choices})


def test_hub_and_local_copies_give_the_same(tmp_path, monkeypatch):
    rows = [made(n) for n in range(3)]
    dataset = datasets.Dataset.from_list(rows)
    asked = []

    def load_dataset(hub, config, *, split):
        asked.append((hub, config, split))
        return dataset

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    expected = load_benchmark("commonsenseqa")
    assert expected == questions_of(*rows)
    assert asked == [("tau/commonsense_qa", None, "validation")]
    file = tmp_path / "dev_rand_split.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert load_benchmark("commonsenseqa", file) == expected
    assert load_benchmark("commonsenseqa", tmp_path) == expected
    shard = tmp_path / "data" / "validation-00000-of-00001.parquet"
    shard.parent.mkdir()
    dataset.to_parquet(shard)
    assert load_benchmark("commonsenseqa", tmp_path) == expected


def test_other_columns_and_no_question_left(tmp_path):
    with pytest.raises(InputError, match="column 'choices' is missing"):
        questions_of({"id": "1", "question": "?", "answerKey": "A"})
    file = tmp_path / "dev.jsonl"
    file.write_text(json.dumps(made(0, key="")), encoding="utf-8")
    with (
        pytest.warns(CultureLensWarning, match="1 of 1 rows: 1 whose answer is withheld"),
        pytest.raises(InputError, match="there are no questions"),
    ):
        load_benchmark("commonsenseqa", tmp_path)
