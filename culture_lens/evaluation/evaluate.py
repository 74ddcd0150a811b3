"""Ask a model questions and keep one record per item; accuracy with clustered intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm
from typing_extensions import Unpack

from culture_lens.checks import check_arguments, optional, text
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluation import Evaluation, to_frame
from culture_lens.evaluation.scoring import Answer, Scoring, get_scoring
from culture_lens.evaluation.tree_answers import tree_answers
from culture_lens.evaluation.tree_work import TreeWork, conditions_together, first_layer
from culture_lens.interventions.hooks import (
    Value,
    ablated_how,
    ablation_hooks,
    ablation_value,
    condition,
    described,
)
from culture_lens.models.checks import MODEL, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import piece_of
from culture_lens.models.trees import can_run_trees
from culture_lens.models.vision import groups_of_pictures
from culture_lens.neurons.neurons import NEURONS, Neurons
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.batches import batches
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.questions.question import QUESTIONS_OR_NAME, Question, check_questions
from culture_lens.storage.finished import finished_frame
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName


def prepare(
    model: LensModel,
    questions: Sequence[Question],
    scoring: str | None = None,
    running: Running = Running(),
) -> tuple[list[Prompt], Scoring]:
    """Check questions and build the prompts that a scoring needs.

    Args:
        model: The model; its own scoring is used where none is given.
        questions: What to ask.
        scoring: A name from ``SCORINGS``.
        running: What to do with prompts that are too long; progress bars.

    Raises:
        InputError: No questions, duplicate ids, an unknown scoring, only questions that are
            longer than the context, or a letter that is not one token after its prompt.
    """
    check_questions(questions, min_cultures=1)
    chosen = get_scoring(scoring or model.scoring)
    prompts = build_prompts(
        questions,
        model.processor,
        style=chosen.style,
        context=model.context,
        too_long=running.too_long,
        progress=running.progress,
    )
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    if chosen.style == "choices":  # once here, not once for each mask
        prompts = labelled(prompts, model.processor)
    return prompts, chosen


def answer_prompts(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    neurons: Neurons | None = None,
    *,
    value: Value = "zero",
    label: str = "evaluating",
    running: Running = Running(),
) -> pd.DataFrame:
    """Answer prepared prompts, with neurons ablated where given.

    Returns:
        One record per prompt; see ``Evaluation``.

    Raises:
        InputError: The model gives NaN or infinite logits or scores; with the question and what
            was done to the model.
    """
    (frame,) = answer_together(
        model, prompts, scoring, [neurons], value=value, label=label, running=running
    )
    return frame


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
    """
    made: list[pd.DataFrame] = []

    def answer(at: int) -> pd.DataFrame:
        if not made:
            how = {"value": value, "label": label}
            made[:] = (
                from_trees(work or TreeWork(model, prompts, masks, running), **how)
                if running.speed.trees and can_run_trees(model, prompts)
                else from_batches(**how)
            )
        return made[at]

    def from_trees(work: TreeWork, value: Value, label: str) -> list[pd.DataFrame]:
        done = " or ".join(condition(model, neurons, ablated_how(value)) for neurons in masks)
        with under(f"{label}, {done}"):
            found = tree_answers(
                work, scoring, masks, value=value, label=label, progress=running.progress
            )
        return [to_frame(prompts, answers) for answers in found]

    def from_batches(value: Value, label: str) -> list[pd.DataFrame]:
        return [
            to_frame(
                prompts, batch_answers(model, prompts, scoring, neurons, value, label, running)
            )
            for neurons in masks
        ]

    places = [
        records_place(model, prompts, scoring, neurons, value, running.folder) for neurons in masks
    ]
    return [finished_frame(place, partial(answer, at)) for at, place in enumerate(places)]


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
    with under(f"{label}, {done}"), model.hooks(hooks):
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


def records_place(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    neurons: Neurons | None,
    value: Value,
    run: Run | None,
) -> Path | None:
    """Give the file in the run folder for the records of prompts under one mask."""
    if run is None:
        return None
    facts = (scoring.name, asked_of(prompts), *described(neurons, value))
    return piece_of(model, run, "records", ".parquet", *facts)


