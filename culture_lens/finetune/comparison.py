"""compare_strategies: one task learned in several ways, and what each does to culture.

The steps, for every seed and strategy:
1. Choose what may change; see ``strategies``.
2. Train it on the task.
3. Ask the task's own questions and the culture's, before and after.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens import checks
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.evaluation import Evaluation
from culture_lens.finetune.changes import CULTURE_SET, TASK_SET, forgetting
from culture_lens.finetune.examples import untrained
from culture_lens.finetune.modules import (
    ModuleRanking,
    RankedModule,
)
from culture_lens.finetune.plan import StudyOptions, StudyPlan, kept_on, read_plan
from culture_lens.finetune.ranking import rank_modules
from culture_lens.finetune.settings import Training
from culture_lens.finetune.strategies import STRATEGIES, Known
from culture_lens.finetune.study import ForgettingStudy
from culture_lens.finetune.training import finetune
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import begin_pass, piece_of
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.prompts.running import read_options
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.finished import finished, read_frame, write_frame
from culture_lens.storage.progress import progress_bar
from culture_lens.storage.runs import Run, content_key, versions
from culture_lens.storage.work import shard_facts

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName


@checks.check_arguments(
    model=MODEL,
    found=FOUND_SET,
    task=QUESTIONS,
    culture=QUESTIONS,
    task_test=QUESTIONS,
    ranking=checks.optional(checks.instance(ModuleRanking)),
    scoring=checks.optional(checks.text),
)
def compare_strategies(
    model: LensModel,
    found: NeuronSet,
    task: Sequence[Question],
    culture: Sequence[Question],
    *,
    task_test: Sequence[Question],
    ranking: ModuleRanking | None = None,
    scoring: ScoringName | None = None,
    seen: bool = False,
    **options: Unpack[StudyOptions],
) -> ForgettingStudy:
    """Learn a task in several ways and measure what each does to task and culture.

    Args:
        model: The model.
        found: The culture's neurons, of all its cultures together.
        task: What is trained.
        culture: What may be forgotten; questions of several benchmarks may be mixed. Those that
            were given to find the neurons, and those that share a question group with one that is
            trained on, are left out; see ``unseen``.
        task_test: Questions of the task that are not trained; those that share a question group
            with one that is trained on are left out.
        ranking: Modules in another order than that of ``rank_modules(found, model, unit=unit)``.
        scoring: How answers are read and trained.
        seen: Ask the questions that found the neurons too, with a warning.
        **options: Strategies, seeds, shares, run folder; see ``StudyPlan``. Learning rate, epochs
            and the like of every training; see ``Training``.

    Raises:
        InputError: An unknown strategy or option, no seeds, questions of the test that are
            trained on, no questions left to ask, or a ranking of another unit than the one asked
            for.

    Example:
        ``compare_strategies(model, found, task, culture, task_test=test).summary()``
    """
    import pandas as pd

    plan, training = read_plan(options)
    for name, asked in (("task", task), ("task_test", task_test), ("culture", culture)):
        if not asked:
            raise InputError(f"{name} is empty: give its questions.")
    own = inspect.signature(finetune).parameters
    for name in plan.strategies:
        chosen = {**training, **plan.each.get(name, {})}
        read_options({one: chosen[one] for one in chosen if one not in own}, Training)
    both = {q.id for q in task} & {q.id for q in task_test}
    if both:
        raise InputError(f"{len(both)} questions are in task and in task_test: give others.")
    trained = [*task, *kept_on(plan)]
    left = untrained(culture=unseen(found, culture, seen), task_test=task_test, trained=trained)
    if ranking is not None and options.get("unit", ranking.unit) != ranking.unit:
        raise InputError(f"ranking= is of the unit {ranking.unit!r}: leave unit= out.")
    known = Known(
        rank_modules(found, model, unit=plan.unit) if ranking is None else ranking,
        found.union(),
        plan.parameter_share,
        plan.lora_rank,
    )
    study = Study(model, known, list(task), left["task_test"], left["culture"], scoring, plan)
    base = study.ask(model)
    jobs = [(seed, name) for seed in plan.seeds for name in plan.strategies]
    options_of = {name: {**training, **plan.each.get(name, {})} for name in plan.strategies}
    study.begin([(name, seed, options_of[name]) for seed, name in jobs], training)
    frames = [
        study.records(name, seed, options_of[name], base)
        for seed, name in progress_bar(
            jobs, desc="trainings", unit="training", progress=plan.progress
        )
    ]
    metadata = {**study.facts(found.method, training), "seen": seen}
    return ForgettingStudy(pd.concat(frames, ignore_index=True), metadata)


@dataclass(frozen=True, eq=False)
class Study:
    """One study: what is trained, what is asked, and how.

    Attributes:
        model: The model before training.
        known: What strategies choose from.
        task: What is trained.
        task_test: Questions of the task that are not trained.
        culture: What may be forgotten.
        scoring: How answers are read and trained.
        plan: Strategies, seeds and how evaluations run.
    """

    model: LensModel
    known: Known
    task: list[Question]
    task_test: list[Question]
    culture: list[Question]
    scoring: ScoringName | None
    plan: StudyPlan

    @property
    def asked(self) -> dict[str, list[Question]]:
        """The questions that are asked before and after, by set."""
        return {TASK_SET: self.task_test, CULTURE_SET: self.culture}

    def ask(self, lens: LensModel) -> dict[str, Evaluation]:
        """Evaluate a model on each set of questions."""
        how: dict[str, Any] = {**vars(self.plan.asking), "scoring": self.scoring}
        return {name: evaluate(lens, qs, **how) for name, qs in self.asked.items()}

    @property
    def given(self) -> dict[str, Question]:
        """All questions, by set and id."""
        sets = {"trained": self.task, **self.asked}
        return {f"{name} {q.id}": q for name, questions in sets.items() for q in questions}

    def begin(
        self, trainings: Sequence[tuple[str, int, Mapping[str, Any]]], training: Mapping[str, Any]
    ) -> None:
        """Write down in the run folder, where there is one, which trainings there will be.

        Args:
            trainings: Strategy, seed and options of each.
            training: Options of all of them.
        """
        if self.plan.run is None:
            return
        files = [place.name for one in trainings if (place := self.place(*one)) is not None]
        begin_pass(
            *(self.model, Run.open(self.plan.run), "trainings", content_key(files)),
            shards=len(files),
            data={name: (q.text, q.options, q.answer) for name, q in self.given.items()},
            options={"scoring": self.scoring, **training},
            conditions=len(files),
            pieces=files,
        )

    def records(
        self, name: str, seed: int, training: Mapping[str, Any], base: Mapping[str, Evaluation]
    ) -> pd.DataFrame:
        """Train by one strategy and give every item before and after; found again in a run folder.

        Args:
            name: The strategy.
            seed: The seed of the training.
            training: Options of ``finetune``.
            base: The evaluations before.
        """

        def make() -> pd.DataFrame:
            tuned = finetune(
                self.model,
                self.task,
                scoring=self.scoring,
                **{
                    "too_long": self.plan.too_long,
                    "progress": False,
                    "seed": seed,
                    **STRATEGIES[name](self.known, seed),
                    **training,
                },
            )
            frame = forgetting(base, self.ask(tuned.model)).frame
            frame.insert(0, "trained_share", tuned.result["trained_share"])
            frame.insert(0, "seed", seed)
            frame.insert(0, "strategy", name)
            return frame

        began = time.perf_counter()

        def save(place: Path, frame: pd.DataFrame) -> Path:
            facts = shard_facts(time.perf_counter() - began, len(self.given))
            return write_frame(place, frame, facts)

        return finished(self.place(name, seed, training), make, load=read_frame, save=save)

    def place(self, name: str, seed: int, training: Mapping[str, Any]) -> Path | None:
        """Say where the records of a training are or will be kept; nowhere without a run folder."""
        if self.plan.run is None:
            return None
        return piece_of(
            self.model,
            Run.open(self.plan.run),
            "forgetting",
            ".parquet",
            name,
            seed,
            [places_of(module) for module in self.known.ranking.modules],
            sorted(self.known.neurons.members()),
            (self.known.parameter_share, self.known.lora_rank),
            [
                (q.id, q.text, q.options, q.answer)
                for questions in (self.task, *self.asked.values())
                for q in questions
            ],
            (self.scoring, self.plan.too_long),
            dict(training),
        )

    def facts(self, selector: str, training: Mapping[str, Any]) -> dict[str, Any]:
        """Describe the study for its metadata."""
        each = self.plan.each
        return {
            "model": self.model.name,
            "revision": self.model.revision,
            "task": benchmarks_of(self.task),
            "benchmark": benchmarks_of(self.culture),
            "selector": selector,
            "neurons": len(self.known.neurons),
            "items": {name: len(questions) for name, questions in self.asked.items()},
            "trained_on": len(self.task),
            "parameter_share": self.plan.parameter_share,
            "unit": self.known.ranking.unit,
            "lora_rank": self.plan.lora_rank,
            "scoring": self.scoring or self.model.scoring,
            "training": {k: v for k, v in training.items() if isinstance(v, (int, float, str))},
            "each": {name: {k: str(v) for k, v in own.items()} for name, own in each.items()},
            "versions": versions(),
        }


def places_of(module: RankedModule) -> Any:
    """Say where a module is, for the key of a training.

    A single projection is not in a list, so that trainings kept by earlier versions are found.
    """
    places = [(projection.path, projection.start) for projection in module.projections]
    return places[0] if len(places) == 1 else places
