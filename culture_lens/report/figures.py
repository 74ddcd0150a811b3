"""The figures of a report, as HTML that the page embeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from culture_lens.errors import InputError, warn
from culture_lens.experiments.belonging import is_of
from culture_lens.experiments.conditions import RANDOM
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.report.results import Results, other_neurons
from culture_lens.storage.runs import Run


def draw(found: NeuronSet | None, matrix: AblationMatrix | None) -> list[dict[str, Any]]:
    """Make the figures of one selector, without those that need more cultures."""
    from culture_lens import plots

    wanted: list[tuple[Callable[[], Any], str]] = []
    if matrix is not None:
        heatmap, cells = partial(plots.ablation_heatmap, matrix), "Heat map, ablated by asked:"
        wanted += [
            (partial(plots.self_cross_chart, matrix), "Dots with intervals, as in the table."),
            (heatmap, f"{cells} change in accuracy."),
            (partial(heatmap, what="flips"), f"{cells} share of answers that change."),
        ]
        if matrix.has_random:
            wanted.append((partial(heatmap, condition=RANDOM), f"{cells} change in accuracy."))
    if found is not None:
        wanted += [
            (partial(plots.layer_heatmap, found), "Heat map, cultures by layers."),
            (partial(plots.overlap_heatmap, found), "Heat map, cultures by cultures."),
        ]
    drawn = []
    for make, words in wanted:
        try:
            drawn.append(embed(make(), words))
        except InputError:
            continue  # the page says what is missing
    return drawn


def compare(results: Results) -> dict[str, Any] | None:
    """Make the figure that compares selectors, where two or more were tested."""
    from culture_lens import plots

    tested = {
        name: matrix
        for name, (_, matrix) in results.items()
        if matrix is not None and matrix.has_metrics
    }
    if len(tested) < 2:
        return None
    words = "Dots with intervals for every selector: mean self, cross and gap."
    return embed(plots.method_comparison(tested), words)


def draw_predictions(run: Run, results: Results) -> list[dict[str, Any]]:
    """Make the figures of predicted against measured effects, where a run has predictions."""
    from culture_lens import plots
    from culture_lens.experiments.ablation_fidelity import comparable
    from culture_lens.experiments.fidelity import Fidelity
    from culture_lens.experiments.predicted_matrix import PredictedMatrix

    drawn = []
    for name in run.names("fidelity", ".parquet"):
        held = Fidelity.from_parquet(run.named("fidelity", name, ".parquet"))
        drawn.append(embed(plots.fidelity_chart(held), "Dots: predicted against measured."))
    for name in run.names("predicted", ".parquet"):
        predicted = PredictedMatrix.from_parquet(run.named("predicted", name, ".parquet"))
        found, matrix = results.get(name, (None, None))
        if found is not None and not is_of(predicted.metadata, found):
            warn(f"{other_neurons('predicted', name, name)} It is not drawn: predict it again.")
            continue
        measured = matrix if matrix is not None and comparable(predicted, matrix) else None
        figure = plots.predicted_heatmap(predicted, measured)
        drawn.append(embed(figure, "Heat map, ablated by asked: predicted change."))
    return drawn


def draw_transfers(run: Run) -> list[dict[str, Any]]:
    """Make the figures of transfer between benchmarks, where a run has them."""
    from culture_lens import plots
    from culture_lens.experiments.transfer import TransferMatrix

    drawn = []
    for name in run.names("transfer", ".parquet"):
        result = TransferMatrix.from_parquet(run.named("transfer", name, ".parquet"))
        for figure in (
            plots.transfer_heatmap(result, metric="self"),
            plots.transfer_heatmap(result, metric="gap"),
        ):
            drawn.append(embed(figure, "Heat map, found on by asked: change in accuracy."))
    return drawn


def embed(figure: Any, words: str) -> dict[str, Any]:
    """Make a figure HTML; its title and subtitle are taken out, for the page to write them."""
    import html

    import plotly.io
    from markupsafe import Markup

    from culture_lens.plots.saving import HTML_CONFIG

    title, subtitle = figure.layout.title.text, figure.layout.title.subtitle.text
    lines = subtitle.count("<br>") + 1
    figure.layout.title = None
    removed = 30 + 16 * lines  # what is left has room for plotly's buttons
    figure.update_layout(
        margin_t=figure.layout.margin.t - removed, height=figure.layout.height - removed
    )
    made = plotly.io.to_html(
        figure,
        include_plotlyjs=False,
        full_html=False,
        default_height=f"{figure.layout.height}px",
        config=dict(HTML_CONFIG),
    )
    return {
        "title": html.unescape(title),
        "caption": html.unescape(subtitle.replace("<br>", " ")),
        "alt": words,
        "html": Markup(made),
    }
