"""A user's own table, in every shape it may come in, good and bad."""

import json

import datasets
import numpy as np
import pandas as pd
import pytest

from culture_lens.benchmarks import load_benchmark, questions_from_table
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.images import as_image
from culture_lens.questions.question import PromptFormat
from tests.helpers.table import COINS, ROWS, row


def golds(rows, **options):
    return [q.options[q.answer] for q in questions_from_table(rows, **options)]


def test_every_way_to_hand_in_the_same_rows(tmp_path):
    flat = [{**r, "options": json.dumps(r["options"])} for r in ROWS]
    pd.DataFrame(flat).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame(flat).to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    pd.DataFrame(ROWS).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    expected = questions_from_table(ROWS)
    assert [q.culture for q in expected] == ["Japan", "South Korea", "Mexico"]
    assert [q.answer for q in expected] == [0, 1, 2]
    assert [q.id for q in expected] == ["1", "2", "3"]
    assert expected[0].options == tuple(COINS)
    for kind in ("csv", "tsv", "parquet", "json", "jsonl"):
        assert questions_from_table(tmp_path / f"a.{kind}") == expected
        assert load_benchmark("table", tmp_path / f"a.{kind}") == expected
    assert questions_from_table(str(tmp_path / "a.csv")) == expected
    assert questions_from_table(pd.DataFrame(ROWS)) == expected
    assert questions_from_table(datasets.Dataset.from_list(ROWS)) == expected
    assert questions_from_table(iter(ROWS)) == expected


def test_all_columns_have_a_place():
    rows = [
        {"n": "x1", "land": " Japan ", "ask": "Coin?", "a": "yen", "b": "won", "c": "", "gold": 0,
         "topic": "money", "variant": "g", "picture": as_image(b"x", where="here")},
        {"n": "x2", "land": "NA", "ask": "Coin?", "a": "yen", "b": "won", "c": "peso", "gold": 1,
         "topic": None, "variant": "g", "picture": None},
    ]  # fmt: skip
    form = PromptFormat(instruction="Say one letter.")
    first, second = questions_from_table(
        rows, id="n", culture="land", question="ask", options=["a", "b", "c"], answer="gold",
        category="topic", group="variant", image="picture", benchmark="mine", prompt=form,
    )  # fmt: skip
    assert (first.id, first.culture, first.text, first.group) == ("x1", "Japan", "Coin?", "g")
    assert first.options == ("yen", "won") and second.options == ("yen", "won", "peso")
    assert (first.answer, second.answer) == (0, 1)
    assert (first.category, second.category) == ("money", "")
    assert first.image is rows[0]["picture"] and second.image is None
    assert second.culture == "NA"
    assert first.benchmark == "mine" and first.prompt is form


def test_a_culture_or_answer_that_looks_like_a_gap_survives_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("culture,question,a,b,answer\nNA,Q?,None,nan,None\nnull,Q?,None,nan,nan\n")
    questions = questions_from_table(path, options=["a", "b"])
    assert [q.culture for q in questions] == ["NA", "null"]
    assert [q.options[q.answer] for q in questions] == ["None", "nan"]


@pytest.mark.parametrize(
    "answers",
    [
        ["won", " peso ", "yen"],
        ["B", "c", " A"],
        [1, 2, 0],
        ["1", "2", "0"],
        [1.0, 2.0, 0.0],
        list(np.array([1, 2, 0])),
    ],
)
def test_answers_as_text_letter_or_index(answers, recwarn):
    assert golds([row(answer=a) for a in answers]) == ["won", "peso", "yen"]
    assert not recwarn


def test_options_as_list_array_json_or_object():
    shapes = [COINS, tuple(COINS), np.array(COINS), json.dumps(COINS)]
    shapes += [dict(zip("ABC", COINS, strict=True))]
    shapes += [json.dumps(dict(zip("ABC", COINS, strict=True)))]
    for options in shapes:
        assert golds([row(options=options, answer="B")]) == ["won"]
    keyed = {"p": "yen", "q": "won"}
    assert golds([row(options=keyed, answer="q")]) == ["won"]


def test_number_options_are_read_as_most_rows_say(recwarn):
    # "2" is an option's text in the first row only; as a column these are indexes.
    rows = [row(options=["1", "2", "3"], answer="2"), row(answer="0"), row(answer="1")]
    assert golds(rows) == ["3", "yen", "won"]
    # All fit as text, one not as an index: text, without doubt.
    rows = [row(options=["1", "2", "3"], answer=a) for a in ("1", "2", "3")]
    assert golds(rows) == ["1", "2", "3"]
    assert not recwarn


def test_real_ambiguity_is_said_and_can_be_settled(recwarn):
    rows = [row(options=["0", "2", "1"], answer=a) for a in ("0", "1", "2")]
    with pytest.warns(CultureLensWarning) as caught:
        assert golds(rows) == ["0", "1", "2"]
    (message,) = [str(w.message) for w in caught]
    for words in ("column 'answer'", "as text or as index", "in 2 of 3 rows", "answer_as='text'"):
        assert words in message
    recwarn.clear()
    assert golds(rows, answer_as="text") == ["0", "1", "2"]
    assert golds(rows, answer_as="index") == ["0", "2", "1"]
    assert not recwarn


