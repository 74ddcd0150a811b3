"""The figures of a report, as HTML that the page embeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from culture_lens.errors import InputError, warn
from culture_lens.experiments.belonging import is_of
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.report.alt import (
    of_fidelity,
    of_layers,
    of_overlap,
    of_selectors,
    of_self_cross,
    on_and_off,
    on_questions,
)
from culture_lens.report.colours import cell_text
from culture_lens.report.results import Results, other_neurons
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    from culture_lens.experiments.conditions import Condition, MatrixTable, Metric


def draw(found: NeuronSet | None, matrix: AblationMatrix | None) -> list[dict[str, Any]]:
    """Make the figures of one selector, without those that need more cultures."""
    from culture_lens import plots

    wanted: list[tuple[Callable[[], Any], Callable[[], str]]] = []
    if matrix is not None:
        heatmap = partial(plots.ablation_heatmap, matrix)
        wanted += [
            (heatmap, partial(cells_in_words, matrix, "change")),
            (partial(plots.self_cross_chart, matrix), partial(of_self_cross, matrix)),
            (partial(heatmap, what="flips"), partial(cells_in_words, matrix, "flips")),
        ]
        if matrix.has_random:
            random = partial(cells_in_words, matrix, "change", RANDOM)
            wanted.append((partial(heatmap, condition=RANDOM), random))
    if found is not None:
        wanted += [
            (partial(plots.layer_heatmap, found), partial(of_layers, found)),
            (partial(plots.overlap_heatmap, found), partial(of_overlap, found)),
        ]
    drawn = []
    for make, say in wanted:
        try:
            drawn.append(embed(make(), say()))
        except InputError:
            continue  # the page says what is missing
    return drawn


def cells_in_words(matrix: AblationMatrix, what: MatrixTable, condition: Condition = FOUND) -> str:
    """Write what a table of the matrix shows."""
    return on_and_off(matrix.table(what, condition), what != "flips", on_questions)


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
    return embed(plots.method_comparison(tested), of_selectors(tested))


def draw_predictions(run: Run, results: Results) -> list[dict[str, Any]]:
    """Make the figures of predicted against measured effects, where a run has predictions."""
    from culture_lens import plots
    from culture_lens.experiments.ablation_fidelity import comparable
    from culture_lens.experiments.fidelity import Fidelity
    from culture_lens.experiments.predicted_matrix import PredictedMatrix
    from culture_lens.plots.objectives import quantity_of

    drawn = []
    for name in run.names("fidelity", ".parquet"):
        held = Fidelity.from_parquet(run.named("fidelity", name, ".parquet"))
        drawn.append(embed(plots.fidelity_chart(held), of_fidelity(held)))
    for name in run.names("predicted", ".parquet"):
        predicted = PredictedMatrix.from_parquet(run.named("predicted", name, ".parquet"))
        found, matrix = results.get(name, (None, None))
        if found is not None and not is_of(predicted.metadata, found):
            warn(f"{other_neurons('predicted', name, name)} It is not drawn: predict it again.")
            continue
        measured = matrix if matrix is not None and comparable(predicted, matrix) else None
        figure = plots.predicted_heatmap(predicted, measured)
        quantity = quantity_of(predicted.metadata)
        table = predicted.table().map(quantity.as_share)
        said = on_and_off(table, True, on_questions, quantity.short)
        drawn.append(embed(figure, f"Predicted changes. {said}"))
    return drawn


def draw_transfers(run: Run) -> list[dict[str, Any]]:
    """Make the figures of transfer between benchmarks, where a run has them."""
    from culture_lens import plots
    from culture_lens.experiments.transfer import TransferMatrix

    drawn = []
    for name in run.names("transfer", ".parquet"):
        result = TransferMatrix.from_parquet(run.named("transfer", name, ".parquet"))
        metrics: tuple[Metric, ...] = ("self", "gap")
        for metric in metrics:
            said = on_and_off(
                result.table(metric), True, lambda source, target: f"from {source} to {target}"
            )
            drawn.append(embed(plots.transfer_heatmap(result, metric=metric), said))
    return drawn


def embed(figure: Any, finding: str) -> dict[str, Any]:
    """Make a figure the JSON that the page draws; the page writes its title and subtitle.

    Args:
        figure: The figure; it is changed.
        finding: What it shows, in a sentence.
    """
    import html

    from markupsafe import Markup

    title, subtitle = figure.layout.title.text, figure.layout.title.subtitle.text
    lines = subtitle.count("<br>") + 1
    figure.layout.title = None
    removed = 30 + 16 * lines  # what is left has room for plotly's buttons
    figure.update_layout(
        margin_t=figure.layout.margin.t - removed, height=figure.layout.height - removed
    )
    written = [trace for trace in figure.data if trace.type == "heatmap" and trace.texttemplate]
    figure.add_traces([cell_text(trace) for trace in written])
    return {
        "title": html.unescape(title),
        "caption": html.unescape(subtitle.replace("<br>", " ")),
        "finding": finding,
        "height": int(figure.layout.height),
        "json": Markup(as_script_data(figure.to_json())),
    }


def as_script_data(text: str) -> str:
    r"""Write JSON so that nothing in it ends the script element that holds it.

    Example:
        >>> as_script_data('{"name": "</script>"}')
        '{"name": "\\u003c/script>"}'
    """
    return text.replace("<", "\\u003c")
