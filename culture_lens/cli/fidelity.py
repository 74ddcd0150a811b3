"""`culture-lens fidelity`: attribution held against ablation."""

from __future__ import annotations

from typing import Annotated, Any

import typer

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
    PresetOption,
    RevisionOption,
    RunOption,
    TooLongOption,
    given,
    open_model,
    open_questions,
    remembered,
    say,
)
from culture_lens.errors import InputError


def fidelity(
    run: RunOption = DEFAULT_RUN,
    neurons: Annotated[int | None, typer.Option(help="How many single neurons to ablate.")] = None,
    model: ModelOption = None,
    benchmark: BenchmarkOption = None,
    preset: PresetOption = None,
    path: PathOption = None,
    benchmark_option: BenchmarkOptionsOption = None,
    culture: CultureOption = None,
    limit: LimitOption = None,
    too_long: TooLongOption = None,
    batch_size: BatchOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = None,
    revision: RevisionOption = None,
) -> None:
    """Hold attribution against ablation: predicted beside measured effects of ablating.

    The scores are those of `find` with a CULNIG method in the same run folder; the questions are
    those that did not identify neurons. Every neuron set of the folder gets its predicted matrix.

    Example: `culture-lens fidelity --run runs/first --neurons 20`
    """
    from culture_lens.attribution.culnig import SCORINGS, CulnigScores
    from culture_lens.experiments.fidelity import comparable, matrix_fidelity
    from culture_lens.experiments.fidelity import fidelity as run_fidelity
    from culture_lens.experiments.matrix import AblationMatrix, unseen
    from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.neurons.scores import NeuronScores
    from culture_lens.storage.runs import Run

    folder = Run.open(run, create=False)
    files = {name: folder.named("scores", name, ".safetensors") for name in SCORINGS}
    scores = CulnigScores(**{name: NeuronScores.load(file) for name, file in files.items()})
    sets = {
        name: NeuronSet.load(folder.named("neurons", name, ".safetensors"))
        for name in folder.names("neurons", ".safetensors")
    }
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
    options = given(too_long=too_long, batch_size=batch_size)
    folder.log("fidelity", {**loading, **options, **given(neurons=neurons)})
    for name, found in sets.items():
        predicted = predicted_ablation_matrix(lens, found, questions, **options)
        where = predicted.to_parquet(folder.named("predicted", name, ".parquet"))
        typer.echo(f"{name}, predicted change of P(gold): {where}\n{predicted.table().to_string()}")
        measured = folder.named("matrix", name, ".parquet")
        if measured.exists():
            matrix = AblationMatrix.from_parquet(measured)
            if comparable(matrix):
                try:
                    say_agreement(matrix_fidelity(predicted, matrix))
                except InputError as error:  # the matrix of other questions is no reason to stop
                    say(f"note: {name} is not set beside its matrix: {error}")
    fresh = unseen(NeuronSet({}, {}, scores.metadata), questions, seen=False)
    compared = run_fidelity(lens, fresh, scores, run=folder, **options, **given(neurons=neurons))
    where = compared.to_parquet(folder.named("fidelity", "scores", ".parquet"))
    typer.echo(f"single neurons and sets: {where}")
    say_agreement(compared)


def say_agreement(fidelity: Any) -> None:
    """Print how far predicted and measured effects agree."""
    for kind in fidelity.kinds:
        if len(fidelity.units(kind)) > 2:
            typer.echo(
                f"  {kind}: Pearson {fidelity.correlation(kind)}, Spearman "
                f"{fidelity.correlation(kind, 'spearman')}, slope {fidelity.slope(kind)}"
            )
