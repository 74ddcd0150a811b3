"""Answer prepared prompts under conditions: as trees where that is exact, else in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from culture_lens.engine.shards import Shard
from culture_lens.evaluation.evaluation import to_frame
from culture_lens.evaluation.scoring import Answer, Scoring
from culture_lens.evaluation.tree_answers import tree_answers
from culture_lens.evaluation.tree_work import TreeWork, conditions_together
from culture_lens.interventions.hooks import (
    Value,
    ablated_how,
    ablation_hooks,
    condition,
    described,
)
from culture_lens.models.checks import under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import begin_pass, piece_of
from culture_lens.models.trees import can_run_trees
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.storage.finished import read_frame
from culture_lens.storage.runs import Run, content_key

if TYPE_CHECKING:
    import pandas as pd


class Answering:
    """Answers the items of a shard under its conditions; the same in every process.

    Args:
        scoring: How answers are read.
        masks: Name and neurons of each condition; None for the unmodified model.
        value: What ablated neurons are set to.
        running: Batch size, speed.
    """

    def __init__(
        self,
        scoring: Scoring,
        masks: Sequence[tuple[str, Neurons | None]],
        value: Value,
        running: Running,
    ) -> None:
        """Hold no items yet."""
        self.scoring, self.masks, self.value = scoring, masks, value
        self.running = replace(running, run=None, engine=None)
        self._given: tuple[LensModel, Sequence[Prompt]] | None = None
        self._items: list[Prompt] = []
        self._trees: TreeWork | None = None

    def __call__(self, model: LensModel, shard: Shard, progress: bool) -> list[pd.DataFrame]:
        """Give the records of each condition, in the order of the items."""
        label = ", ".join(self.masks[at][0] for at in shard.conditions)
        neurons = [self.masks[at][1] for at in shard.conditions]
        self._prepare(model, shard.items)
        if self._trees is None:
            running = replace(self.running, progress=progress)
            found = [
                batch_answers(model, self._items, self.scoring, one, self.value, label, running)
                for one in neurons
            ]
        else:
            found = self._of_trees(self._trees, neurons, label, progress)
        return [to_frame(self._items, answers) for answers in found]

    def _of_trees(
        self, work: TreeWork, neurons: Sequence[Neurons | None], label: str, progress: bool
    ) -> list[dict[str, Answer]]:
        how = ablated_how(self.value)
        done = " or ".join(condition(work.model, one, how) for one in neurons)
        with under(f"{label}, {done}"):
            return tree_answers(
                work, self.scoring, neurons, value=self.value, label=label, progress=progress
            )

    def _prepare(self, model: LensModel, items: Sequence[Prompt]) -> None:
        """Unpack items, as trees where that is exact, once for all shards of the same items."""
        if self._given is not None and self._given[0] is model and self._given[1] is items:
            return
        self._given, self._items, self._trees = (model, items), list(items), None
        if self.running.speed.trees and can_run_trees(model, self._items):
            masks = [neurons for _, neurons in self.masks]
            self._trees = TreeWork(model, self._items, masks, self.running)


def read_records(place: Path) -> pd.DataFrame:
    """Read records as they were made: the scores of options are lists.

    Raises:
        InputError: They are damaged, or another piece.
    """
    frame = read_frame(place)
    return frame.assign(scores=[scores.tolist() for scores in frame["scores"]])


def conditions_of_shard(
    model: LensModel, prompts: Sequence[Prompt], conditions: int, running: Running
) -> int:
    """Say under how many conditions a shard is run: one, or those that are rows of one batch.

    What counts is where shards are run: workers may have GPUs where this process has none.
    """
    speed, workers = running.speed, running.ray
    on_cpu = model.device.type == "cpu" if workers is None else not workers.gpus_per_worker
    if speed.together is None and on_cpu:
        return 1
    if not (speed.trees and can_run_trees(model, prompts)):
        return 1
    return conditions_together(prompts, conditions, speed)


def record_places(
    model: LensModel,
    shards: Sequence[Shard],
    scoring: Scoring,
    masks: Sequence[tuple[str, Neurons | None]],
    value: Value,
    run: Run | None,
) -> Callable[[Shard], list[Path]] | None:
    """Say where the records of each shard and condition are kept; None without a run folder.

    The name of a file has nothing of the other conditions: a mask that is added later finds what
    was answered under the former ones.
    """
    if run is None:
        return None
    facts = [described(neurons, value) for _, neurons in masks]
    asked: dict[str, str] = {}
    keys: dict[int, str] = {}
    places: dict[int, list[Path]] = {}
    for shard in shards:
        if id(shard.items) not in keys:  # once for all conditions
            own = asked_of(shard.items)
            asked |= own
            keys[id(shard.items)] = content_key(own)
        key = keys[id(shard.items)]
        places[shard.number] = [
            piece_of(model, run, "records", ".parquet", scoring.name, key, *facts[at])
            for at in shard.conditions
        ]
    files = [place.name for own in places.values() for place in own]
    told = {"scoring": scoring.name, "value": value if isinstance(value, (str, float)) else "given"}
    begin_pass(
        *(model, run, "answers", content_key(files)),
        shards=len(files),
        data=asked,
        options=told,
        conditions=len(masks),
        pieces=files,
    )
    return lambda shard: places[shard.number]


def batch_answers(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    neurons: Neurons | None,
    value: Value,
    label: str,
    running: Running,
) -> dict[str, Answer]:
    """Answer prompts in batches with hooks, as any model and any edit around the call allow."""
    hooks = ablation_hooks(model, neurons, value) if neurons is not None else []
    share, tokens = model.can_share_prefix(prompts), model.unit_tokens()
    work = batches(prompts, running.rows(), model.pad_id, share_prefix=share, tokens=tokens)
    answers: dict[str, Answer] = {}
    done = condition(model, neurons, ablated_how(value))
    ahead = model.vision.ahead(work.images(), running.speed.picture_threads)
    with under(f"{label}, {done}"), model.hooks(hooks), ahead:
        for batch, found in run_batches(
            work,
            lambda batch: scoring.answers(model, batch),
            pad_id=model.pad_id,
            progress=running.progress,
            label=label,
        ):
            ids = (prompt.question.id for prompt in batch.prompts)
            answers.update(zip(ids, found, strict=True))
    return answers


def asked_of(prompts: Sequence[Prompt]) -> dict[str, str]:
    """Hash what is asked in each of some prompts, by id, for the key of a kept piece."""
    return {
        p.question.id: content_key(p.ids, picture_key(p), asdict(replace(p.question, image=None)))
        for p in prompts
    }
