"""Ask a model questions and keep one record per item; accuracy with clustered intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import Answer, Scoring, get_scoring
from culture_lens.interventions.hooks import Value, ablation_hooks, described
from culture_lens.models.lens_model import LensModel, check_unhooked
from culture_lens.models.vision import groups_of_pictures
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.prompts.batches import batches, build_prompts, picture_key, run_batches
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question, check_questions
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.storage.files import load_table, read_parquet, save_table, write_whole
from culture_lens.storage.runs import Run, content_key

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One record per item.

    Attributes:
        frame: Columns id, culture, group, category, gold, prediction (-1 where the answer was no
            option), correct, p_gold, scores (a list, one per option).
        metadata: Model, scoring and what was done to the model.

    Example:
        ``evaluate(model, questions).accuracy()``
    """

    frame: pd.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)

    def accuracy(self) -> Estimate:
        """Share of right answers over all items, interval clustered by question group."""
        return mean_estimate(self.frame["correct"].tolist(), self.frame["group"].tolist())

    def by(self, column: str = "culture") -> dict[str, Estimate]:
        """Accuracy per culture or per category, each with its interval."""
        return {
            str(name): mean_estimate(part["correct"].tolist(), part["group"].tolist())
            for name, part in self.frame.groupby(column, sort=True)
        }

    def chance(self) -> float:
        """Accuracy expected of guessing: the mean of one over the number of options."""
        return float((1 / self.frame["scores"].map(len)).mean())

    def to_parquet(self, path: str | Path) -> Path:
        """Write records and metadata into one parquet file."""
        return save_table(path, self.frame, self.metadata)

    @classmethod
    def from_parquet(cls, path: str | Path) -> Evaluation:
        """Read records that ``to_parquet`` wrote.

        Raises:
            InputError: The file is missing, damaged, or something else.
        """
        return cls(*load_table(path, "an evaluation"))


def to_frame(prompts: Sequence[Prompt], answers: dict[str, Answer]) -> pd.DataFrame:
    """Lay answers out as records, in the order of the prompts."""
    import pandas as pd

    rows = []
    for prompt in prompts:
        question, answer = prompt.question, answers[prompt.question.id]
        rows.append(
            {
                "id": question.id,
                "culture": question.culture,
                "group": question.group,
                "category": question.category,
                "gold": question.answer,
                "prediction": answer.prediction,
                "correct": answer.prediction == question.answer,
                "p_gold": answer.p_gold,
                "scores": list(answer.scores),
            }
        )
    return pd.DataFrame(rows)


def prepare(
    model: LensModel,
    questions: Sequence[Question],
    scoring: str | None = None,
    *,
    too_long: str = "error",
    progress: bool = True,
) -> tuple[list[Prompt], Scoring]:
    """Check questions and turn them into the prompts that a way of scoring needs.

    Args:
        model: The model; it says how answers are scored where ``scoring`` is not given.
        questions: What to ask.
        scoring: A name from ``SCORINGS``.
        too_long: ``"error"``, ``"skip"`` or ``"truncate"``; see ``build_prompts``.
        progress: Show a progress bar where pictures are read.
    """
    check_questions(questions, min_cultures=1)
    way = get_scoring(scoring or model.scoring)
    prompts = build_prompts(
        questions,
        model.processor,
        style=way.style,
        context=model.context,
        too_long=too_long,
        progress=progress,
    )
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    return prompts, way


def answer_prompts(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    neurons: Neurons | None = None,
    *,
    value: Value = "zero",
    batch_size: int = 16,
    progress: bool = True,
    label: str = "evaluating",
    run: Run | None = None,
) -> pd.DataFrame:
    """Answer prepared prompts, with neurons ablated where given; finished records are reused.

    Returns:
        One record per prompt; see ``Evaluation``.
    """
    where = None
    if run is not None:
        check_unhooked(model)
        asked = [(p.ids, picture_key(p), asdict(replace(p.question, image=None))) for p in prompts]
        facts = (model.name, model.fingerprint, str(model.dtype), scoring.name, asked)
        key = content_key(*facts, *described(neurons, value))
        where = run.piece("records", key, ".parquet")
        if where.exists():
            return read_parquet(where)
    hooks = ablation_hooks(model, neurons, value) if neurons is not None else []
    answers: dict[str, Answer] = {}
    with model.hooks(hooks):
        for batch, found in run_batches(
            batches(
                prompts, batch_size, model.pad_id, share_prefix=model.can_share_prefix(prompts)
            ),
            lambda batch: scoring.answers(model, batch),
            pad_id=model.pad_id,
            progress=progress,
            label=label,
        ):
            for prompt, answer in zip(batch.prompts, found, strict=True):
                answers[prompt.question.id] = answer
    frame = to_frame(prompts, answers)
    if where is not None:
        write_whole(where, lambda part: frame.to_parquet(part, index=False))
    return frame


