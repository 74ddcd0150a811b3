"""Ask a model questions and keep one record per item; accuracy with clustered intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, optional, text
from culture_lens.engine.results import run_shards
from culture_lens.engine.shards import Pass, Shard, tapering
from culture_lens.errors import InputError
from culture_lens.evaluation.answering import (
    Answering,
    conditions_of_shard,
    read_records,
    record_places,
)
from culture_lens.evaluation.evaluation import Evaluation
from culture_lens.evaluation.scoring import Scoring, get_scoring
from culture_lens.evaluation.tree_work import first_layer
from culture_lens.interventions.hooks import (
    Value,
    ablation_hooks,
    ablation_value,
)
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.prompt_groups import groups_of_pictures
from culture_lens.neurons.neurons import NEURONS, Neurons
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.packed import PackedPrompts, questions_of
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS_OR_NAME, Question, check_questions
from culture_lens.storage.finished import write_frame

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.evaluation.scoring import ScoringName

MOST_ITEMS, LEAST_ITEMS = 256, 64
"""Items of a shard of answers: many share more tokens and are handed out less often; the last
shards of a pass are small."""


def prepare(
    model: LensModel,
    questions: Sequence[Question],
    scoring: str | None = None,
    running: Running = Running(),
) -> tuple[PackedPrompts, Scoring]:
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
    (frame,) = answer_masks(
        model, prompts, scoring, [(label, neurons)], value=value, label=label, running=running
    )
    return frame


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
    neurons_of = [neurons for _, neurons in masks]
    # The deepest first: it leaves the layers below all others as they are.
    order = sorted(range(len(masks)), key=lambda at: -first_layer(model, neurons_of[at]))
    shards: list[Shard] = []
    for group in groups_of_pictures(prompts, model.vision):
        for items in tapering(group, MOST_ITEMS, LEAST_ITEMS):
            together = conditions_of_shard(model, items, len(masks), running)
            for start in range(0, len(order), together):
                shards.append(Shard(len(shards), items, tuple(order[start : start + together])))
    work = Pass(
        label=label,
        run=Answering(scoring, masks, value, running),
        places=record_places(model, shards, scoring, masks, value, running.folder),
        load=read_records,
        save=write_frame,
    )
    found: list[list[pd.DataFrame]] = [[] for _ in masks]
    for parts, shard in zip(run_shards(model, work, shards, running), shards, strict=True):
        for at, frame in zip(shard.conditions, parts, strict=True):
            found[at].append(frame)
    ids = [question.id for question in questions_of(prompts)]
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
