"""Questions that did not identify the neurons, which alone may evaluate them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from culture_lens.errors import InputError, warn
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.questions.question import Question, benchmarks_of


def outside_groups(questions: Sequence[Question], groups: Collection[str]) -> list[Question]:
    """Leave out the questions of some groups."""
    return [question for question in questions if question.group not in groups]


def unseen(found: NeuronSet, questions: Sequence[Question], seen: bool) -> list[Question]:
    """Leave out the questions whose group identified the neurons.

    Args:
        found: The neurons; their metadata names the groups.
        questions: All questions.
        seen: Keep these questions, with a warning.

    Raises:
        InputError: Every question identified the neurons.

    Example:
        ``unseen(found, questions, seen=False)``
    """
    groups = set(found.metadata.get("groups", []))
    fresh = outside_groups(questions, groups)
    used = len(questions) - len(fresh)
    if not seen:
        warn_of_other_benchmarks(found, questions, groups)
    elif used:
        warn(
            f"{used} of the {len(questions)} items evaluated were used to find the neurons, or "
            "share a question group with one that was: the effects are too large."
        )
        return list(questions)
    if not fresh:
        raise InputError(
            "every question was used to find these neurons: give other questions, find the "
            "neurons with identify_share below 1, or pass seen=True and say so in your results."
        )
    return fresh


def warn_of_other_benchmarks(
    found: NeuronSet, questions: Sequence[Question], groups: Collection[str]
) -> None:
    """Warn of questions left out that are of another benchmark than the one that identified.

    Groups of two benchmarks may have the same names by accident.
    """
    identified = found.metadata.get("benchmark", "")
    known = {"", *identified.split(", ")}
    others = [q for q in questions if q.group in groups and q.benchmark not in known]
    if others and identified:
        warn(
            f"{len(others)} questions of {benchmarks_of(others)} are left out, because their "
            f"groups have the names of groups of {identified}, which found the neurons: if they "
            "are other questions, give their groups other names."
        )
