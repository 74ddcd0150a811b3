"""The bundled set: its items are what its README says, the same in every process."""

import csv
import hashlib
from collections import Counter
from dataclasses import astuple

import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.benchmarks.everyday import everyday_questions
from culture_lens.benchmarks.reading.rows import as_frame
from culture_lens.errors import InputError
from culture_lens.storage.bundled import data_path
from tests.helpers.chance import chi_square_p
from tests.helpers.processes import run_python

COLUMNS = ("group", "topic", "culture", "question", "answer", "source")


@pytest.fixture(scope="module")
def questions():
    return load_benchmark("everyday")


@pytest.fixture(scope="module")
def truth():
    """(group, culture) -> row, read without the package's reader."""
    with data_path("everyday", "questions.csv").open(encoding="utf-8", newline="") as file:
        return {(row["group"], row["culture"]): row for row in csv.DictReader(file)}


def test_counts(questions):
    assert len(questions) == len({q.id for q in questions}) == 480
    assert set(Counter(q.culture for q in questions).values()) == {60}
    assert set(Counter(q.group for q in questions).values()) == {8}
    assert len({q.culture for q in questions}) == 8


def test_gold_is_the_own_answer_and_the_others_are_true_elsewhere(questions, truth):
    for question in questions:
        row = truth[question.group, question.culture]
        assert question.id == f"{question.group}/{question.culture}"
        assert question.options[question.answer] == row["answer"]
        assert (question.text, question.category) == (row["question"], row["topic"])
        assert question.metadata["source"] == row["source"]
        owners = question.metadata["option_cultures"]
        assert len(set(owners)) == 4 and owners[question.answer] == question.culture
        for option, owner in zip(question.options, owners, strict=True):
            assert option == truth[question.group, owner]["answer"]


def test_gold_position_is_balanced(questions):
    assert chi_square_p([120, 120, 120, 120]) == pytest.approx(1.0)
    assert chi_square_p([100, 100, 100, 180]) < 1e-6  # the bound can fail
    positions = Counter(q.answer for q in questions)
    assert chi_square_p([positions[i] for i in range(4)]) > 0.01


def test_every_culture_is_a_wrong_option_about_equally_often(questions):
    wrong = Counter(
        owner
        for question in questions
        for owner in question.metadata["option_cultures"]
        if owner != question.culture
    )
    # Each of 420 items takes a given other culture with probability 3/7: sd 10.1, so four sd.
    assert sum(wrong.values()) == 3 * 480
    assert all(abs(count - 180) < 41 for count in wrong.values()), wrong


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2"])
def test_same_in_a_fresh_process_with_another_hash_seed(questions, seed):
    code = (
        "import hashlib; from dataclasses import astuple;"
        "from culture_lens.benchmarks import load_benchmark as l;"
        "print(hashlib.sha256(repr([*map(astuple, l('everyday'))]).encode()).hexdigest())"
    )
    there = run_python(code, PYTHONHASHSEED=seed).strip()
    assert there == hashlib.sha256(repr([*map(astuple, questions)]).encode()).hexdigest()


def test_local_copy_as_file_and_as_folder(questions):
    path = data_path("everyday", "questions.csv")
    assert load_benchmark("everyday", path) == questions
    assert load_benchmark("everyday", path.parent) == questions


def test_items_do_not_depend_on_the_order_of_the_rows(questions, truth):
    backwards = everyday_questions(as_frame(list(truth.values())[::-1]))
    assert backwards[::-1] == questions


def rows_of(*cells):
    return as_frame([dict(zip(COLUMNS, row, strict=True)) for row in cells])


def row(culture, answer, group="g1"):
    return (group, "Food", culture, f"Which soup in {culture}?", answer, "a book")


def test_bad_groups_are_named():
    full = [row("Japan", "miso"), row("Italy", "minestrone"), row("Mexico", "pozole")]
    with pytest.raises(InputError, match=r"group 'g1' has 3 cultures.*4"):
        everyday_questions(rows_of(*full))
    with pytest.raises(InputError, match=r"'g1' asks 'Japan' twice"):
        everyday_questions(rows_of(*full, row("India", "rasam"), row("Japan", "ramen")))
    with pytest.raises(InputError, match=r"'g1/Japan' would get an option twice"):
        everyday_questions(rows_of(*full, row("India", "pozole ")))


def test_missing_bundled_file_says_where_it_looked():
    with pytest.raises(InputError, match=r"everyday/nothing\.csv.*neither in.*nor in.*reinstall"):
        data_path("everyday", "nothing.csv")
