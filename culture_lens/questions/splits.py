"""Splits of questions that keep question groups whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from culture_lens.checks import SEED, check_arguments, real
from culture_lens.errors import InputError
from culture_lens.questions.question import QUESTIONS, Question, check_questions, stable_hash


@check_arguments(questions=QUESTIONS, identify_share=real)
def split_questions(
    questions: Sequence[Question], identify_share: float = 0.5
) -> tuple[list[Question], list[Question]]:
    """Split questions into those that identify and those that evaluate, groups kept whole.

    The benchmark's own split is used where it has one; otherwise groups are split by a stable
    hash, the same on every machine.

    Args:
        questions: All questions.
        identify_share: Share of the groups that identify.

    Raises:
        InputError: A share outside (0, 1].

    Example:
        ``identify, held_out = split_questions(load_benchmark("everyday"))``
    """
    if not 0 < identify_share <= 1:
        raise InputError(f"identify_share={identify_share} is outside (0, 1].")
    undecided = {q.group for q in questions if not q.split}
    ordered = sorted(undecided, key=lambda group: (stable_hash(f"split\0{group}"), group))
    chosen = set(ordered[: round(identify_share * len(ordered))])
    first = [q for q in questions if q.split == "identify" or (not q.split and q.group in chosen)]
    held = {q.id for q in first}
    return first, [q for q in questions if q.id not in held]


def check_enough(questions: Sequence[Question], least: int = 2) -> None:
    """Check that every culture has enough items for a statistic.

    Raises:
        InputError: A culture has fewer.
    """
    check_questions(questions)
    counts: dict[str, int] = {}
    for question in questions:
        counts[question.culture] = counts.get(question.culture, 0) + 1
    few = [f"{culture} ({n})" for culture, n in sorted(counts.items()) if n < least]
    if few:
        raise InputError(
            f"fewer than {least} items to count for {', '.join(few)}: give more questions, leave "
            "these cultures out, or count items answered wrong too (only_correct=False)."
        )


@check_arguments(questions=QUESTIONS, seed=SEED)
def halves(questions: Sequence[Question], seed: int = 0) -> tuple[list[Question], list[Question]]:
    """Split questions into two halves, question groups kept whole, the same on every machine.

    Groups with the same cultures alternate between the halves, so each culture is halved too.

    Args:
        questions: The questions.
        seed: Seed of the split.

    Raises:
        InputError: Fewer than two groups.

    Example:
        ``first, second = halves(load_benchmark("everyday"), seed=1)``
    """
    groups = {question.group for question in questions}
    if len(groups) < 2:
        raise InputError(f"halves need at least two question groups, there are {len(groups)}.")
    return dealt(questions, {group: stable_hash(f"halves\0{seed}\0{group}") for group in groups})


def dealt(
    questions: Sequence[Question], rank: Mapping[str, Any]
) -> tuple[list[Question], list[Question]]:
    """Deal question groups alternately to two halves, those of the same cultures one after another.

    Args:
        questions: The questions.
        rank: The order of groups of the same cultures; ties in the order of their names.
    """
    asked: dict[str, set[str]] = {}
    for question in questions:
        asked.setdefault(question.group, set()).add(question.culture)
    ordered = sorted(asked, key=lambda group: (sorted(asked[group]), rank[group], group))
    chosen = set(ordered[::2])
    return (
        [question for question in questions if question.group in chosen],
        [question for question in questions if question.group not in chosen],
    )


def at_most(questions: Sequence[Question], per_culture: int | None) -> list[Question]:
    """Keep at most so many questions of each culture, chosen by a stable hash of the id.

    Example:
        ``at_most(questions, 50)``
    """
    if per_culture is None:
        return list(questions)
    kept: set[str] = set()
    for culture in {q.culture for q in questions}:
        own = [q for q in questions if q.culture == culture]
        own.sort(key=lambda q: (stable_hash(q.id), q.id))
        kept.update(q.id for q in own[:per_culture])
    return [q for q in questions if q.id in kept]
