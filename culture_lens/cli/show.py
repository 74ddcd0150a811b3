"""`culture-lens plot`, `report` and `demo`: what can be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from culture_lens.cli.options import DEFAULT_RUN, BatchOption, RunOption, given, quiet_loading
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from culture_lens.experiments.comparison import Comparison
    from culture_lens.experiments.matrix import AblationMatrix
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.storage.runs import Run


def plot(run: RunOption = DEFAULT_RUN) -> None:
    """Write every figure of a run as an HTML file into its folder `figures`.

    Example: `culture-lens plot --run runs/first`
    """
    from culture_lens import plots
    from culture_lens.experiments.comparison import Comparison
    from culture_lens.experiments.fidelity import Fidelity
    from culture_lens.experiments.matrix import AblationMatrix
    from culture_lens.experiments.predicted_matrix import PredictedMatrix
    from culture_lens.experiments.transfer import TransferMatrix
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.storage.runs import Run

    folder = Run.open(run, create=False)
    figures = {}
    for name in folder.names("neurons", ".safetensors"):
        found = NeuronSet.load(folder.named("neurons", name, ".safetensors"))
        figures[f"{name}-layers"] = plots.layer_heatmap(found)
        if len(found) > 1:
            figures[f"{name}-overlap"] = plots.overlap_heatmap(found)
    for name in folder.names("matrix", ".parquet"):
        matrix = AblationMatrix.from_parquet(folder.named("matrix", name, ".parquet"))
        figures[f"{name}-ablation"] = plots.ablation_heatmap(matrix)
        if matrix.has_metrics:
            figures[f"{name}-self-cross"] = plots.self_cross_chart(matrix)
    for name in folder.names("predicted", ".parquet"):
        predicted = PredictedMatrix.from_parquet(folder.named("predicted", name, ".parquet"))
        figures[f"{name}-predicted"] = plots.predicted_heatmap(predicted)
    for name in folder.names("fidelity", ".parquet"):
        held = Fidelity.from_parquet(folder.named("fidelity", name, ".parquet"))
        figures[f"fidelity-{name}"] = plots.fidelity_chart(held)
    for name in folder.names("transfer", ".parquet"):
        transferred = TransferMatrix.from_parquet(folder.named("transfer", name, ".parquet"))
        for metric in ("self", "gap"):
            figures[f"{name}-transfer-{metric}"] = plots.transfer_heatmap(
                transferred, metric=metric
            )
    for name in folder.names("comparison", ".parquet"):
        compared = Comparison.from_parquet(folder.named("comparison", name, ".parquet"))
        figures |= comparison_figures(name, compared)
    if not figures:
        raise InputError(f"nothing to plot in {folder.path}: run `culture-lens find` first.")
    write_figures(folder, figures)


def comparison_figures(name: str, compared: Comparison) -> dict[str, Figure]:
    """Draw a comparison of selectors, named as its files are."""
    from culture_lens import plots

    return {
        f"{name}-comparison": plots.comparison_chart(compared),
        f"{name}-comparison-layers": plots.layer_profile_chart(compared),
    }


def write_figures(folder: Run, figures: Mapping[str, Figure]) -> None:
    """Write figures as HTML files into the folder `figures` of a run, and print their paths."""
    for name, figure in figures.items():
        where = folder.named("figures", name, ".html")
        where.parent.mkdir(parents=True, exist_ok=True)
        figure.write_html(where, include_plotlyjs="directory")
        typer.echo(str(where))


def report(run: RunOption = DEFAULT_RUN) -> None:
    """Write one self-contained page with what a run found.

    Example: `culture-lens report --run runs/first`
    """
    from culture_lens.report.page import build_report
    from culture_lens.storage.runs import Run

    typer.echo(str(build_report(Run.open(run, create=False))))


def demo(
    run: RunOption = Path("runs/demo"),
    batch_size: BatchOption = None,
) -> None:
    """Run the whole job twice: on the organism, in seconds, and on SmolLM2, in minutes.

    Example: `culture-lens demo`
    """
    from time import monotonic

    from culture_lens.cli.run_demo import run_demo, run_organism_demo

    quiet_loading()
    started = monotonic()
    page, matrices, sets = run_organism_demo(
        run.with_name(f"{run.name}-organism"), **given(batch_size=batch_size)
    )
    typer.echo("\norganism: a model of a million parameters whose culture neurons are known")
    show_effects(matrices)
    for name, found in sets.items():
        hits, taken = known_among(found)
        typer.echo(f"  {name}: {hits} of the {taken} neurons that it takes were planted")
    typer.echo(f"{monotonic() - started:.0f} s. The page with the results: {page.resolve()}\n")
    page, matrices = run_demo(run, **given(batch_size=batch_size))
    typer.echo("\nSmolLM2-135M, asked everyday questions on eight countries")
    show_effects(matrices)
    typer.echo(f"{monotonic() - started:.0f} s in all. The page with the results: {page.resolve()}")


def show_effects(matrices: Mapping[str, AblationMatrix]) -> None:
    """Print what ablating did, a block for each selector."""
    for name, matrix in matrices.items():
        typer.echo(f"\n{name}: mean over cultures of the change in accuracy, 95% intervals")
        typer.echo(f"  own culture     {matrix.overall('self')}")
        typer.echo(f"  other cultures  {matrix.overall('cross')}")
        typer.echo(f"  gap             {matrix.overall('gap')}")
        if matrix.has_random:
            typer.echo(f"  random neurons  {matrix.overall('self', condition='random')}")
    typer.echo("")


def known_among(found: NeuronSet) -> tuple[int, int]:
    """Count the neurons of all cultures that were planted for them, and all of them."""
    from culture_lens.organism.scores_against_truth import SOUGHT, mlp_places
    from culture_lens.organism.truth import load_truth

    truth, hits = load_truth(), 0
    for culture in found:
        planted = mlp_places(truth.neurons(SOUGHT, culture).members())
        hits += len(planted & mlp_places(found[culture].members()))
    return hits, sum(len(found[culture]) for culture in found)
