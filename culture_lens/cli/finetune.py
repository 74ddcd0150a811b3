"""`culture-lens finetune`: train a task on modules or neurons chosen by where culture lives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import open_model, open_questions, remembered
from culture_lens.cli.modules import RankingFlags, ranked
from culture_lens.cli.neurons import the_neurons
from culture_lens.cli.options import (
    DEFAULT_RUN,
    BatchSize,
    BenchmarkFlags,
    LoadingFlags,
    RunFolder,
    ScoringFlag,
    TooLongPolicy,
)
from culture_lens.errors import InputError, unknown

if TYPE_CHECKING:
    from culture_lens.models.lens_model import LensModel
    from culture_lens.storage.runs import Run

STRATEGY_NAMES = ("top", "bottom", "random", "all", "lora", "protected", "only", "kept")
"""The names in ``STRATEGIES``, which takes seconds to import."""


@dataclass(frozen=True)
class TrainingFlags:
    """How the task is trained; see ``finetune``."""

    panel: ClassVar[str] = "Training"

    scoring: ScoringFlag = None
    too_long: TooLongPolicy = None
    learning_rate: Annotated[float | None, typer.Option(help="Constant; 3e-5.")] = None
    epochs: Annotated[float | None, typer.Option(help="How often each question is seen.")] = None
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None
    batch_size: BatchSize = None
    accumulate: Annotated[int | None, typer.Option(help="Batches per step.")] = None
    seed: Annotated[int | None, typer.Option(help="Order, random modules, LoRA.")] = None
    mixed_precision: Annotated[
        bool | None, typer.Option("--mixed-precision", help="Compute in bfloat16.")
    ] = None
    save_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints; an interrupted run goes on.")
    ] = None
    report_to: Annotated[str | None, typer.Option(help="tensorboard, wandb, ...")] = None


@flags
def finetune(
    *,
    folder: Annotated[Path, typer.Argument(help="Where the fine-tuned model is saved.")],
    strategy: Annotated[
        str, typer.Option(help=f"What is trained: {', '.join(STRATEGY_NAMES)}.")
    ] = "bottom",
    run: RunFolder = DEFAULT_RUN,
    lora_rank: Annotated[int | None, typer.Option(help="The rank of LoRA; 8.")] = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Your own task: a file with question, options and answer columns."),
    ] = None,
    wanted: RankingFlags,
    asking: BenchmarkFlags,
    loading: LoadingFlags,
    training: TrainingFlags,
) -> None:
    """Train a task on chosen modules or neurons and save an ordinary Hugging Face checkpoint.

    The neurons are those of `find` in the run folder, the task is a benchmark or a table.

    Example: `culture-lens finetune tuned --strategy bottom --benchmark mrpc --run runs/first`
    """
    from culture_lens.finetune import finetune as train
    from culture_lens.finetune.lora import LORA_RANK
    from culture_lens.storage.runs import Run, now

    began = now()
    if strategy not in STRATEGY_NAMES:
        raise unknown("strategy", strategy, STRATEGY_NAMES)
    if (asking.benchmark is None) == (table is None):
        raise InputError("give the task: --benchmark, such as mrpc, or --table, a file of yours.")
    task: Any = table if asking.benchmark is None else open_questions(given(asking))
    by_neurons = strategy not in ("all", "lora")
    where = Run.open(run, create=False) if by_neurons or run.is_dir() else None
    opened = given(loading) if where is None else remembered(where, loading)
    lens = open_model(opened)
    rank = lora_rank or LORA_RANK
    if by_neurons and where is not None:
        options = chosen_by(strategy, where, lens, wanted, rank, training.seed or 0)
    else:
        options = {"lora_rank": rank} if strategy == "lora" else {}
    tuned = train(lens, task, folder=folder, **options, **given(training))
    if where is not None:
        told = {"folder": folder, "strategy": strategy, "task": table or asking.benchmark}
        where.log("finetune", {**opened, **told, **given(wanted, training)}, began=began)
        where.finish("finetune", lens.device)
    result = tuned.result
    typer.echo(
        f"{strategy}: {result['trained_parameters']} of {result['total_parameters']} parameters "
        f"({result['trained_share']:.2%}), {result['steps']} steps, loss "
        f"{result['first_loss']:.3f} to {result['last_loss']:.3f}"
    )
    typer.echo(f"{tuned.folder}")


def chosen_by(
    strategy: str, run: Run, lens: LensModel, wanted: RankingFlags, lora_rank: int, seed: int
) -> dict[str, Any]:
    """Choose what is trained by the neurons of a run folder: options of ``finetune``."""
    from culture_lens.finetune.modules import PARAMETER_SHARE
    from culture_lens.finetune.strategies import STRATEGIES, Known

    found = the_neurons(run, wanted.method)
    neurons = found.union() if wanted.whose is None else found[wanted.whose]
    share = PARAMETER_SHARE if wanted.parameter_share is None else wanted.parameter_share
    known = Known(ranked(found, lens, wanted), neurons, share, lora_rank)
    return STRATEGIES[strategy](known, seed)
