"""`culture-lens evaluate`: one record per question."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from culture_lens.cli.options import (
    DEFAULT_RUN,
    AblateOption,
    BatchOption,
    BenchmarkOption,
    BenchmarkOptionsOption,
    CultureOption,
    DeviceOption,
    DtypeOption,
    LimitOption,
    ModelOption,
    PathOption,
    PresetOption,
    RevisionOption,
    RunOption,
    ScoringOption,
    TooLongOption,
    ValueOption,
    given,
    open_model,
    open_questions,
    remembered,
)
from culture_lens.errors import InputError


def evaluate(
    run: RunOption = DEFAULT_RUN,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    preset: PresetOption = None,
    path: PathOption = None,
    benchmark_option: BenchmarkOptionsOption = None,
    neurons: Annotated[
        Path | None, typer.Option(help="A neuron set to ablate; needs --ablate.")
    ] = None,
    ablate: AblateOption = None,
    value: ValueOption = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Ask a model the questions and write one record per item.

    Example: `culture-lens evaluate --benchmark everyday --scoring option_likelihood`
    """
    from culture_lens.evaluation.evaluate import evaluate as run_evaluation
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.storage.runs import Run

    if (neurons is None) != (ablate is None):
        raise InputError("--neurons and --ablate go together: a neuron set, and whose neurons.")
    folder = Run.open(run)
    loading = remembered(
        folder,
        model=model,
        benchmark=benchmark,
        preset=preset,
        path=path,
        benchmark_option=benchmark_option,
        culture=culture,
        limit=limit,
        dtype=dtype,
        device=device,
        revision=revision,
    )
    questions = open_questions(loading)
    lens = open_model(loading)
    chosen = None
    if neurons is not None and ablate is not None:
        chosen = NeuronSet.load(neurons, lens)[ablate]
    options = given(value=value, scoring=scoring, too_long=too_long, batch_size=batch_size)
    folder.log("evaluate", {**loading, **options, "neurons": neurons, "ablate": ablate})
    result = run_evaluation(lens, questions, chosen, run=folder, **options)
    name = f"{questions[0].benchmark}-{ablate or 'unmodified'}"
    where = result.to_parquet(folder.named("evaluations", name, ".parquet"))
    typer.echo(f"{where}")
    typer.echo(f"all: {result.accuracy()}  (chance {result.chance():.3f})")
    for label, estimate in result.by().items():
        typer.echo(f"  {label}: {estimate}")