def answer_masks(
    model: LensModel,
    prompts: Sequence[Prompt],
    scoring: Scoring,
    masks: Sequence[tuple[str, Neurons | None]],
    *,
    value: Value = "zero",
    batch_size: int = 16,
    progress: bool = True,
    label: str = "masks",
    run: Run | None = None,
) -> list[pd.DataFrame]:
    """Answer prepared prompts under one mask after the other.

    All masks are run over some pictures before the next ones are looked at, so that each picture
    goes through the vision tower once.

    Args:
        model: The model.
        prompts: Prompts in the style of the scoring.
        scoring: How answers are read.
        masks: Names, for the progress bar, and neurons; nothing for the unmodified model.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        batch_size: Prompts per forward.
        progress: Show progress bars.
        label: Name of the bar over masks.
        run: A run folder; finished records are kept and found again.

    Returns:
        The records of each mask, in the order of the prompts.
    """
    import pandas as pd

    for _, neurons in masks:
        if neurons is not None:
            ablation_hooks(model, neurons, value)  # refuses what cannot be ablated so, before all
    groups = groups_of_pictures(prompts, model.vision)
    found: list[list[pd.DataFrame]] = [[] for _ in masks]
    with tqdm(total=len(groups) * len(masks), desc=label, unit="mask", disable=not progress) as bar:
        for group in groups:
            for (name, neurons), frames in zip(masks, found, strict=True):
                frames.append(
                    answer_prompts(
                        model,
                        group,
                        scoring,
                        neurons,
                        value=value,
                        batch_size=batch_size,
                        progress=progress,
                        label=name,
                        run=run,
                    )
                )
                bar.update()
    ids = [prompt.question.id for prompt in prompts]
    whole = [pd.concat(frames, ignore_index=True).set_index("id", drop=False) for frames in found]
    return [frame.loc[ids].reset_index(drop=True) for frame in whole]


def evaluate(
    model: LensModel,
    questions: Sequence[Question] | str,
    neurons: Neurons | None = None,
    *,
    scoring: str | None = None,
    value: Value = "zero",
    too_long: str = "error",
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> Evaluation:
    """Ask a model questions, with neurons ablated where given, and keep a record of each.

    Args:
        model: The model.
        questions: What to ask, or a name for ``load_benchmark``.
        neurons: Neurons to ablate, such as ``found["Japan"]``.
        scoring: How answers are read: ``"letter"``, ``"letter_options"``,
            ``"option_likelihood"`` or ``"option_likelihood_sum"``; the model's own by default.
        value: What ablated neurons are set to; see ``ablation_hooks``.
        too_long: What to do with prompts longer than the context: ``"error"``, ``"skip"`` or
            ``"truncate"``.
        batch_size: Questions per forward; halved where memory runs out.
        progress: Show a progress bar.
        run: A run folder; what is done in it is kept and found again.

    Raises:
        InputError: No questions, duplicate ids, or labels that are not single tokens.

    Example:
        ``print(evaluate(model, questions).accuracy())``
    """
    if isinstance(questions, str):
        from culture_lens.benchmarks import load_benchmark

        questions = load_benchmark(questions)
    prompts, way = prepare(model, questions, scoring, too_long=too_long, progress=progress)
    frame = answer_prompts(
        model,
        prompts,
        way,
        neurons,
        value=value,
        batch_size=batch_size,
        progress=progress,
        run=Run.open(run) if run is not None else None,
    )
    metadata = {
        "model": model.name,
        "revision": model.revision,
        "scoring": way.name,
        "ablated": len(neurons) if neurons is not None else 0,
    }
    return Evaluation(frame, metadata)
