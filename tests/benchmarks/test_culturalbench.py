"""CulturalBench: the published rows against counts made here with csv alone, and rows made here."""

import csv
import math
from collections import Counter, defaultdict

import datasets
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.culturalbench import (
    EASY_WORDINGS,
    HARD_WORDINGS,
    culturalbench_questions,
)
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.errors import CultureLensWarning, InputError
from tests.helpers.marks import needs_data, quiet
from tests.helpers.places import DATA
from tests.helpers.rows import csv_rows

FOLDER = DATA / "culturalbench"
real = needs_data("culturalbench")
LETTERS = "abcd"


def said(caught):
    return [str(w.message) for w in caught if w.category is CultureLensWarning]


# The published rows.

BY_LETTER = {"122", "576"}  # "Options B and C", "A and B"
COLLIDING = {"314", "671"}
REPEATED = {"768"}  # asks what 550 asks


@real
def test_easy_rows():
    rows = csv_rows(FOLDER, "CulturalBench-Easy*.csv")
    assert len(rows) == 1227
    with pytest.warns(CultureLensWarning) as caught:
        questions = load_benchmark("culturalbench", FOLDER)
    gone = BY_LETTER | COLLIDING | REPEATED
    assert [q.id for q in questions] == [
        f"easy/{row['data_idx']}" for row in rows if row["data_idx"] not in gone
    ]
    assert said(caught) == [
        "culturalbench: 16 of 1227 rows have an option that refers to others, such as 'None of "
        "the above'; their options keep the published order.",
        "culturalbench: dropped 5 of 1227 rows: 2 with an option that refers to others by letter, "
        "2 whose options are empty or collide, 1 repeating an earlier one.",
    ]
    assert len({q.culture for q in questions}) == 45
    of = {f"easy/{row['data_idx']}": row for row in rows}
    for question in questions:
        row = of[question.id]
        options = [row[f"prompt_option_{letter}"] for letter in LETTERS]
        assert question.options[question.answer] == row[f"prompt_option_{row['answer'].lower()}"]
        assert sorted(question.options) == sorted(options)
        assert (question.text, question.culture) == (row["prompt_question"].strip(), row["country"])
        assert question.group == row["question_idx"]
        last = options[3].lower()
        if "of the above" in last or last in ("all above.", "none of the options"):
            assert list(question.options) == options


@real
@quiet
def test_gold_letters_are_even_after_the_shuffle():
    gold = Counter(row["answer"] for row in csv_rows(FOLDER, "CulturalBench-Easy*.csv"))
    assert gold["A"] == 658  # the lean that is to go
    counts = Counter(q.answer for q in load_benchmark("culturalbench", FOLDER))
    mean = sum(counts.values()) / 4
    x = sum((counts[i] - mean) ** 2 for i in range(4)) / mean
    # Upper tail of chi-square with three degrees of freedom.
    assert math.erfc(math.sqrt(x / 2)) + math.sqrt(2 * x / math.pi) * math.exp(-x / 2) > 0.01


@pytest.mark.slow
@real
def test_hard_rows():
    rows = csv_rows(FOLDER, "CulturalBench-Hard*.csv")
    assert len(rows) == 4908
    with pytest.warns(CultureLensWarning) as caught:
        questions = load_benchmark("culturalbench", FOLDER, subset="hard")
    true = defaultdict(int)
    for row in rows:
        true[row["question_idx"]] += row["answer"] == "TRUE"
    assert Counter(true.values()) == {1: 1141, 2: 73, 3: 13}
    assert said(caught) == [
        "culturalbench: 86 of 1227 questions have more than one true option; every option is a "
        "true-or-false item of its own, so all are kept.",
        "culturalbench: dropped 24 of 4908 rows: 19 whose option refers to options that are not "
        "shown, 5 repeating an earlier one.",
    ]
    assert len(questions) == 4884 and len({q.culture for q in questions}) == 45
    of = {f"hard/{row['data_idx']}": row for row in rows}
    for question in questions:
        row = of[question.id]
        assert set(question.options) == {"True", "False"}
        assert question.options[question.answer].upper() == row["answer"]
        assert question.text == (
            f"Question: {row['prompt_question'].strip()}\nProposed answer: {row['prompt_option']}"
        )
        assert (question.culture, question.group) == (row["country"], row["question_idx"])
    kept = Counter(q.group for q in questions if q.options[q.answer] == "True")
    assert sum(n > 1 for n in kept.values()) > 75
    # One half each: sd 35, so three sd.
    assert abs(sum(q.answer for q in questions) - 2442) < 105


