"""Question, PromptFormat, the stable hash, and what is refused."""

import dataclasses
import hashlib

import pytest

from culture_lens.errors import InputError
from culture_lens.questions.question import (
    PromptFormat,
    Question,
    check_questions,
    shuffled,
    stable_hash,
    with_format,
)
from tests.helpers.processes import run_python
from tests.helpers.questions import toy_questions


def question(**changes):
    fields = {"id": "7", "culture": "Japan", "text": "Coin?", "options": ("yen", "won")}
    return Question(**{**fields, "answer": 0, **changes})


def test_group_is_the_id_where_it_is_left_empty():
    assert question().group == "7"
    assert question(group="coins").group == "coins"


def test_options_are_kept_as_written_and_have_labels():
    asked = question(options=(" yen ", "won\n", "euro"))
    assert asked.options == (" yen ", "won\n", "euro")
    assert asked.labels == "ABC"
    assert question(options=("yen", "won"), prompt=PromptFormat(labels="1234")).labels == "12"


@pytest.mark.parametrize("labels", ["", "AA", "A B", "12."])
def test_labels_that_cannot_be_told_apart_are_refused(labels):
    with pytest.raises(InputError, match="labels"):
        PromptFormat(labels=labels)


def test_more_options_than_labels_are_refused():
    with pytest.raises(InputError, match="3 options, at most 2"):
        question(options=("yen", "won", "euro"), prompt=PromptFormat(labels="12"))


def test_questions_are_frozen_and_hashable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        question().text = "other"
    assert len({question(), question(), question(metadata={"a": 1})}) <= 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": ""}, ["id and the culture must not be empty"]),
        ({"culture": ""}, ["question '7'", "culture must not be empty"]),
        ({"options": ("yen",)}, ["question '7'", "at least two options"]),
        ({"options": ()}, ["at least two options"]),
        ({"options": ("yen", "  ")}, ["none of them empty"]),
        ({"options": ("yen", " yen")}, ["'yen' occurs twice", "drop the question"]),
        ({"options": tuple(map(str, range(27)))}, ["27 options, at most 26"]),
        ({"answer": 2}, ["gold answer 2 is out of range for 2 options", "from 0"]),
        ({"answer": -1}, ["gold answer -1 is out of range"]),
        ({"answer": 9, "benchmark": "blend"}, ["question '7' of blend"]),
    ],
)
def test_bad_questions_say_what_and_where(changes, words):
    with pytest.raises(InputError) as caught:
        question(**changes)
    assert all(word in str(caught.value) for word in words)


def test_label_form_is_checked_when_it_is_written():
    for form in ("auto", "bare", "space"):
        assert PromptFormat(label_form=form).label_form == form
    with pytest.raises(InputError, match="label_form is 'spaced': use 'auto', 'bare' or 'space'"):
        PromptFormat(label_form="spaced")


def test_check_questions():
    two = [question(id="1"), question(id="2", culture="Italy")]
    check_questions(two)
    check_questions(two[:1], min_cultures=1)
    with pytest.raises(InputError, match="there are no questions.*filters"):
        check_questions([])
    with pytest.raises(InputError, match="id '1' occurs twice.*unique"):
        check_questions([*two, question(id="1", culture="Peru")])
    with pytest.raises(InputError, match=r"only 1 culture \(Japan\).*at least 2 are needed"):
        check_questions([question(id="1"), question(id="2")])


def test_stable_hash_is_sha256_in_every_process():
    digest = hashlib.sha256("Côte d'Ivoire".encode()).digest()
    assert stable_hash("Côte d'Ivoire") == int.from_bytes(digest[:8], "big")
    code = (
        "from culture_lens.questions.question import shuffled; "
        "print(shuffled(['a','b','c','d','e'], 'q'))"
    )
    there = run_python(code, PYTHONHASHSEED="123")
    assert there.strip() == str(shuffled(["e", "c", "a", "d", "b"], "q"))


def test_shuffled_keeps_the_members_and_depends_on_the_key():
    items = [f"option {i}" for i in range(8)]
    assert sorted(shuffled(items, "a")) == items
    assert len({tuple(shuffled(items, f"key {i}")) for i in range(5)}) == 5


def test_with_format_changes_the_words_only():
    asked = toy_questions()[:2]
    assert with_format(asked, None) == asked
    form = PromptFormat(answer_prefix='{"answer_choice":"')
    changed = with_format(asked, form)
    assert [q.prompt for q in changed] == [form] * 2
    assert [(q.id, q.options) for q in changed] == [(q.id, q.options) for q in asked]
