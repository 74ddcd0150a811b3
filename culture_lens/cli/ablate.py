"""`culture-lens ablate`: every mask in turn, every question asked."""

from __future__ import annotations

import typer

from culture_lens.cli.neurons import named_sets
from culture_lens.cli.options import (
    DEFAULT_RUN,
    BatchOption,
    BenchmarkOption,
    BenchmarkOptionsOption,
    CultureOption,
    DeviceOption,
    DtypeOption,
    LimitOption,
    MethodOption,
    ModelOption,
    PathOption,
    PresetOption,
    RandomSeedsOption,
    RevisionOption,
    RunOption,
    ScoringOption,
    SeenOption,
    TooLongOption,
    ValueOption,
    given,
    open_model,
    open_questions,
    remembered,
)


def ablate(
    run: RunOption = DEFAULT_RUN,
    method: MethodOption = None,
    random_seeds: RandomSeedsOption = None,
    value: ValueOption = None,
    seen: SeenOption = None,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    preset: PresetOption = None,
    path: PathOption = None,
    benchmark_option: BenchmarkOptionsOption = None,
    scoring: ScoringOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Ablate each culture's neurons in turn and ask every culture's questions.

    Model and questions are those of `find` in the same run folder, unless given.

    Example: `culture-lens ablate --run runs/first --method conact --random-seeds 5`
    """
    from culture_lens.experiments.matrix import ablation_matrix
    from culture_lens.storage.runs import Run

    folder = Run.open(run, create=False)
    sets = named_sets(folder, method)
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
    options = given(
        random_seeds=random_seeds,
        value=value,
        seen=seen,
        scoring=scoring,
        too_long=too_long,
        batch_size=batch_size,
    )
    folder.log("ablate", {**loading, **options, "method": list(sets)})
    for name, found in sets.items():
        matrix = ablation_matrix(lens, found, questions, run=folder, **options)
        where = matrix.to_parquet(folder.named("matrix", name, ".parquet"))
        typer.echo(f"{name}: {where}")
        if matrix.has_metrics:
            typer.echo(matrix.summary().to_string())
        for mask in [] if matrix.has_metrics else matrix.masks:
            typer.echo(f"mask {mask}\n{matrix.effects(mask).to_string()}")