@pytest.mark.slow
@real
@quiet
def test_both_subsets_share_groups_and_no_id():
    easy, hard = (load_benchmark("culturalbench", FOLDER, subset=s) for s in ("easy", "hard"))
    assert not {q.id for q in easy} & {q.id for q in hard}
    cultures = {q.group: q.culture for q in easy}
    assert all(cultures.get(q.group, q.culture) == q.culture for q in hard)
    assert len(cultures.keys() & {q.group for q in hard}) > 1200


# Rows made here.


def easy(number, answer="B", country="Peru", options=("corn", "rice", "wheat", "oats"), **other):
    cells = dict(zip((f"prompt_option_{letter}" for letter in LETTERS), options, strict=True))
    return {
        "data_idx": str(number),
        "question_idx": str(number),
        "prompt_question": f"What grows there, {number}?",
        **cells,
        "answer": answer,
        "country": country,
        **other,
    }


def hard(number, answer="FALSE", option="corn", group=0, country="Peru", **other):
    return {
        "data_idx": str(number),
        "question_idx": str(group),
        "prompt_question": f"What grows there, {group}?",
        "prompt_option": option,
        "answer": answer,
        "country": country,
        **other,
    }


def questions_of(*rows, **options):
    return culturalbench_questions(as_frame(list(rows)), **options)


def test_fields_of_one_row_of_each():
    (question,) = questions_of(easy(7))
    assert (question.id, question.group, question.culture) == ("easy/7", "7", "Peru")
    assert question.options[question.answer] == "rice"
    assert question.prompt is EASY_WORDINGS[0] and question.benchmark == "culturalbench"
    (question,) = questions_of(hard(7, "TRUE"), subset="hard")
    assert (question.id, question.group) == ("hard/7", "0")
    assert question.options[question.answer] == "True"
    assert question.prompt is HARD_WORDINGS[0] and question.metadata["subset"] == "hard"


def test_the_order_of_options_does_not_depend_on_the_rows():
    rows = [easy(n) for n in range(40)]
    order = {q.id: (q.options, q.answer) for q in questions_of(*rows)}
    assert {q.id: (q.options, q.answer) for q in questions_of(*rows[::-1])} == order
    assert {q.id: (q.options, q.answer) for q in questions_of(*rows[3:5])}.items() <= order.items()
    assert len({options for options, _ in order.values()}) > 10


QUIRKS = {
    "collide": (easy(1, options=("corn", "corn ", "rice", "oats")), "1 whose options are empty or"),
    "empty option": (easy(1, options=("corn", "", "rice", "oats")), "1 whose options are empty or"),
    "gold": (easy(1, answer="E"), "1 whose gold answer is out of range"),
    "no gold": (easy(1, answer=" "), "1 whose 'answer' is empty"),
    "two letters": (easy(1, answer="AB"), "1 whose gold answer is out of range"),
    "no country": (easy(1, country=None), "1 whose 'country' is empty"),
    "no id": (easy(1, data_idx=""), "1 whose 'data_idx' is empty"),
    "letters": (easy(1, options=("x", "y", "z", "A and B.")), "1 with an option that refers to"),
    "repeat": (easy(1, prompt_question="What grows there, 0?"), "1 repeating an earlier one"),
    "repeat in another order": (
        easy(
            1,
            "A",
            prompt_question="What grows there, 0?",
            options=("rice", "corn", "oats", "wheat"),
        ),
        "1 repeating an earlier one",
    ),
}


@pytest.mark.parametrize("case", QUIRKS)
def test_quirks_of_easy_are_dropped_and_said(case):
    row, words = QUIRKS[case]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(easy(0), row, easy(2))
    assert [q.id for q in questions] == ["easy/0", "easy/2"]
    (message,) = said(caught)
    assert message.startswith("culturalbench: dropped 1 of 3 rows: ") and words in message


def test_rows_that_contradict_each_other_both_go():
    other = easy(1, answer="A", prompt_question="What grows there, 0?")
    with pytest.warns(CultureLensWarning, match="2 asking the same as another with a different"):
        questions = questions_of(easy(0), other, easy(2))
    assert [q.id for q in questions] == ["easy/2"]
    # Of another country it is another question.
    assert len(questions_of(easy(0), {**other, "country": "Chad"}, easy(2))) == 3


