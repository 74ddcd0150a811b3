"""CardSettings: what is asked and shown for a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from culture_lens.checks import check_fields, flag, optional, text, whole
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.prompts.prompt import roles_of
from culture_lens.prompts.running import RunningOptions

if TYPE_CHECKING:
    from culture_lens.evaluation.scoring import ScoringName
else:
    ScoringName = str  # a wrong name reaches the check that lists the right ones


class CardOptions(RunningOptions, total=False):
    """The fields of ``CardSettings`` and ``Running`` as keyword arguments."""

    scoring: ScoringName | None
    roles: str | Sequence[int]
    shown: int
    measured: int | None
    seen: bool


@dataclass(frozen=True)
class CardSettings:
    """What is asked and shown for a card.

    Attributes:
        scoring: How answers are read; the model's own by default.
        roles: Tokens that count; see ``record_activations``.
        shown: How many items of highest, of lowest and of middle activation are shown.
        measured: How many items are asked with the neuron ablated, half of its own cultures, drawn
            by a hash of their ids; None for all. Shown items are asked besides.
        seen: Ask the questions that found the neurons too, with a warning.

    Example:
        >>> CardSettings(shown=2).measured
        12
    """

    scoring: ScoringName | None = None
    roles: str | Sequence[int] = "content"
    shown: int = 3
    measured: int | None = 12
    seen: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without a model."""
        check_fields(
            self,
            scoring=optional(text),
            shown=whole(1),
            measured=optional(whole(2)),
            seen=flag,
        )
        roles_of(self.roles)
        if self.scoring is not None:
            get_scoring(self.scoring)
