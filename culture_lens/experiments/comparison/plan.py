"""Check what a comparison of selectors is to run, before the model runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from culture_lens.errors import InputError, unknown, warn
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.masks import AblationMask
from culture_lens.find import check_options
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.scores import check_share
from culture_lens.prompts.prompt import roles_of
from culture_lens.questions.question import Question
from culture_lens.questions.splits import check_enough, split_questions
from culture_lens.questions.unseen import apart, looked_at
from culture_lens.selectors import SELECTORS, plan
from culture_lens.selectors.ranking import get_ranking
from culture_lens.selectors.registry import key_of


def checked(
    selectors: Sequence[str], random_seeds: int, summary_options: Mapping[str, Any]
) -> tuple[str, ...]:
    """Give the names of the selectors, each once.

    Raises:
        InputError: An unknown selector or option of ``summarise``, no selector, or options that a
            selector cannot work with.
    """
    names = tuple(dict.fromkeys(map(key_of, selectors)))
    for name in names:
        get_ranking(name)
    if not names or random_seeds < 1:
        raise InputError("give at least one selector, and random_seeds of 1 or more.")
    check_options(summarise, summary_options)
    if "sites" in summary_options:
        raise InputError("selectors are compared at the model's default site: leave out sites.")
    roles_of(summary_options.get("roles", "content"))
    for name in SELECTORS.keys() & set(names):
        plan(name, magnitudes=summary_options.get("magnitudes", True))
    return names


def numbers_of(model: LensModel, shares: Sequence[float]) -> dict[float, int]:
    """Give the number of neurons of each share, smallest first.

    Raises:
        InputError: No shares, a share outside (0, 1] or that chooses no neuron, or two shares that
            choose the same number.
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


def identify_and_held_out(
    questions: Sequence[Question], identify_share: float, passages: Sequence[Question] = ()
) -> tuple[list[Question], list[Question]]:
    """Split questions, and leave out of the held-out half the groups that identify.

    Args:
        questions: All questions.
        identify_share: Share of the groups that identify.
        passages: CountryRC questions that identify too.

    Raises:
        InputError: A half has no questions, or too few questions of a culture identify.
    """
    identify, rest = split_questions(questions, identify_share)
    check_enough(identify)
    held_out = apart(rest, looked_at([*identify, *passages]))
    if not held_out:
        raise InputError(
            f"{len(identify)} questions identify and none are left to evaluate on: give more "
            "question groups, or identify_share below 1."
        )
    if len(held_out) < len(rest):
        warn(
            f"{len(rest) - len(held_out)} of {len(rest)} questions held out share a group with one "
            "that identifies and are not asked."
        )
    return identify, held_out


def cultures_of(
    identify: Sequence[Question], held_out: Sequence[Question], cultures: Sequence[str]
) -> tuple[str, ...]:
    """Give the cultures whose neurons are ablated.

    Raises:
        InputError: A culture that a half lacks, or fewer than two cultures.
    """
    found, asked = ({q.culture for q in half} for half in (identify, held_out))
    both = sorted(found & asked)
    for culture in cultures:
        if culture not in both:
            raise unknown("culture of both halves", culture, both)
    if not cultures and (lacking := sorted(found ^ asked)):
        warn(f"{', '.join(lacking)}: in one half of the questions only, so not compared.")
    chosen = tuple(dict.fromkeys(cultures)) or tuple(both)
    if len(chosen) < 2:
        raise InputError(
            f"a comparison needs at least two cultures that both halves ask about, got "
            f"{', '.join(chosen) or 'none'}: "
            + (
                "name more in cultures=."
                if cultures
                else "give more questions, or another identify_share."
            )
        )
    return chosen


def warn_of_fewer(masks: Sequence[AblationMask], numbers: Mapping[float, int]) -> None:
    """Warn of selectors that rank fewer neurons than were asked for."""
    few: dict[str, list[str]] = {}
    for mask in masks:
        taken, asked = len(mask.neurons or ()), numbers[mask.facts["share"]]
        if taken < asked:
            few.setdefault(mask.facts["selector"], []).append(f"{mask.name} {taken} of {asked}")
    if few:
        told = "; ".join(f"{name} ({len(own)} sets, {own[0]})" for name, own in few.items())
        warn(
            f"not every ranking has as many neurons as asked for: {told}. These sets are smaller "
            "than the others'; see the column 'taken'."
        )
