"""Which questions were looked at when neurons were found; only the others may evaluate them.

The rule, for every stage: a question that was given to find neurons was looked at, whether it was
counted or not. One that was left out because it was answered wrong can only gain when it is asked
again; one above a limit per culture, or too long, belongs to the half that identifies all the same.
A question is unseen if no question of its group was looked at.

``looked_at`` writes the record into the metadata of summaries, scores and neuron sets; ``joined``
joins the records of several; ``apart`` leaves out what a record names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from culture_lens.checks import check_arguments, each, flag, instance
from culture_lens.errors import InputError, warn

Record = Mapping[str, Any]
"""Metadata; of these ``groups``, ``looked_at``, ``benchmark`` and ``only_correct`` are read."""


@runtime_checkable
class Asked(Protocol):
    """A question of any kind: ``Question`` or ``ShortQuestion``."""

    @property
    def id(self) -> str:
        """Unique in its benchmark."""

    @property
    def group(self) -> str:
        """The question group."""

    @property
    def benchmark(self) -> str:
        """The benchmark it comes from."""


@runtime_checkable
class Found(Protocol):
    """Whatever says in its metadata what it was found on: neuron set, scores or summary."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Where it comes from."""


AnyQuestion = TypeVar("AnyQuestion", bound=Asked)


ASKED = each(Asked, "questions")
FOUND = instance(Found, remedy="a NeuronSet, scores or a summary")


@check_arguments(questions=ASKED)
def looked_at(questions: Sequence[Asked]) -> dict[str, Any]:
    """Name the questions that are given to find neurons, for the metadata of what is found.

    Args:
        questions: All that are given, also those that will not be counted.

    Returns:
        ``groups``: the question groups; ``looked_at``: groups and ids, benchmark by benchmark.

    Example:
        >>> from culture_lens.benchmarks import load_benchmark
        >>> looked_at(load_benchmark("everyday", cultures=["Japan"], limit=1))["groups"]
        ['food-07']
    """
    by_benchmark: dict[str, list[Asked]] = {}
    for question in questions:
        by_benchmark.setdefault(question.benchmark, []).append(question)
    return {
        "groups": sorted({question.group for question in questions}),
        "looked_at": {
            name: {"groups": sorted({q.group for q in own}), "ids": sorted({q.id for q in own})}
            for name, own in sorted(by_benchmark.items())
        },
    }


def joined(*records: Record) -> dict[str, Any]:
    """Join what several records name: what any of them looked at was looked at.

    Example:
        >>> joined({"groups": ["a"]}, {"groups": ["b"]})
        {'groups': ['a', 'b']}
    """
    if not any(is_recorded(record) for record in records):
        return {}
    groups = sorted({group for record in records for group in record.get("groups", ())})
    if any(incomplete(record) for record in records):
        return {"groups": groups, "only_correct": True}
    if not all("looked_at" in record for record in records):
        return {"groups": groups}
    tables = [record["looked_at"] for record in records]
    return {
        "groups": groups,
        "looked_at": {
            name: {
                kind: sorted({one for table in tables for one in table.get(name, {}).get(kind, ())})
                for kind in ("groups", "ids")
            }
            for name in sorted({name for table in tables for name in table})
        },
    }


def looked_at_by(*found: Found) -> dict[str, Any]:
    """Join the records of several neuron sets, scores or summaries, for a set made of them.

    Returns:
        What ``looked_at`` gives of all the questions that any of them was found on.

    Example:
        ``replace(one, neurons=both, metadata={**one.metadata, **looked_at_by(one, other)})``
    """
    return joined(*(FOUND("found", one).metadata for one in found))


def is_recorded(record: Record) -> bool:
    """Say whether metadata name questions, be it none."""
    return "groups" in record or "looked_at" in record


def incomplete(record: Record) -> bool:
    """Say whether a record names right answers only: those of 0.1.0 leave out wrong ones."""
    return bool(record.get("only_correct")) and "looked_at" not in record