def asked_of(prompts: Sequence[Prompt]) -> list[Any]:
    """Give what is asked in some prompts, as plain data for the key of a kept piece."""
    return [(p.ids, picture_key(p), asdict(replace(p.question, image=None))) for p in prompts]


def answer_masks(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    masks: Sequence[tuple[str, Neurons | None]],
    *,
    value: Value = "zero",
    label: str = "masks",
    running: Running = Running(),
) -> list[pd.DataFrame]:
    """Answer prepared prompts under each of several masks.

    All masks are run over one group of pictures before the next group, so that each picture goes
    through the vision tower once.

    Args:
        model: The model.
        prompts: Prompts in the style of the scoring.
        scoring: How answers are read.
        masks: Name (for the progress bar) and neurons of each mask; None for the unmodified
            model.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        label: Label of the progress bar over masks.
        running: Batch size, progress, run folder.

    Returns:
        The records of each mask, in the order of the prompts.
    """
    import pandas as pd

    for _, neurons in masks:
        if neurons is not None:
            ablation_hooks(model, neurons, value)  # validate every mask before any is run
    groups = groups_of_pictures(prompts, model.vision)
    neurons_of = [neurons for _, neurons in masks]
    # The deepest first: it leaves the layers below all others as they are.
    order = sorted(range(len(masks)), key=lambda at: -first_layer(model, neurons_of[at]))
    found: list[list[pd.DataFrame]] = [[] for _ in masks]
    with tqdm(
        total=len(groups) * len(masks), desc=label, unit="mask", disable=not running.progress
    ) as bar:
        for group in groups:
            work, together = None, 1
            if running.speed.trees and can_run_trees(model, group):
                work = TreeWork(model, group, neurons_of, running)
                together = conditions_together(work, len(masks))
            for start in range(0, len(order), together):
                some = order[start : start + together]
                frames = answer_together(
                    model,
                    group,
                    scoring,
                    [neurons_of[at] for at in some],
                    value=value,
                    label=", ".join(masks[at][0] for at in some),
                    running=running,
                    work=work,
                )
                for at, frame in zip(some, frames, strict=True):
                    found[at].append(frame)
                bar.update(len(some))
    ids = [prompt.question.id for prompt in prompts]
    whole = [pd.concat(frames, ignore_index=True).set_index("id", drop=False) for frames in found]
    return [frame.loc[ids].reset_index(drop=True) for frame in whole]


@check_arguments(
    model=MODEL,
    questions=QUESTIONS_OR_NAME,
    neurons=optional(NEURONS),
    scoring=optional(text),
    value=ablation_value,
)
def evaluate(
    model: LensModel,
    questions: Sequence[Question] | str,
    neurons: Neurons | None = None,
    *,
    scoring: ScoringName | None = None,
    value: Value = "zero",
    **running: Unpack[RunningOptions],
) -> Evaluation:
    """Ask a model questions, with neurons ablated where given, and keep a record of each.

    Args:
        model: The model.
        questions: What to ask, or a name for ``load_benchmark``.
        neurons: Neurons to ablate, such as ``found["Japan"]``.
        scoring: ``"letter"``, ``"letter_options"``, ``"option_likelihood"`` or
            ``"option_likelihood_sum"``; the model's own by default.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: No questions, duplicate ids, labels that are not single tokens, or an unknown
            option.

    Example:
        ``print(evaluate(model, questions).accuracy())``
    """
    how = Running.of(running)
    if isinstance(questions, str):
        from culture_lens.benchmarks import load_benchmark

        questions = load_benchmark(questions)
    prompts, chosen = prepare(model, questions, scoring, how)
    frame = answer_prompts(model, prompts, chosen, neurons, value=value, running=how)
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "scoring": chosen.name,
        "ablated": len(neurons) if neurons is not None else 0,
    }
    return Evaluation(frame, metadata)
