"""`culture-lens modules` and `culture-lens finetune`: where culture lives, and a task around it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from culture_lens.cli.neurons import MethodName, the_neurons
from culture_lens.cli.options import (
    DEFAULT_RUN,
    BatchOption,
    BenchmarkOption,
    BenchmarkOptionsOption,
    CultureOption,
    DeviceOption,
    DtypeOption,
    LimitOption,
    ModelOption,
    PathOption,
    RevisionOption,
    RunOption,
    ScoringOption,
    TooLongOption,
    given,
    open_model,
    open_questions,
    remembered,
)
from culture_lens.errors import InputError

SHARE, LORA_RANK = 0.10, 8
WAYS = ("top", "bottom", "random", "all", "lora", "protected", "only", "kept")
WhoseOption = Annotated[
    str | None, typer.Option(help="Only this culture's neurons; all together if left out.")
]
ByOption = Annotated[str | None, typer.Option(help="number or density.")]
PartOption = Annotated[str | None, typer.Option(help="all, mlp or attention.")]
ShareOption = Annotated[
    float | None, typer.Option(help="At most this share of all parameters; 0.10 as in CULNIG.")
]


def modules(
    run: RunOption = DEFAULT_RUN,
    method: MethodName = None,
    whose: WhoseOption = None,
    by: ByOption = None,
    part: PartOption = None,
    parameter_share: ShareOption = None,
    seed: Annotated[int | None, typer.Option(help="Draws the random choice.")] = None,
    model: ModelOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Rank modules by the neurons that they hold, and say what top, bottom and random would train.

    Example: `culture-lens modules --run runs/first --part mlp --parameter-share 0.1`
    """
    from culture_lens.finetune import choose_modules, rank_modules
    from culture_lens.finetune.modules import WHICH
    from culture_lens.storage.runs import Run

    folder = Run.open(run, create=False)
    found = the_neurons(folder, method)
    loading = remembered(folder, model=model, dtype=dtype, device=device, revision=revision)
    lens = open_model(loading)
    ranking = rank_modules(found, lens, **given(culture=whose, by=by, part=part))
    typer.echo(ranking.to_pandas().to_string())
    for which in WHICH:
        chosen = choose_modules(ranking, which, **given(parameter_share=parameter_share, seed=seed))
        names = ", ".join(f"{m.projection.name} {m.projection.layer}" for m in chosen.modules)
        typer.echo(f"{which}: {chosen.share:.2%} of {chosen.total} parameters: {names}")


def finetune(
    folder: Annotated[Path, typer.Argument(help="Where the fine-tuned model is saved.")],
    strategy: Annotated[str, typer.Option(help=f"What is trained: {', '.join(WAYS)}.")] = "bottom",
    run: RunOption = DEFAULT_RUN,
    method: MethodName = None,
    whose: WhoseOption = None,
    by: ByOption = None,
    part: PartOption = None,
    parameter_share: ShareOption = None,
    lora_rank: Annotated[int | None, typer.Option(help="The rank of LoRA; 8.")] = None,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    path: PathOption = None,
    benchmark_option: BenchmarkOptionsOption = None,
    table: Annotated[
        Path | None,
        typer.Option(help="Your own task: a file with question, options and answer columns."),
    ] = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    scoring: ScoringOption = None,
    too_long: TooLongOption = None,
    learning_rate: Annotated[float | None, typer.Option(help="Constant; 3e-5.")] = None,
    epochs: Annotated[float | None, typer.Option(help="How often each question is seen.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    batch_size: BatchOption = None,
    accumulate: Annotated[int | None, typer.Option(help="Batches per step.")] = None,
    seed: Annotated[int | None, typer.Option(help="Order, random modules, LoRA.")] = None,
    mixed_precision: Annotated[
        bool | None, typer.Option("--mixed-precision", help="Compute in bfloat16.")
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints; an interrupted run goes on.")
    ] = None,
    report_to: Annotated[str | None, typer.Option(help="tensorboard, wandb, ...")] = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Train a task on chosen modules or neurons and save an ordinary Hugging Face checkpoint.

    The neurons are those of `find` in the run folder, the task is a benchmark or a table.

    Example: `culture-lens finetune tuned --strategy bottom --benchmark mrpc --run runs/first`
    """
    from culture_lens.finetune import finetune as train
    from culture_lens.finetune import rank_modules
    from culture_lens.finetune.study import STRATEGIES, Known
    from culture_lens.storage.runs import Run

    if strategy not in STRATEGIES:
        raise InputError(f"--strategy {strategy!r}: use {', '.join(WAYS)}.")
    if (benchmark is None) == (table is None):
        raise InputError("give the task: --benchmark, such as mrpc, or --table, a file of yours.")
    task: Any = table
    if benchmark is not None:
        asked = given(
            benchmark=benchmark,
            path=path,
            benchmark_option=benchmark_option,
            culture=culture,
            limit=limit,
        )
        task = open_questions(asked)
    by_neurons = strategy not in ("all", "lora")
    where = Run.open(run, create=False) if by_neurons or run.is_dir() else None
    chosen: dict[str, Any] = dict(model=model, dtype=dtype, device=device, revision=revision)
    loading = given(**chosen) if where is None else remembered(where, **chosen)
    lens = open_model(loading)
    rank = lora_rank or LORA_RANK
    if by_neurons and where is not None:
        found = the_neurons(where, method)
        ranking = rank_modules(found, lens, **given(culture=whose, by=by, part=part))
        neurons = found.union() if whose is None else found[whose]
        share = SHARE if parameter_share is None else parameter_share
        options = STRATEGIES[strategy](Known(ranking, neurons, share, rank), seed or 0)
    else:
        options = {"lora_rank": rank} if strategy == "lora" else {}
    training = given(
        scoring=scoring,
        too_long=too_long,
        learning_rate=learning_rate,
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        accumulate=accumulate,
        seed=seed,
        mixed_precision=mixed_precision,
        save_every=save_every,
        report_to=report_to,
    )
    tuned = train(lens, task, folder=folder, **options, **training)
    if where is not None:
        told = {"folder": folder, "strategy": strategy, "task": table or benchmark}
        where.log("finetune", {**loading, **told, **training})
    result = tuned.result
    typer.echo(
        f"{strategy}: {result['trained_parameters']} of {result['total_parameters']} parameters "
        f"({result['trained_share']:.2%}), {result['steps']} steps, loss "
        f"{result['first_loss']:.3f} to {result['last_loss']:.3f}"
    )
    typer.echo(f"{tuned.folder}")
