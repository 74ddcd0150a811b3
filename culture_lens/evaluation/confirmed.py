"""knowledge at a false discovery rate: one half of the questions finds, the other confirms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from culture_lens.attribution.countryrc import countryrc_questions_for
from culture_lens.attribution.knowledge import KnowledgeScores, halves_of, knowledge_scores
from culture_lens.errors import InputError
from culture_lens.evaluation.confirm import GROUPS, confirm
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.running import RunningOptions
from culture_lens.questions.question import Question
from culture_lens.selectors.selection import Selection, choose

COUNTRYRC = ("countries", "countryrc", "countryrc_wordings")
"""Options of ``knowledge_scores`` that say what CountryRC asks."""


def confirmed_knowledge(
    model: LensModel,
    questions: Sequence[Question],
    selection: Selection,
    options: Mapping[str, Any],
) -> tuple[NeuronSet, KnowledgeScores]:
    """Find candidates on one half of the question groups, and confirm them on the other.

    CountryRC questions that share a group with the half that confirms are left out.

    Args:
        model: The model.
        questions: The questions that identify.
        selection: Made by ``plan`` with a false discovery rate.
        options: Those of ``knowledge_scores``.

    Returns:
        What is confirmed, and the scores that candidates were chosen from.

    Raises:
        InputError: Too few question groups for two halves with all cultures, or anything that
            ``knowledge_scores`` or ``confirm`` refuses.

    Example:
        ``confirmed_knowledge(model, identify, plan("knowledge", fdr=0.05), {})``
    """
    halves = halves_of(questions)
    if not halves or selection.fdr is None:
        raise InputError(
            "fdr= needs questions that find candidates and others that confirm them, and in two "
            "halves of these question groups one lacks a culture: give more groups, or share= or "
            "k=."
        )
    finding, confirming = halves
    held = {question.group for question in confirming}
    given = {name: options.get(name) for name in COUNTRYRC}
    passages = countryrc_questions_for(
        questions, given["countries"], given["countryrc"], given["countryrc_wordings"]
    )
    own = {name: value for name, value in options.items() if name not in COUNTRYRC}
    apart = [question for question in passages if question.group not in held]
    scores = knowledge_scores(model, finding, countryrc=apart, **own)
    running = {name: own[name] for name in RunningOptions.__optional_keys__ if name in own}
    scoring = scores.task.metadata["scoring"]
    candidates = choose(scores, selection)
    groups = selection.groups or groups_for(candidates)
    found = confirm(
        model,
        candidates,
        confirming,
        groups=groups,
        fdr=selection.fdr,
        scoring=scoring,
        **running,
    )
    return found, scores


def groups_for(candidates: NeuronSet) -> int:
    """Give ``confirm``'s own number of groups, or that of candidates where a culture has fewer."""
    return min([GROUPS, *(len(candidates[name]) for name in candidates if len(candidates[name]))])
