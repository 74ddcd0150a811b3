"""Objectives: what an attribution explains, one number per item; each in a file of its own.

To add one, write ``objectives/mine.py`` with a function from ``OptionScores`` to one value per item
and add it to ``OBJECTIVES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.objectives.log_probability import log_probability
from culture_lens.attribution.objectives.logit_difference import logit_difference
from culture_lens.attribution.objectives.option_scores import NO_SCORE, OptionScores
from culture_lens.attribution.objectives.probability import probability
from culture_lens.errors import unknown

if TYPE_CHECKING:
    ObjectiveName = Literal["probability", "log_probability", "logit_difference"]
else:
    ObjectiveName = str  # a wrong name reaches the check that lists the right ones

Objective = Callable[[OptionScores], Float[Tensor, " item"]]
"""From the scores of the options to one number per item."""

OBJECTIVES: Mapping[str, Objective] = {
    "probability": probability,
    "log_probability": log_probability,
    "logit_difference": logit_difference,
}


def get_objective(name: str) -> Objective:
    """Find an objective by name.

    Raises:
        InputError: No such objective.

    Example:
        >>> get_objective("probability") is probability
        True
    """
    if name not in OBJECTIVES:
        raise unknown("objective", name, OBJECTIVES)
    return OBJECTIVES[name]


__all__ = [
    "NO_SCORE",
    "OBJECTIVES",
    "Objective",
    "ObjectiveName",
    "OptionScores",
    "get_objective",
    "log_probability",
    "logit_difference",
    "probability",
]
