"""`culture-lens fidelity`: predicted beside measured effects of ablation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from culture_lens.cli.flags import flags, given
from culture_lens.cli.loading import log_once, note, open_remembered
from culture_lens.cli.options import (
    DEFAULT_RUN,
    AskingFlags,
    EngineFlags,
    LoadingFlags,
    RunFolder,
    RunningFlags,
)
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from culture_lens.experiments.fidelity import Fidelity
    from culture_lens.experiments.predicted_matrix import PredictedMatrix
    from culture_lens.storage.runs import Run


@dataclass(frozen=True)
class PredictionFlags:
    """What is predicted, and from which gradients; see ``predicted_ablation_matrix``."""

    panel: ClassVar[str] = "Prediction"

    objective: Annotated[
        str | None,
        typer.Option(help="What changes: probability, log_probability or logit_difference."),
    ] = None
    attribution_scoring: Annotated[
        str | None, typer.Option(help="How options are read: letter or option_likelihood.")
    ] = None
    # --path names a local copy of the benchmark.
    attribution_path: Annotated[
        str | None,
        typer.Option(
            help="Gradients along none, integrated, integrated_layerwise or inputs; or relp."
        ),
    ] = None
    points: Annotated[int | None, typer.Option(help="Points of the path.")] = None


def prediction_options(prediction: PredictionFlags) -> dict[str, Any]:
    """Give the options of a prediction that were set, as Python names them.

    Example:
        >>> prediction_options(PredictionFlags(attribution_path="integrated"))
        {'path': 'integrated'}
    """
    options = given(prediction)
    return {name.removeprefix("attribution_"): value for name, value in options.items()}


@flags
def fidelity(
    *,
    run: RunFolder = DEFAULT_RUN,
    neurons: Annotated[int | None, typer.Option(help="How many single neurons to ablate.")] = None,
    loading: LoadingFlags,
    asking: AskingFlags,
    prediction: PredictionFlags,
    running: RunningFlags,
    engine: EngineFlags,
) -> None:
    """Compare attribution with ablation: predicted beside measured effects of ablating.

    The scores are those of `find` with a CULNIG method in the same run folder; the questions are
    those that did not identify neurons. Every neuron set of the folder gets its predicted matrix.
    By default the probability of the right letter is predicted, from one backward pass.

    Example: `culture-lens fidelity --run runs/first --objective logit_difference
    --attribution-path integrated`
    """
    from culture_lens.attribution.culnig import CONTRASTED, CulnigScores
    from culture_lens.experiments.ablation_fidelity import fidelity as run_fidelity
    from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.neurons.scores import NeuronScores
    from culture_lens.storage.runs import Run, now

    began = now()
    folder = Run.open(run, create=False)
    files = {name: folder.named("scores", name, ".safetensors") for name in CONTRASTED}
    task, control, countryrc = (NeuronScores.load(file) for file in files.values())
    scores = CulnigScores(task, control, countryrc)
    sets = {
        name: NeuronSet.load(folder.named("neurons", name, ".safetensors"))
        for name in folder.names("neurons", ".safetensors")
    }
    opened, questions, lens = open_remembered(folder, loading, asking)
    chosen = prediction_options(prediction)
    options: dict[str, Any] = {**given(running), **chosen, **engine.chosen}
    told = {**opened, **options, **given(neurons=neurons)}
    for name, found in sets.items():
        predicted = predicted_ablation_matrix(lens, found, questions, **options)
        where = predicted.to_parquet(folder.named("predicted", name, ".parquet"))
        told = log_once(folder, "fidelity", told, began)
        what = str(predicted.metadata["objective"]).replace("_", " ")
        typer.echo(f"{name}, predicted change of the {what}: {where}")
        typer.echo(predicted.table().to_string())
        say_beside_measured(folder, name, predicted)
    compared = run_fidelity(
        lens, questions, scores, run=folder, **options, **given(neurons=neurons)
    )
    named = "-".join(["scores", *map(str, chosen.values())])
    where = compared.to_parquet(folder.named("fidelity", named, ".parquet"))
    log_once(folder, "fidelity", told, began)
    typer.echo(f"single neurons and sets: {where}")
    say_agreement(compared)
    folder.finish("fidelity", lens.device)


def say_beside_measured(folder: Run, name: str, predicted: PredictedMatrix) -> None:
    """Print how far a predicted matrix agrees with the measured one of the run folder, if any."""
    from culture_lens.experiments.ablation_fidelity import comparable, matrix_fidelity
    from culture_lens.experiments.matrix import AblationMatrix

    measured = folder.named("matrix", name, ".parquet")
    if not measured.exists():
        return
    matrix = AblationMatrix.from_parquet(measured)
    if comparable(predicted, matrix):
        try:
            say_agreement(matrix_fidelity(predicted, matrix))
        except InputError as error:  # a matrix of other questions: go on with the others
            note(f"{name} is not compared with its matrix: {error}")


def say_agreement(fidelity: Fidelity) -> None:
    """Print how far predicted and measured effects agree."""
    for kind in fidelity.kinds:
        if len(fidelity.units(kind)) > 2:
            typer.echo(
                f"  {kind}: Pearson {fidelity.correlation(kind)}, Spearman "
                f"{fidelity.correlation(kind, 'spearman')}, slope {fidelity.slope(kind)}"
            )