def test_an_id_that_occurs_twice_is_numbered_and_said():
    with pytest.warns(CultureLensWarning, match=r"1 of 3 questions have an id.*'easy/1/2'"):
        questions = questions_of(easy(1), easy(1, prompt_question="Another?"), easy(2))
    assert [q.id for q in questions] == ["easy/1", "easy/1/2", "easy/2"]


@pytest.mark.parametrize("last", ["None of the above", "all of the above.", "All above", "Options"])
def test_options_that_mean_the_others_stay_last(last):
    rows = [easy(n, options=("corn", "rice", "oats", last)) for n in range(20)]
    if last == "Options":
        assert len({q.options for q in questions_of(*rows)}) > 1
        return
    with pytest.warns(
        CultureLensWarning, match="20 of 20 rows have an option that refers to others"
    ):
        questions = questions_of(*rows)
    assert {q.options for q in questions} == {("corn", "rice", "oats", last)}
    assert {q.answer for q in questions} == {1}


def test_truth_may_be_a_word_or_a_boolean():
    rows = [hard(0, "TRUE"), hard(1, True, "b"), hard(2, False, "c"), hard(3, "false", "d")]
    with pytest.warns(CultureLensWarning, match=r"1 of 1 questions have more than one true option"):
        questions = questions_of(*rows, subset="hard")
    assert [q.options[q.answer] for q in questions] == ["True", "True", "False", "False"]


def test_quirks_of_hard():
    rows = [
        hard(0, "TRUE"),
        hard(1, "FALSE", "corn "),
        hard(2, "maybe", "b"),
        hard(3, "FALSE", "None of the above"),
        hard(4, "FALSE", "Options B and C"),
        hard(5, "FALSE", "oats", group=1),
        hard(6, "FALSE", " ", group=1),
        hard(7, "FALSE", "oats", group=1),
    ]
    with pytest.warns(CultureLensWarning) as caught:
        questions = questions_of(*rows, subset="hard")
    assert [q.id for q in questions] == ["hard/5"]
    several, dropped = said(caught)
    assert "0 of 2 questions have more than one true option, and 1 have none" in several
    # 0 and 1 say the same and contradict each other.
    for words in (
        "dropped 7 of 8 rows",
        "2 asking the same as another with a different answer",
        "1 whose gold answer is out of range",
        "2 whose option refers to options that are not shown",
        "1 whose 'prompt_option' is empty",
        "1 repeating an earlier one",
    ):
        assert words in dropped


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0])
        out.writeheader()
        out.writerows(rows)


@quiet
@pytest.mark.parametrize("subset", ["easy", "hard"])
def test_hub_file_and_folder_give_the_same(subset, tmp_path, monkeypatch):
    of_hub = {
        "easy": [{**easy(n, country=c), "data_idx": n} for n, c in enumerate(("Peru", "Chad"))],
        "hard": [
            {**hard(n, n % 2 == 0, option, group=n // 2, country=c), "data_idx": n}
            for n, (option, c) in enumerate(zip("abcd", ["Peru"] * 2 + ["Chad"] * 2, strict=True))
        ],
    }
    asked = []

    def load_dataset(hub, config, *, split):
        asked.append((hub, config, split))
        return datasets.Dataset.from_list(of_hub[subset])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    expected = load_benchmark("culturalbench", subset=subset)
    assert asked == [
        ("kellycyy/CulturalBench", f"CulturalBench-{subset.capitalize()}", "test"),
    ]
    write(tmp_path / "CulturalBench-Easy.csv", of_hub["easy"])
    write(tmp_path / "CulturalBench-Hard.csv", of_hub["hard"])
    file = tmp_path / f"CulturalBench-{subset.capitalize()}.csv"
    assert load_benchmark("culturalbench", tmp_path, subset=subset) == expected
    assert load_benchmark("culturalbench", file, subset=subset) == expected
    assert len(expected) == len(of_hub[subset])


def test_bad_input_is_named(tmp_path):
    with pytest.raises(InputError, match="unknown subset of CulturalBench 'Hard'.*'hard'"):
        load_benchmark("culturalbench", tmp_path, subset="Hard")
    with pytest.raises(InputError, match=r"CulturalBench-Easy\*.*found none"):
        load_benchmark("culturalbench", tmp_path)
    write(tmp_path / "CulturalBench-Easy.csv", [easy(0)])
    with pytest.raises(InputError, match="'prompt_option' is missing"):
        load_benchmark("culturalbench", tmp_path / "CulturalBench-Easy.csv", subset="hard")
    with pytest.raises(InputError, match=r"only 1 culture \(Peru\)"):
        load_benchmark("culturalbench", tmp_path)
