"""Experiment: what is done with the questions of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from culture_lens.attribution.paths import Path, PathName
from culture_lens.checks import check_fields, flag, optional, real, whole


class ExperimentOptions(TypedDict, total=False):
    """The fields of ``Experiment`` as keyword arguments."""

    random_seeds: int
    conditions: int | None
    first_layer: int
    identify_share: float
    only_correct: bool
    path: PathName | None
    points: int
    new_tokens: int


@dataclass(frozen=True)
class Experiment:
    """What is done with the questions.

    Attributes:
        random_seeds: Sets of random neurons beside each culture's.
        conditions: Conditions of the ablation; by default the unmodified model, and every
            culture's neurons and random ones. 0 leaves the ablation out.
        first_layer: The first layer with an ablated neuron: those below are run once.
        identify_share: Share of the question groups that identify.
        only_correct: Whether only items that are answered right are counted.
        path: Path of gradients; see ``attribute``. By default that of the method.
        points: Its points.
        new_tokens: Tokens of a written answer, of ``scoring="generation"``.

    Raises:
        InputError: A number out of its range.

    Example:
        >>> Experiment(random_seeds=2).conditions_of(25)
        76
    """

    random_seeds: int = 5
    conditions: int | None = None
    first_layer: int = 0
    identify_share: float = 0.5
    only_correct: bool = False
    path: PathName | None = None
    points: int = 6
    new_tokens: int = 32

    def __post_init__(self) -> None:
        """Check every number."""
        numbers = dict.fromkeys(("random_seeds", "first_layer"), whole(0))
        own = dict.fromkeys(("points", "new_tokens"), whole(1))
        check_fields(
            self,
            **numbers,
            **own,
            conditions=optional(whole(0)),
            identify_share=real,
            only_correct=flag,
        )
        Path(self.path or "none", self.points)

    def conditions_of(self, cultures: int) -> int:
        """Count the conditions of an ablation matrix of so many cultures."""
        if self.conditions is not None:
            return self.conditions
        return 1 + cultures * (1 + self.random_seeds)


__all__ = ["Experiment", "ExperimentOptions"]
