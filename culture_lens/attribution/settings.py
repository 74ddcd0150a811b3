"""Attribution: what is attributed, how options are read, and along which path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

from torch import Tensor

from culture_lens.attribution.aggregation import AGGREGATIONS, Joining, check_aggregation
from culture_lens.attribution.objectives import OptionScores, get_objective
from culture_lens.attribution.paths import Path
from culture_lens.attribution.scoring import OptionScoring, get_attribution_scoring
from culture_lens.checks import check_fields, text, whole
from culture_lens.errors import InputError, unknown
from culture_lens.prompts.prompt import Prompt, Style

if TYPE_CHECKING:
    from culture_lens.attribution.aggregation import Aggregation
    from culture_lens.attribution.objectives import ObjectiveName
    from culture_lens.attribution.paths import BaselineName, PathName
    from culture_lens.attribution.scoring import AttributionScoring

    Positions = Literal["all", "prompt", "options"]
else:  # a wrong name reaches the check that lists the right ones
    Aggregation = ObjectiveName = BaselineName = PathName = AttributionScoring = Positions = str

POSITIONS = ("all", "prompt", "options")
"""Tokens that count: of prompts and of the options behind them, or of one of the two."""


class AttributionOptions(TypedDict, total=False):
    """The fields of ``Attribution`` as keyword arguments."""

    objective: ObjectiveName
    scoring: AttributionScoring
    path: PathName
    points: int
    baseline: BaselineName
    aggregation: Aggregation
    positions: Positions


@dataclass(frozen=True)
class Attribution:
    """How neurons are scored by gradients; the defaults are CULNIG's.

    Attributes:
        objective: What is explained: ``"probability"``, ``"log_probability"`` or
            ``"logit_difference"``; see ``objectives``.
        scoring: How options are read: ``"letter"``, or ``"option_likelihood"`` for models that do
            not answer by letter; see ``scoring``.
        path: ``"none"``, ``"integrated"``, ``"integrated_layerwise"``, ``"inputs"`` or
            ``"relp"``; see ``paths``.
        points: Points of a path.
        baseline: Where a path begins: ``"zero"`` or ``"others"``.
        aggregation: How an item's tokens are joined: ``"maximum"`` (CULNIG), ``"largest"``,
            ``"sum"`` or ``"last"``; see ``aggregation``.
        positions: Tokens that count: ``"all"``, or those of ``"prompt"`` or ``"options"`` only.

    Raises:
        InputError: An unknown name, a path without points, or positions that are never run.

    Example:
        >>> Attribution(objective="logit_difference").style
        'choices'
    """

    objective: ObjectiveName = "probability"
    scoring: AttributionScoring = "letter"
    path: PathName = "none"
    points: int = 6
    baseline: BaselineName = "zero"
    aggregation: Aggregation = "maximum"
    positions: Positions = "all"

    def __post_init__(self) -> None:
        """Check every name."""
        names = ("objective", "scoring", "path", "baseline", "aggregation", "positions")
        check_fields(self, **dict.fromkeys(names, text), points=whole())
        get_objective(self.objective)
        get_attribution_scoring(self.scoring)
        check_aggregation(self.aggregation)
        _ = self.way
        if self.positions not in POSITIONS:
            raise unknown("positions", self.positions, POSITIONS)
        if self.positions == "options" and (self.scoring == "letter" or not self.joining.options):
            raise InputError(
                "positions='options' are tokens of options behind their prompts: they need "
                "scoring='option_likelihood', and another aggregation than 'last'."
            )

    @property
    def way(self) -> Path:
        """The path with its points and baseline."""
        return Path(self.path, self.points, self.baseline)

    @property
    def joining(self) -> Joining:
        """How tokens are joined."""
        return AGGREGATIONS[self.aggregation]

    @property
    def reads(self) -> OptionScoring:
        """How options are read."""
        return get_attribution_scoring(self.scoring)

    @property
    def style(self) -> Style:
        """The style of the prompts."""
        return self.reads.style

    @property
    def explains(self) -> Callable[[OptionScores], Tensor]:
        """The objective as a function."""
        return get_objective(self.objective)

    @property
    def weighted(self) -> bool:
        """Whether an item's scores are weighted by its P(gold), as CULNIG's are."""
        return self.objective == "probability"

    def counts(self, visit: int) -> bool:
        """Tell whether tokens count that are met where prompts (0) or options (1, ...) run."""
        if visit == 0:
            return self.positions != "options"
        return self.positions != "prompt" and self.joining.options

    def check_positions(self, prompts: Sequence[Prompt]) -> None:
        """Refuse options that have no token where only theirs count.

        The first token of an option is predicted at the prompt's last token, so that options of
        one token have none of their own that counts.

        Raises:
            InputError: Every option is a single token.
        """
        longest = max((len(ids) for p in prompts for ids in p.continuations), default=2)
        if self.positions == "options" and longest < 2:
            raise InputError(
                "positions='options': every option is a single token, which is predicted at the "
                "prompt's last token, so that no token counts; take positions='prompt' or 'all'."
            )