def apart(
    questions: Sequence[AnyQuestion], record: Record, *, namesakes: bool = False
) -> list[AnyQuestion]:
    """Leave out the questions that a record names, each with its whole group.

    Args:
        questions: All questions.
        record: What ``looked_at`` gave, or metadata that hold it.
        namesakes: Leave out, too, groups of other benchmarks that have the name of one in it.

    Example:
        >>> apart([], {"groups": ["a"]})
        []
    """
    named = {
        benchmark: (set(own["groups"]), set(own["ids"]))
        for benchmark, own in record.get("looked_at", {}).items()
    }
    # Version 0.1.0 did not record the benchmarks, so that only the name can tell.
    by_name = namesakes or "looked_at" not in record
    other = (set(record.get("groups", ())) if by_name else set[str](), set[str]())
    used = set()
    for question in questions:
        groups, ids = named.get(question.benchmark, other)
        if question.group in groups or question.id in ids:
            used.add((question.benchmark, question.group))
    return [question for question in questions if (question.benchmark, question.group) not in used]


@check_arguments(found=FOUND, questions=ASKED, seen=flag)
def unseen(found: Found, questions: Sequence[AnyQuestion], seen: bool = False) -> list[AnyQuestion]:
    """Leave out the questions that were looked at when neurons were found, with their groups.

    Args:
        found: A neuron set, scores or a summary; its metadata name the questions.
        questions: All questions.
        seen: Keep these questions, with a warning.

    Raises:
        InputError: Every question was looked at; or the neurons were found by version 0.1.0 on
            right answers only, and wrong ones may be among the questions.

    Warns:
        CultureLensWarning: The metadata name no questions; or questions are left out for the name
            of their group, which is that of a group of another benchmark.

    Example:
        ``evaluate(model, unseen(found, questions), found["Japan"])``
    """
    record = found.metadata
    if not is_recorded(record):
        warn(
            "these neurons do not say which questions found them, so none is left out: keep the "
            "NeuronSet's metadata, see looked_at(), or ask other questions."
        )
        return list(questions)
    fresh = apart(questions, record, namesakes=True)
    if incomplete(record):
        check_doubtful(record, fresh, seen)
    if seen:
        if len(fresh) < len(questions):
            warn(
                f"{len(questions) - len(fresh)} of the {len(questions)} items evaluated were used "
                "to find the neurons, or share a question group with one that was: the effects "
                "are too large."
            )
        return list(questions)
    if not fresh and questions:
        raise InputError(
            "every question was used to find these neurons: give other questions, find the "
            "neurons with identify_share below 1, or pass seen=True and say so in your results."
        )
    warn_of_other_benchmarks(record, questions, fresh)
    return fresh


def benchmarks_in(record: Record) -> set[str]:
    """Give the benchmarks that a record says its questions are of."""
    return {*record.get("looked_at", ()), *str(record.get("benchmark", "")).split(", ")} - {""}


def check_doubtful(record: Record, fresh: Sequence[Asked], seen: bool) -> None:
    """Refuse questions that may have been answered wrong in finding, where that was not recorded.

    Raises:
        InputError: Says how many they are; a warning with ``seen``.
    """
    known = benchmarks_in(record)
    doubtful = sum(not known or question.benchmark in {"", *known} for question in fresh)
    if not doubtful:
        return
    told = (
        "these neurons were found by culture_lens 0.1.0 on right answers only, and the items "
        f"answered wrong were not recorded: they may be among {doubtful} of the questions, and "
        "can only gain"
    )
    if not seen:
        raise InputError(
            f"{told}. Find the neurons again; or give questions that were not given to find them, "
            "with seen=True."
        )
    warn(f"{told}.")


def warn_of_other_benchmarks(
    record: Record, questions: Sequence[Asked], fresh: Sequence[Asked]
) -> None:
    """Warn of questions left out that are of another benchmark than those that identified.

    Groups of two benchmarks may have the same names by accident.
    """
    identified, kept = benchmarks_in(record), {(q.benchmark, q.id) for q in fresh}
    others = [
        question
        for question in questions
        if (question.benchmark, question.id) not in kept
        and question.benchmark not in {"", *identified}
    ]
    if others and identified:
        names = ", ".join(sorted({question.benchmark for question in others}))
        warn(
            f"{len(others)} questions of {names} are left out, because their groups have the names "
            f"of groups of {', '.join(sorted(identified))}, which found the neurons: if they are "
            "other questions, give their groups other names."
        )


__all__ = ["looked_at", "looked_at_by", "unseen"]
