"""StudyPlan: what a comparison of strategies trains, how often, and how it asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens import checks
from culture_lens.errors import InputError, unknown
from culture_lens.finetune.examples import as_questions
from culture_lens.finetune.lora import LORA_RANK
from culture_lens.finetune.modules import (
    PARAMETER_SHARE,
    check_unit,
)
from culture_lens.finetune.settings import TrainingOptions
from culture_lens.finetune.strategies import DEFAULT_STRATEGIES, STRATEGIES
from culture_lens.prompts.running import FOLDER, Running, TooLong, read_options
from culture_lens.questions.question import Question
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    pass


class StudyOptions(TrainingOptions, total=False):
    """The fields of ``StudyPlan``, and of ``Training``, as keyword arguments."""

    strategies: Sequence[str]
    seeds: Sequence[int]
    parameter_share: float
    unit: str
    each: Mapping[str, Mapping[str, Any]]
    evaluation_batch_size: int
    too_long: TooLong
    progress: bool
    run: Run | str | Path | None


@dataclass(frozen=True)
class StudyPlan:
    """Which trainings a study compares, and how they are evaluated.

    Attributes:
        strategies: Names from ``STRATEGIES``.
        seeds: One training of each strategy per seed; at least 5 give useful intervals.
        parameter_share: The share of the parameters that ``top``, ``bottom`` and ``random`` train.
        unit: What these choose from: ``"block"`` or ``"projection"``; see ``rank_modules``.
        lora_rank: The rank of ``lora``.
        each: Options of single strategies, such as ``{"lora": {"learning_rate": 1e-3}}``.
        evaluation_batch_size: Questions per forward when asking.
        too_long: What to do with prompts longer than the context; see ``Running``.
        progress: Show a progress bar over trainings.
        run: A run folder; finished trainings are kept and found again.

    Raises:
        InputError: An unknown strategy or unit, or no strategies or seeds.

    Example:
        >>> StudyPlan(strategies=("top", "all")).lora_rank
        8
    """

    strategies: Sequence[str] = DEFAULT_STRATEGIES
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    parameter_share: float = PARAMETER_SHARE
    unit: str = "block"
    lora_rank: int = LORA_RANK
    each: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    evaluation_batch_size: int = 16
    too_long: TooLong = "error"
    progress: bool = True
    run: Run | str | Path | None = None

    def __post_init__(self) -> None:
        """Refuse unknown strategies and empty studies."""
        checks.check_fields(
            self,
            strategies=checks.any_names,
            seeds=checks.each(checks.SEED),
            parameter_share=checks.real,
            lora_rank=checks.whole(1),
            each=checks.mapping(Mapping, "{strategy: options}"),
            evaluation_batch_size=checks.whole(1),
            progress=checks.flag,
            run=FOLDER,
        )
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds={self.seeds} holds a seed twice: give each once.")
        for name in (*self.strategies, *self.each):
            if name not in STRATEGIES:
                raise unknown("strategy", name, STRATEGIES)
        if not self.strategies or not self.seeds:
            raise InputError("a study needs at least one strategy and one seed.")
        check_unit(self.unit)

    @property
    def asking(self) -> Running:
        """How the evaluations run."""
        return Running(self.evaluation_batch_size, self.too_long, progress=False)


def kept_on(plan: StudyPlan) -> list[Question]:
    """Give the questions on which a strategy keeps activations, which takes part in training."""
    given = [own["keep_on"] for own in plan.each.values() if own.get("keep_on") is not None]
    return [question for one in given for question in as_questions(one)]


def read_plan(options: Mapping[str, Any]) -> tuple[StudyPlan, dict[str, Any]]:
    """Sort options into the plan of a study and the options of its trainings.

    Raises:
        InputError: An option that neither has, or one that the study sets itself.

    Example:
        >>> read_plan({"seeds": (1,), "epochs": 2.0})[1]
        {'epochs': 2.0}
    """
    own = {one.name for one in fields(StudyPlan)}
    plan: StudyPlan = read_options({k: v for k, v in options.items() if k in own}, StudyPlan)[0]
    training = {name: value for name, value in options.items() if name not in own}
    known = (own | TrainingOptions.__optional_keys__) - {"seed"}
    for name in training:
        if name not in known:
            raise unknown("option", name, known)
    return plan, training
