"""`culture-lens plot`, `report` and `demo`: what can be looked at."""

from __future__ import annotations

from pathlib import Path

import typer

from culture_lens.cli.options import (
    DEFAULT_RUN,
    BatchOption,
    RunOption,
    given,
    quiet_loading,
)
from culture_lens.errors import InputError


def plot(run: RunOption = DEFAULT_RUN) -> None:
    """Write every figure of a run as an HTML file into its folder `figures`.

    Example: `culture-lens plot --run runs/first`
    """
    from culture_lens import plots
    from culture_lens.agreement import Fidelity
    from culture_lens.matrix import AblationMatrix
    from culture_lens.neurons import NeuronSet
    from culture_lens.prediction import PredictedMatrix
    from culture_lens.runs import Run
    from culture_lens.transfer import TransferMatrix

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
        if matrix.has_readings:
            figures[f"{name}-self-cross"] = plots.self_cross_chart(matrix)
    for name in folder.names("predicted", ".parquet"):
        predicted = PredictedMatrix.from_parquet(folder.named("predicted", name, ".parquet"))
        figures[f"{name}-predicted"] = plots.predicted_heatmap(predicted)
    for name in folder.names("fidelity", ".parquet"):
        held = Fidelity.from_parquet(folder.named("fidelity", name, ".parquet"))
        figures[f"fidelity-{name}"] = plots.fidelity_chart(held)
    for name in folder.names("transfer", ".parquet"):
        transferred = TransferMatrix.from_parquet(folder.named("transfer", name, ".parquet"))
        for reading in ("self", "gap"):
            figures[f"{name}-transfer-{reading}"] = plots.transfer_heatmap(
                transferred, reading=reading
            )
    if not figures:
        raise InputError(f"nothing to plot in {folder.path}: run `culture-lens find` first.")
    for name, figure in figures.items():
        where = folder.named("figures", name, ".html")
        where.parent.mkdir(parents=True, exist_ok=True)
        figure.write_html(where, include_plotlyjs="directory")
        typer.echo(str(where))


def report(run: RunOption = DEFAULT_RUN) -> None:
    """Write one self-contained page with what a run found.

    Example: `culture-lens report --run runs/first`
    """
    from culture_lens.report import build_report
    from culture_lens.runs import Run

    typer.echo(str(build_report(Run.open(run, create=False))))


def demo(
    run: RunOption = Path("runs/demo"),
    batch_size: BatchOption = None,
) -> None:
    """Run the whole job on the embedded model and the bundled questions, in minutes.

    Example: `culture-lens demo`
    """
    from time import monotonic

    from culture_lens.demo import run_demo

    quiet_loading()
    started = monotonic()
    page, matrices = run_demo(run, **given(batch_size=batch_size))
    for name, matrix in matrices.items():
        typer.echo(f"\n{name}: mean over cultures of the change in accuracy, 95% intervals")
        typer.echo(f"  own culture     {matrix.overall('self')}")
        typer.echo(f"  other cultures  {matrix.overall('cross')}")
        typer.echo(f"  gap             {matrix.overall('gap')}")
        if matrix.has_random:
            typer.echo(f"  random neurons  {matrix.overall('self', kind='random')}")
    typer.echo(f"\n{monotonic() - started:.0f} s. The page with the results: {page.resolve()}")