def test_letter_options_are_ambiguous_only_where_it_matters(recwarn):
    assert golds([row(options=["A", "B", "C"], answer="B")]) == ["B"]
    assert not recwarn
    with pytest.warns(CultureLensWarning, match="as text or as letter.*in 1 of 1 rows"):
        assert golds([row(options=["B", "A"], answer="B")]) == ["B"]
    assert golds([row(options=["B", "A"], answer="B")], answer_as="letter") == ["A"]


def test_shuffle_moves_the_gold_along_and_depends_on_the_id_alone():
    rows = [row(answer="won", n=f"q{i}", options=[*COINS, "real"]) for i in range(80)]
    plain, mixed = (questions_from_table(rows, id="n", shuffle=s) for s in (False, True))
    for before, after in zip(plain, mixed, strict=True):
        assert sorted(before.options) == sorted(after.options)
        assert after.options[after.answer] == "won"
    assert {q.answer for q in plain} == {1}
    # 80 of 4: the chance that a position gets fewer than 8 is below 1 in 1000.
    assert all(sum(q.answer == i for q in mixed) >= 8 for i in range(4))
    assert questions_from_table(rows[::-1], id="n", shuffle=True) == mixed[::-1]


BAD = {
    "gold index out of range": (row(answer=7), ["7", "out of range"]),
    "gold letter out of range": (row(answer="F"), ["'F'", "out of range", "one of A, B, C"]),
    "gold text elsewhere": (row(answer="lira"), ["'lira'", "'yen', 'won', 'peso'"]),
    "negative gold": (row(answer=-1), ["-1", "out of range", "from 0 to 2"]),
    "blank gold": (row(answer=None), ["None", "out of range"]),
    "options collide": (row(options=["yen", "yen ", "won"]), ["'yen'", "twice", "stripped"]),
    "one option": (row(options=["yen"]), ["at least two options"]),
    "blank option": (row(options=["yen", " ", "won"]), ["none of them empty"]),
    "blank culture": (row(culture="  "), ["culture must not be empty"]),
    "options in one string": (
        row(options="yen, won"),
        ["column 'options'", "list of column names"],
    ),
    "options missing": (row(options=None), ["column 'options'"]),
    "options a number": (row(options="3"), ["column 'options'"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_row_is_named_or_skipped_with_a_count(case, tmp_path):
    bad, words = BAD[case]
    rows = [ROWS[0], ROWS[1], bad]
    with pytest.raises(InputError) as caught:
        questions_from_table(rows)
    for word in ("row 3", "on_bad='skip'", *words):
        assert word in str(caught.value)
    with pytest.warns(CultureLensWarning) as said:
        assert questions_from_table(rows, on_bad="skip") == questions_from_table(ROWS[:2])
    (message,) = [str(w.message) for w in said]
    assert "table: dropped 1 of 3 rows" in message and "row 3" in message
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(InputError, match=r"own\.jsonl, row 3: "):
        load_benchmark("table", path)


def test_duplicate_ids_name_both_rows():
    rows = [row(n="a"), row("Mexico", n="b"), row("Italy", n=" a")]
    with pytest.raises(InputError, match="row 3: id 'a' occurs twice, first in row 1"):
        questions_from_table(rows, id="n")
    with pytest.warns(CultureLensWarning, match="dropped 1 of 3"):
        assert [q.id for q in questions_from_table(rows, id="n", on_bad="skip")] == ["a", "b"]


def test_all_rows_bad_leaves_no_questions():
    with pytest.warns(CultureLensWarning, match="dropped 1 of 1"), pytest.raises(InputError):
        questions_from_table([row(answer="lira")], on_bad="skip")


def test_missing_columns_name_what_is_there():
    with pytest.raises(InputError) as caught:
        questions_from_table(ROWS, culture="country", options=["a", "b"])
    assert "'country', 'a', 'b' is missing" in str(caught.value)
    assert "'culture', 'question', 'options', 'answer'" in str(caught.value)


def test_bad_options_of_the_call():
    with pytest.raises(InputError, match="on_bad='drop': use 'error' or 'skip'"):
        questions_from_table(ROWS, on_bad="drop")
    with pytest.raises(InputError, match="answer_as='word'"):
        questions_from_table(ROWS, answer_as="word")


def test_one_culture_is_refused_unless_asked_for(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row(), row()]), encoding="utf-8")
    with pytest.raises(InputError, match=r"only 1 culture \(Japan\)"):
        load_benchmark("table", path)
    assert len(load_benchmark("table", path, cultures=["Japan"])) == 2
    assert len(questions_from_table(path)) == 2


def test_without_an_image_column_nothing_changes(recwarn):
    assert [q.group for q in questions_from_table(ROWS)] == ["1", "2", "3"]
    assert all(q.image is None for q in questions_from_table(ROWS))
