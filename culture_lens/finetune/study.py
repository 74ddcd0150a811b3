"""compare_strategies: one task learned in several ways, and what each does to culture.

The steps, for every seed and strategy:
1. Choose what may change: modules with many or few of the culture's neurons, random ones, all
   parameters, LoRA, everything but the neurons, nothing but the neurons.
2. Train it on the task.
3. Ask the task's own questions and the culture's, before and after.

Intervals of a mean over seeds are Student's t over seeds; those of one training are clustered by
question group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.evaluate import Evaluation, evaluate
from culture_lens.finetune.changes import CULTURE, METRICS, TASK, Forgetting, forgetting
from culture_lens.finetune.modules import ModuleRanking, choose_modules, rank_modules
from culture_lens.finetune.training import finetune
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.questions.question import Question, benchmarks_of
from culture_lens.statistics.estimates import Estimate, t_estimate
from culture_lens.storage.files import load_table, save_table
from culture_lens.storage.runs import Run, content_key, versions

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Known:
    """What a strategy chooses from.

    Attributes:
        ranking: The modules by the culture's neurons.
        neurons: The culture's neurons.
        parameter_share: The share of the parameters to train.
        lora_rank: The rank of LoRA.
    """

    ranking: ModuleRanking
    neurons: Neurons
    parameter_share: float
    lora_rank: int


Strategy = Callable[[Known, int], dict[str, Any]]
"""Known things and a seed -> options of ``finetune``."""


def by_rank(which: str) -> Strategy:
    """Train the modules at one end of the ranking, or random ones."""

    def choose(known: Known, seed: int) -> dict[str, Any]:
        share = known.parameter_share
        return {"modules": choose_modules(known.ranking, which, parameter_share=share, seed=seed)}

    return choose


STRATEGIES: Mapping[str, Strategy] = {
    "top": by_rank("top"),
    "bottom": by_rank("bottom"),
    "random": by_rank("random"),
    "all": lambda known, seed: {},
    "lora": lambda known, seed: {"lora_rank": known.lora_rank},
    "protected": lambda known, seed: {"protect": known.neurons},
    "only": lambda known, seed: {"only": known.neurons},
    "kept": lambda known, seed: {"keep": known.neurons},
}
"""``kept`` trains all parameters with the penalty on the neurons' activations."""
COMPARED = ("top", "bottom", "random", "all", "lora", "protected")


