"""Answer prepared prompts under conditions: as trees where that is exact, else in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.evaluation.evaluation import to_frame
from culture_lens.evaluation.scoring import Answer, Scoring
from culture_lens.evaluation.tree_answers import tree_answers
from culture_lens.evaluation.tree_work import TreeWork
from culture_lens.interventions.hooks import (
    Value,
    ablated_how,
    ablation_hooks,
    condition,
    described,
)
from culture_lens.models.checks import under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import piece_of
from culture_lens.models.trees import can_run_trees
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.storage.finished import finished_frame

if TYPE_CHECKING:
    import pandas as pd


def answer_together(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    masks: Sequence[Neurons | None],
    *,
    value: Value = "zero",
    label: str = "evaluating",
    running: Running = Running(),
    work: TreeWork | None = None,
    asked: Sequence[Any] | None = None,
) -> list[pd.DataFrame]:
    """Answer prepared prompts under several conditions; see ``answer_prompts``.

    Args:
        model: The model.
        prompts: The prompts.
        scoring: How answers are read.
        masks: What is ablated in each condition; several are rows of one batch.
        value: What ablated neurons are set to.
        label: Label of the progress bar.
        running: Batch size, progress, run folder, speed.
        work: The prompts as trees, where they are run under other conditions too.
        asked: What ``asked_of`` gives for the prompts, where the caller has it already.
    """
    made: list[pd.DataFrame] = []

    def answer(at: int) -> pd.DataFrame:
        if not made:  # all at once, when the first one is asked for that is not kept
            found = answers_under(
                model, prompts, scoring, masks, value=value, label=label, running=running, work=work
            )
            made.extend(to_frame(prompts, answers) for answers in found)
        return made[at]

    places: list[Path | None] = [None] * len(masks)
    if running.folder is not None:
        asked = asked or asked_of(prompts)
        for at, neurons in enumerate(masks):
            facts = (scoring.name, asked, *described(neurons, value))
            places[at] = piece_of(model, running.folder, "records", ".parquet", *facts)
    return [finished_frame(place, partial(answer, at)) for at, place in enumerate(places)]


def answers_under(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    masks: Sequence[Neurons | None],
    *,
    value: Value,
    label: str,
    running: Running,
    work: TreeWork | None = None,
) -> list[dict[str, Answer]]:
    """Answer prompts under each mask: as trees where that is exact, else in batches."""
    if running.speed.trees and can_run_trees(model, prompts):
        work = work or TreeWork(model, prompts, masks, running)
        done = " or ".join(condition(model, neurons, ablated_how(value)) for neurons in masks)
        with under(f"{label}, {done}"):
            return tree_answers(
                work, scoring, masks, value=value, label=label, progress=running.progress
            )
    return [
        batch_answers(model, prompts, scoring, neurons, value, label, running) for neurons in masks
    ]


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
    share = model.can_share_prefix(prompts)
    work = batches(prompts, running.rows(), model.pad_id, share_prefix=share)
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


def asked_of(prompts: Sequence[Prompt]) -> list[Any]:
    """Give what is asked in some prompts, as plain data for the key of a kept piece."""
    return [(p.ids, picture_key(p), asdict(replace(p.question, image=None))) for p in prompts]
