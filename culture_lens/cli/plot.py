"""`culture-lens plot`: the figures of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from culture_lens.cli.loading import note
from culture_lens.cli.more_figures import item_figures, questions_of, score_figures
from culture_lens.cli.options import DEFAULT_RUN, RunFolder
from culture_lens.errors import InputError, unknown

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from culture_lens.experiments.comparison import Comparison
    from culture_lens.experiments.conditions import Metric
    from culture_lens.experiments.matrix import AblationMatrix
    from culture_lens.experiments.units_compared import UnitsComparison
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.storage.runs import Run


def plot(
    run: RunFolder = DEFAULT_RUN,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", help="html by default, png, svg, pdf or csv; may be given several times."
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(help="Width in inches, for print: 3.3 is a column. Titles are left out."),
    ] = None,
    items: Annotated[
        bool,
        typer.Option(
            "--items",
            help="Also the items that each culture's neurons change most, in words.",
        ),
    ] = False,
) -> None:
    """Write every figure of a run into its folder `figures`: as HTML, a picture, or its numbers.

    Pictures need the extra `plots` and an installed Chrome or Chromium.

    Example: `culture-lens plot --run runs/first --format pdf --width 3.3`
    """
    from culture_lens.plots import paper
    from culture_lens.storage.runs import Run

    check_formats(formats or [])
    folder = Run.open(run, create=False)
    figures = figures_of(folder, items)
    if not figures:
        raise InputError(f"nothing to plot in {folder.path}: run `culture-lens find` first.")
    if width is not None:
        figures = {name: paper(figure, width) for name, figure in figures.items()}
    write_figures(folder, figures, formats or ["html"])


def figures_of(folder: Run, items: bool = False) -> dict[str, Figure]:
    """Draw every figure of a run, named as its files are; single items where they are asked for."""
    from culture_lens import plots
    from culture_lens.experiments.comparison import Comparison
    from culture_lens.experiments.dose import DoseCurve
    from culture_lens.experiments.fidelity import Fidelity
    from culture_lens.experiments.matrix import AblationMatrix
    from culture_lens.experiments.predicted_matrix import PredictedMatrix
    from culture_lens.experiments.steering import SteeringCurve
    from culture_lens.experiments.transfer import TransferMatrix
    from culture_lens.experiments.units_compared import UnitsComparison
    from culture_lens.neurons.neuron_set import NeuronSet

    def held(kind: str, record: Any) -> dict[str, Any]:
        names = folder.names(kind, ".parquet")
        return {name: record.from_parquet(folder.named(kind, name, ".parquet")) for name in names}

    sets = {
        name: NeuronSet.load(folder.named("neurons", name, ".safetensors"))
        for name in folder.names("neurons", ".safetensors")
    }
    figures: dict[str, Figure] = {}
    for name, found in sets.items():
        figures |= set_figures(name, found)
    figures |= score_figures(folder, sets)
    questions = questions_of(folder) if items else []
    for name, matrix in held("matrix", AblationMatrix).items():
        if belongs("matrix", name, matrix.metadata, sets):
            figures |= matrix_figures(name, matrix)
            figures |= item_figures(name, matrix, questions) if items else {}
    for name, curve in held("dose", DoseCurve).items():
        if belongs("dose", name, curve.metadata, sets):
            figures[f"{name}-dose"] = plots.dose_chart(curve)
    for name, steered in held("steering", SteeringCurve).items():
        if belongs("steering", name, steered.metadata, sets):
            figures[f"{name}-steering"] = plots.dose_chart(steered)
    for name, predicted in held("predicted", PredictedMatrix).items():
        if belongs("predicted", name, predicted.metadata, sets):
            figures[f"{name}-predicted"] = plots.predicted_heatmap(predicted)
    for name, fidelity in held("fidelity", Fidelity).items():
        figures[f"fidelity-{name}"] = plots.fidelity_chart(fidelity)
    metrics: tuple[Metric, ...] = ("self", "gap")
    for name, transferred in held("transfer", TransferMatrix).items():
        for metric in metrics:
            drawn = plots.transfer_heatmap(transferred, metric=metric)
            figures[f"{name}-transfer-{metric}"] = drawn
    for name, compared in held("comparison", Comparison).items():
        figures |= comparison_figures(name, compared)
    for name, units in held("units", UnitsComparison).items():
        figures |= units_figures(name, units)
    return figures


def set_figures(name: str, found: NeuronSet) -> dict[str, Figure]:
    """Draw a neuron set."""
    from culture_lens import plots

    figures = {f"{name}-layers": plots.layer_heatmap(found)}
    if len(found) > 1:
        figures[f"{name}-overlap"] = plots.overlap_heatmap(found)
        figures[f"{name}-overlap-beyond-chance"] = plots.overlap_beyond_chance(found)
    if len(found.shapes) > 1 and any(len(found[culture]) for culture in found):
        figures[f"{name}-modules"] = plots.module_profile_chart(found)
    return figures


def matrix_figures(name: str, matrix: AblationMatrix) -> dict[str, Figure]:
    """Draw an ablation matrix."""
    from culture_lens import plots

    figures = {f"{name}-ablation": plots.ablation_heatmap(matrix)}
    if matrix.has_metrics:
        figures[f"{name}-self-cross"] = plots.self_cross_chart(matrix)
    if matrix.has_random:
        figures[f"{name}-beside-random"] = plots.beside_random_heatmap(matrix)
    return figures


def check_formats(formats: Sequence[str]) -> None:
    """Refuse an unknown kind of file before anything is drawn.

    Raises:
        InputError: Names the kind and the known ones.
    """
    from culture_lens.plots.saving import SUFFIXES

    known = [suffix[1:] for suffix in SUFFIXES]
    for one in formats:
        if one not in known:
            raise unknown("format", one, known)


def belongs(
    kind: str, name: str, metadata: Mapping[str, Any], sets: Mapping[str, NeuronSet]
) -> bool:
    """Say whether a result is of the neurons of its name; print a note where it is not."""
    from culture_lens.experiments.belonging import is_of, set_name

    own = name if name in sets else set_name(name, metadata)
    if own not in sets or is_of(metadata, sets[own]):
        return True
    note(
        f"{kind}/{name}.parquet is of other neurons than neurons/{own}.safetensors and is "
        "not drawn: ablate them again."
    )
    return False


def comparison_figures(name: str, compared: Comparison) -> dict[str, Figure]:
    """Draw a comparison of selectors, named as its files are."""
    from culture_lens import plots

    return {
        f"{name}-comparison": plots.comparison_chart(compared),
        f"{name}-comparison-layers": plots.layer_profile_chart(compared),
    }


def units_figures(name: str, compared: UnitsComparison) -> dict[str, Figure]:
    """Draw a comparison of units, named as its file is."""
    from culture_lens import plots

    return {f"{name}-units": plots.units_chart(compared)}


def write_figures(
    folder: Run, figures: Mapping[str, Figure], formats: Sequence[str] = ("html",)
) -> None:
    """Write figures into the folder `figures` of a run, and print their paths.

    Of HTML files plotly.js is written once, beside all of them.
    """
    from culture_lens.plots.saving import save, write_html
    from culture_lens.storage.files import write_whole

    for name, figure in figures.items():
        for one in formats:
            where = folder.named("figures", name, f".{one}")
            if one == "html":
                write_whole(where, partial(write_html, figure, plotlyjs="directory"))
            else:
                save(figure, where)
            typer.echo(str(where))
