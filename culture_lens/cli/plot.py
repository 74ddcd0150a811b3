"""`culture-lens plot`: the figures of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from culture_lens.cli.loading import note
from culture_lens.cli.options import DEFAULT_RUN, RunFolder
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from culture_lens.experiments.comparison import Comparison
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.storage.runs import Run


def plot(run: RunFolder = DEFAULT_RUN) -> None:
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
    sets = {
        name: NeuronSet.load(folder.named("neurons", name, ".safetensors"))
        for name in folder.names("neurons", ".safetensors")
    }
    for name, found in sets.items():
        figures[f"{name}-layers"] = plots.layer_heatmap(found)
        if len(found) > 1:
            figures[f"{name}-overlap"] = plots.overlap_heatmap(found)
    for name in folder.names("matrix", ".parquet"):
        matrix = AblationMatrix.from_parquet(folder.named("matrix", name, ".parquet"))
        if not belongs("matrix", name, matrix.metadata, sets):
            continue
        figures[f"{name}-ablation"] = plots.ablation_heatmap(matrix)
        if matrix.has_metrics:
            figures[f"{name}-self-cross"] = plots.self_cross_chart(matrix)
    for name in folder.names("predicted", ".parquet"):
        predicted = PredictedMatrix.from_parquet(folder.named("predicted", name, ".parquet"))
        if not belongs("predicted", name, predicted.metadata, sets):
            continue
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


def write_figure(figure: Figure, where: Path, plotlyjs: str | bool = "directory") -> None:
    """Write a figure as HTML with a title, and plotly.js once beside all of them, or inside."""
    figure.write_html(where, include_plotlyjs=plotlyjs)
    page = where.read_text(encoding="utf-8")
    titled = page.replace("<head>", f"<head><title>{title_of(figure)}</title>", 1)
    where.write_text(titled, encoding="utf-8")


def title_of(figure: Figure) -> str:
    """Give the title of a figure as text that HTML can hold, without the lines below it."""
    title = figure.layout.title.text or "culture_lens"
    words = re.sub(r"<[^>]*>", " ", re.split(r"<br\s*/?>", title)[0])
    return escape(" ".join(unescape(words).split()))


def write_figures(folder: Run, figures: Mapping[str, Figure]) -> None:
    """Write figures as HTML files into the folder `figures` of a run, and print their paths."""
    from culture_lens.storage.files import write_whole

    for name, figure in figures.items():
        where = folder.named("figures", name, ".html")
        write_whole(where, partial(write_figure, figure))
        typer.echo(str(where))
