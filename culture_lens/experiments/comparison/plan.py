"""What a comparison of selectors is to run, checked before anything runs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.find import check_options, summarise
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import check_share
from culture_lens.prompts.prompt import roles_of
from culture_lens.questions.question import Question
from culture_lens.questions.splits import check_enough, split_questions
from culture_lens.selectors import SELECTORS, plan
from culture_lens.selectors.ranking import get_ranking
from culture_lens.selectors.registry import key_of


def checked(
    selectors: Sequence[str], random_seeds: int, summary_options: Mapping[str, Any]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Give the names of selectors, each once, and the options of ``summarise``.

    Raises:
        InputError: Unknown ones, none, or options that a selector cannot do with.
    """
    names = tuple(dict.fromkeys(map(key_of, selectors)))
    for name in names:
        get_ranking(name)
    if not names or random_seeds < 1:
        raise InputError("give at least one selector, and random_seeds of 1 or more.")
    options = check_options(summarise, summary_options)
    if "sites" in options:
        raise InputError("selectors are compared at the model's default site: leave out sites.")
    roles_of(options.get("roles", "content"))
    for name in SELECTORS.keys() & set(names):
        plan(name, magnitudes=options.get("magnitudes", True))
    return names, options


def numbers_of(model: LensModel, shares: Sequence[float]) -> dict[float, int]:
    """Give how many neurons each share is, smallest first.

    Raises:
        InputError: No shares, one outside (0, 1], one that chooses no neuron, or two that choose
            as many.
    """
    if not len(shares):
        raise InputError("give at least one share, such as shares=(0.001, 0.003, 0.01).")
    layers, width = model.shape(model.default_site)
    numbers = {share: int(check_share(share) * layers * width) for share in sorted(set(shares))}
    if min(numbers.values()) < 1 or len(set(numbers.values())) < len(numbers):
        raise InputError(
            f"shares {', '.join(map(str, numbers))} choose {', '.join(map(str, numbers.values()))} "
            f"of {layers * width} neurons: each must choose at least one, and more than the last."
        )
    return numbers


def halves(
    questions: Sequence[Question], identify_share: float
) -> tuple[list[Question], list[Question]]:
    """Split questions, and leave out of the second half the groups that are in the first.

    Raises:
        InputError: One half has no questions, or too few of a culture to identify with.
    """
    identify, rest = split_questions(questions, identify_share)
    check_enough(identify)
    groups = {question.group for question in identify}
    held_out = [question for question in rest if question.group not in groups]
    if not held_out:
        raise InputError(
            f"{len(identify)} questions identify and none are left to evaluate on: give more "
            "question groups, or identify_share below 1."
        )
    if len(held_out) < len(rest):
        warnings.warn(
            f"{len(rest) - len(held_out)} of {len(rest)} questions held out share a group with one "
            "that identifies and are not asked.",
            CultureLensWarning,
            stacklevel=3,
        )
    return identify, held_out


def cultures_of(
    identify: Sequence[Question], held_out: Sequence[Question], cultures: Sequence[str]
) -> tuple[str, ...]:
    """Give the cultures whose neurons are ablated.

    Raises:
        InputError: One that a half lacks, or fewer than two.
    """
    found, asked = ({q.culture for q in half} for half in (identify, held_out))
    both = sorted(found & asked)
    for culture in cultures:
        if culture not in both:
            raise unknown("culture of both halves", culture, both)
    if not cultures and (lacking := sorted(found ^ asked)):
        warnings.warn(
            f"{', '.join(lacking)}: in one half of the questions only, so not compared.",
            CultureLensWarning,
            stacklevel=3,
        )
    chosen = tuple(dict.fromkeys(cultures)) or tuple(both)
    if len(chosen) < 2:
        raise InputError(
            f"a comparison needs at least two cultures that both halves ask about, got "
            f"{', '.join(chosen) or 'none'}: give more questions, or another identify_share."
        )
    return chosen


def say_if_fewer(
    masks: Sequence[tuple[Mapping[str, Any], Neurons]], numbers: Mapping[float, int]
) -> None:
    """Warn of selectors whose rankings have not as many neurons as were asked for."""
    few: dict[str, list[str]] = {}
    for facts, own in masks:
        if len(own) < numbers[facts["share"]]:
            told = f"{facts['mask']} {len(own)} of {numbers[facts['share']]}"
            few.setdefault(facts["selector"], []).append(told)
    if few:
        told = "; ".join(f"{name} ({len(own)} sets, {own[0]})" for name, own in few.items())
        warnings.warn(
            f"not every ranking has as many neurons as asked for: {told}. These sets are smaller "
            "than the others'; see the column 'taken'.",
            CultureLensWarning,
            stacklevel=3,
        )
