"""The rule by hand: what was looked at, whether counted or not, is not unseen."""

import json
import warnings
from dataclasses import replace

import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.question import Question
from culture_lens.questions.unseen import apart, joined, looked_at, looked_at_by, unseen
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions


def asked(name, group="", benchmark="b"):
    return Question(name, "Japan", "?", ("tea", "milk"), 0, group=group, benchmark=benchmark)


def names(questions):
    return [question.id for question in questions]


def test_groups_and_ids_are_recorded_benchmark_by_benchmark():
    given = [asked("2", "g"), asked("1", "g"), asked("1", benchmark="a")]
    record = looked_at(given)
    assert record == {
        "groups": ["1", "g"],
        "looked_at": {
            "a": {"groups": ["1"], "ids": ["1"]},
            "b": {"groups": ["g"], "ids": ["1", "2"]},
        },
    }
    assert json.loads(json.dumps(record)) == record  # a file gives back the same
    assert looked_at([]) == {"groups": [], "looked_at": {}}


def test_a_question_is_known_by_its_id_where_its_group_has_another_name():
    """Linked rows are named by the first row that is loaded: without it the group is another."""
    identified = looked_at([asked("2", "2"), asked("3", "2")])
    whole = [asked(n, "1") for n in "1234"] + [asked("5")]
    assert names(apart(whole, identified)) == ["5"]


def test_one_name_in_two_benchmarks_is_two_groups():
    """CountryRC's published passages are called 0, 1, 2, as CulturalBench's questions are."""
    record = looked_at([asked("7"), asked("12/1/Iran", "12", "countryrc")])
    held_out = [asked("12"), asked("8"), asked("7")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(unseen(found_set(**record), held_out)) == ["12", "8"]
    passages = [asked("12/2/Spain", "12", "countryrc"), asked("13/1/Iran", "13", "countryrc")]
    assert names(unseen(found_set(**record), passages)) == ["13/1/Iran"]


def test_a_benchmark_that_is_not_recorded_is_compared_by_name_and_said():
    found = found_set(**looked_at([asked("7"), asked("8")]))
    copied = [asked("7", benchmark="table"), asked("9", benchmark="table")]
    with pytest.warns(CultureLensWarning, match="1 questions of table.*groups of b, which found"):
        assert names(unseen(found, copied)) == ["9"]
    assert names(apart(copied, found.metadata)) == ["7", "9"]  # where no copy can be


def test_records_are_joined():
    one, other = looked_at([asked("1"), asked("2", "g")]), looked_at([asked("3", "g", "a")])
    both = joined(one, other)
    assert both == looked_at([asked("1"), asked("2", "g"), asked("3", "g", "a")])
    sets = found_set(**one), found_set(**other)
    assert looked_at_by(*sets) == both == joined(both, one)
    old = {"groups": ["x"], "only_correct": False}
    assert joined(one, old) == {"groups": ["1", "g", "x"]}
    assert joined(one, {**old, "only_correct": True})["only_correct"] is True
    assert joined({"model": "m"}, {}) == {} and joined(one, {}) == {"groups": ["1", "g"]}


def test_a_set_without_a_record_is_said():
    with pytest.warns(CultureLensWarning, match="do not say which questions found them"):
        assert len(unseen(found_set(), toy_questions())) == 16


# ------------------------------------------------------------------ sets of version 0.1.0


def of_version_0_1(**facts):
    """Named the groups that were counted, and nothing else."""
    return found_set(groups=["food"], benchmark="toy", **facts)


def test_an_old_set_of_all_answers_is_complete():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        left = unseen(of_version_0_1(only_correct=False), toy_questions())
    assert {q.group for q in left} == {"sport", "drink", "city"}


def test_an_old_set_of_right_answers_is_refused():
    found = of_version_0_1(only_correct=True)
    with pytest.raises(InputError, match=r"0\.1\.0.*among 12 of the questions.*Find.*again.*seen="):
        unseen(found, toy_questions())
    with pytest.warns(CultureLensWarning) as said:
        assert len(unseen(found, toy_questions(), seen=True)) == 16
    assert ["0.1.0" in str(one.message) for one in said] == [True, False]
    elsewhere = [replace(q, benchmark="other", group="", id=f"o{q.id}") for q in toy_questions()]
    assert unseen(found, elsewhere) == elsewhere
    again = found_set(only_correct=True, benchmark="toy", **looked_at(toy_questions()[:4]))
    assert len(unseen(again, toy_questions())) == 12


# ------------------------------------------------------------------ benchmarks


def test_subsets_and_wordings_of_a_benchmark_share_its_groups():
    first = load_benchmark("everyday", wording=0, limit=2)
    other = load_benchmark("everyday", wording=3, limit=3)
    left = apart(other, looked_at(first))
    assert left and not {q.group for q in left} & {q.group for q in first}


def test_a_passage_is_seen_in_every_country_and_wording():
    one = load_benchmark("countryrc", countries=["Iran", "UK"], split="identify", wording=0)
    left = apart(load_benchmark("countryrc", countries=["Spain", "UK"]), looked_at(one))
    assert {q.split for q in left} == {"evaluate"}
