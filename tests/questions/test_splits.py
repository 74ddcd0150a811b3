"""Questions in two halves that share no group, and at most so many of each culture."""

import hashlib
from dataclasses import replace

import pytest

from culture_lens.errors import InputError
from culture_lens.questions.splits import at_most, check_enough, halves, split_questions
from tests.helpers.questions import many, toy_questions


def test_halves_keep_groups_whole_and_cultures_even():
    questions = toy_questions(topics=4)
    first, second = halves(questions, 1)
    assert len(first) + len(second) == len(questions)
    assert not {q.group for q in first} & {q.group for q in second}
    for culture in {q.culture for q in questions}:
        sizes = [sum(q.culture == culture for q in half) for half in (first, second)]
        assert abs(sizes[0] - sizes[1]) <= 1
    again = halves(questions[::-1], 1)
    assert {q.id for q in again[0]} == {q.id for q in first}
    splits = {frozenset(q.group for q in halves(questions, seed)[0]) for seed in range(20)}
    assert len(splits) > 3
    with pytest.raises(InputError, match="at least two question groups, there are 1"):
        halves(questions[:1])


def test_splits_keep_groups_whole_and_do_not_depend_on_order():
    questions = many()
    first, second = split_questions(questions)
    groups = {q.group for q in first}
    assert groups.isdisjoint(q.group for q in second)
    assert len(groups) == 20 and len(first) == len(second) == 40
    by_hash = sorted(
        (f"g{g}" for g in range(40)),
        key=lambda g: hashlib.sha256(f"split\0{g}".encode()).digest()[:8],
    )
    assert groups == set(by_hash[:20])  # the same on every machine, in every process
    again, _ = split_questions(questions[::-1])
    assert {q.id for q in again} == {q.id for q in first}
    assert [q.id for q in first] == [q.id for q in questions if q.group in groups]


@pytest.mark.parametrize("share", [0.25, 0.8, 1.0])
def test_share_of_groups(share):
    first, second = split_questions(many(), share)
    assert len({q.group for q in first}) == 40 * share and len(first) + len(second) == 80


def test_more_identify_means_the_same_and_more():
    small, large = split_questions(many(), 0.3)[0], split_questions(many(), 0.6)[0]
    assert {q.id for q in small} < {q.id for q in large}


def test_the_benchmarks_own_split_is_kept():
    given = [replace(q, split="identify" if q.group < "g2" else "evaluate") for q in many()]
    first, second = split_questions(given, 0.9)
    assert {q.split for q in first} == {"identify"} and {q.split for q in second} == {"evaluate"}


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_share_outside(share):
    with pytest.raises(InputError, match=r"identify_share=.* outside \(0, 1\]"):
        split_questions(many(), share)


def test_at_most():
    questions = many()
    kept = at_most(questions, 7)
    assert [sum(q.culture == c for q in kept) for c in ("Japan", "Peru")] == [7, 7]
    assert {q.id for q in at_most(questions[::-1], 7)} == {q.id for q in kept}
    assert {q.id for q in at_most(questions, 5)} < {q.id for q in kept}
    assert kept == [q for q in questions if q in kept]
    assert at_most(questions, None) == questions == at_most(questions, 99)


def test_too_few_items():
    questions = many(3)
    check_enough(questions)
    with pytest.raises(InputError, match=r"fewer than 2 items to count for Peru \(1\).*leave"):
        check_enough([q for q in questions if q.culture == "Japan"] + questions[1:2])
    with pytest.raises(InputError, match=r"only 1 culture \(Japan\)"):
        check_enough([q for q in questions if q.culture == "Japan"])