@dataclass(frozen=True, eq=False)
class ForgettingStudy:
    """Every item before and after every training.

    Attributes:
        frame: The columns of ``Forgetting`` with strategy, seed and trained_share before them.
        metadata: Model, task, settings, versions.

    Example:
        ``study.summary()``, ``study.against("bottom", "random")``
    """

    frame: pd.DataFrame
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies, in order."""
        return tuple(dict.fromkeys(self.frame["strategy"]))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in order."""
        return tuple(int(seed) for seed in dict.fromkeys(self.frame["seed"]))

    def one(self, strategy: str, seed: int) -> Forgetting:
        """Give what one training did.

        Raises:
            InputError: There was no such training.
        """
        frame = self.frame[(self.frame["strategy"] == strategy) & (self.frame["seed"] == seed)]
        if frame.empty:
            raise InputError(
                f"no training {strategy!r} with seed {seed}: there are the strategies "
                f"{', '.join(self.strategies)} and the seeds {', '.join(map(str, self.seeds))}."
            )
        return Forgetting(frame.reset_index(drop=True), self.metadata)

    def per_seed(
        self, strategy: str, asked: str = CULTURE, metric: str = "change"
    ) -> dict[int, float]:
        """Give the mean of a metric over items, seed by seed."""
        if strategy not in self.strategies:
            raise unknown("strategy", strategy, self.strategies)
        column, base = METRICS[metric]
        frame = self.frame[(self.frame["strategy"] == strategy) & (self.frame["asked"] == asked)]
        values = frame[column].astype(float)
        if base is not None:
            values = values - frame[base].astype(float)
        means = values.groupby(frame["seed"]).mean()
        return {int(seed): float(mean) for seed, mean in means.items()}

    def estimate(self, strategy: str, asked: str = CULTURE, metric: str = "change") -> Estimate:
        """Estimate a metric's mean over seeds, with an interval over seeds.

        Raises:
            InputError: No such strategy.

        Example:
            ``study.estimate("bottom", "task")``
        """
        return t_estimate(list(self.per_seed(strategy, asked, metric).values()))

    def against(
        self, strategy: str, other: str, asked: str = CULTURE, metric: str = "change"
    ) -> Estimate:
        """Estimate the difference of two strategies, paired by seed.

        Raises:
            InputError: No such strategy.

        Example:
            ``study.against("bottom", "top")``
        """
        one, two = (self.per_seed(name, asked, metric) for name in (strategy, other))
        return t_estimate([one[seed] - two[seed] for seed in one if seed in two])

    def summary(self, metric: str = "change") -> pd.DataFrame:
        """Lay out what every strategy gained on the task and did to culture.

        Returns:
            Strategies x trained_share, then each set of questions as an Estimate over seeds.
        """
        import pandas as pd

        asked = tuple(dict.fromkeys(self.frame["asked"]))
        shares = self.frame.groupby("strategy")["trained_share"].mean()
        rows = {
            name: {
                "trained_share": float(shares[name]),
                **{a: self.estimate(name, a, metric) for a in asked},
            }
            for name in self.strategies
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def to_parquet(self, path: str | Path) -> Path:
        """Write records and metadata into one parquet file."""
        return save_table(path, self.frame, self.metadata)

    @classmethod
    def from_parquet(cls, path: str | Path) -> ForgettingStudy:
        """Read records that ``to_parquet`` wrote.

        Raises:
            InputError: The file is missing, damaged, or something else.
        """
        return cls(*load_table(path, "a study of forgetting"))


def compare_strategies(
    model: LensModel,
    found: NeuronSet,
    task: Sequence[Question],
    culture: Sequence[Question],
    *,
    task_test: Sequence[Question],
    strategies: Sequence[str] = COMPARED,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    parameter_share: float = 0.10,
    lora_rank: int = 8,
    ranking: ModuleRanking | None = None,
    scoring: str | None = None,
    evaluation_batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
    each: Mapping[str, Mapping[str, Any]] | None = None,
    **training: Any,
) -> ForgettingStudy:
    """Learn a task in several ways and measure what each does to task and culture.

    Args:
        model: The model.
        found: The culture's neurons; all of them together are protected.
        task: What is trained.
        culture: What may be forgotten; questions of several benchmarks may be mixed.
        task_test: Questions of the task that are not trained.
        strategies: Names from ``STRATEGIES``.
        seeds: One training of each strategy per seed; at least 5 give useful intervals.
        parameter_share: The share of the parameters that ``top``, ``bottom`` and ``random`` train.
        lora_rank: The rank of ``lora``.
        ranking: Modules in another order than that of ``rank_modules(found, model)``.
        scoring: How answers are read and trained.
        evaluation_batch_size: Questions per forward when asking.
        progress: Show a progress bar over trainings.
        run: A run folder; finished trainings are kept and found again.
        each: Options of single strategies, such as ``{"lora": {"learning_rate": 1e-3}}``.
        **training: Further options of ``finetune``, such as ``learning_rate`` and ``epochs``.

    Raises:
        InputError: An unknown strategy, no seeds, or questions of the test that are trained on.

    Example:
        ``compare_strategies(model, found, task, culture, task_test=test).summary()``
    """
    import pandas as pd

    each = dict(each or {})
    for name in (*strategies, *each):
        if name not in STRATEGIES:
            raise unknown("strategy", name, STRATEGIES)
    if not strategies or not seeds:
        raise InputError("a study needs at least one strategy and one seed.")
    both = {q.id for q in task} & {q.id for q in task_test}
    if both:
        raise InputError(f"{len(both)} questions are in task and in task_test: give others.")
    known = Known(
        rank_modules(found, model) if ranking is None else ranking,
        found.union(),
        parameter_share,
        lora_rank,
    )
    folder = None if run is None else Run.open(run)
    asked = {TASK: list(task_test), CULTURE: list(culture)}
    asking: dict[str, Any] = {"scoring": scoring, "batch_size": evaluation_batch_size}

    def ask(lens: LensModel) -> dict[str, Evaluation]:
        return {n: evaluate(lens, qs, progress=False, **asking) for n, qs in asked.items()}

    base = ask(model)
    frames = []
    jobs = [(seed, name) for seed in seeds for name in strategies]
    for seed, name in tqdm(jobs, desc="trainings", unit="training", disable=not progress):
        own = {**training, **each.get(name, {})}
        options = STRATEGIES[name](known, seed) | own
        where = piece(folder, model, name, seed, known, asked, task, asking, own)
        if where is not None and where.exists():
            frames.append(load_table(where, "a study of forgetting")[0])
            continue
        tuned = finetune(model, task, seed=seed, scoring=scoring, progress=False, **options)
        frame = forgetting(base, ask(tuned.model)).frame
        frame.insert(0, "trained_share", tuned.result["trained_share"])
        frame.insert(0, "seed", seed)
        frame.insert(0, "strategy", name)
        frames.append(frame)
        if where is not None:
            save_table(where, frame, {"strategy": name, "seed": seed})
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "task": benchmarks_of(task),
        "benchmark": benchmarks_of(culture),
        "selector": found.method,
        "neurons": len(known.neurons),
        "items": {name: len(questions) for name, questions in asked.items()},
        "trained_on": len(task),
        "parameter_share": parameter_share,
        "lora_rank": lora_rank,
        "scoring": scoring or model.scoring,
        "training": {k: v for k, v in training.items() if isinstance(v, (int, float, str))},
        "each": {name: {k: str(v) for k, v in own.items()} for name, own in each.items()},
        "versions": versions(),
    }
    return ForgettingStudy(pd.concat(frames, ignore_index=True), metadata)


def piece(
    folder: Run | None,
    model: LensModel,
    name: str,
    seed: int,
    known: Known,
    asked: Mapping[str, Sequence[Question]],
    task: Sequence[Question],
    *options: Mapping[str, Any],
) -> Path | None:
    """Say where the records of one training are or will be kept; nowhere without a run folder."""
    if folder is None:
        return None
    modules = [(m.projection.path, m.projection.start) for m in known.ranking.modules]
    questions = [(q.id, q.text, q.options, q.answer) for qs in (task, *asked.values()) for q in qs]
    key = content_key(
        model.name,
        model.fingerprint,
        name,
        seed,
        modules,
        sorted(known.neurons.members()),
        known.parameter_share,
        known.lora_rank,
        questions,
        options,
    )
    return folder.piece("forgetting", key, ".parquet")


def joined(studies: Sequence[ForgettingStudy]) -> ForgettingStudy:
    """Join studies of other seeds into one; the first one's metadata are kept.

    Raises:
        InputError: No studies.
    """
    import pandas as pd

    if not studies:
        raise InputError("there are no studies to join.")
    frames = [study.frame for study in studies]
    return ForgettingStudy(pd.concat(frames, ignore_index=True), studies[0].metadata)
