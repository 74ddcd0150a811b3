"""Figures of `culture-lens plot` that need more than one result: the summary, or the questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from culture_lens.cli.loading import open_questions, remembered
from culture_lens.cli.options import AskingFlags, LoadingFlags
from culture_lens.errors import InputError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from culture_lens.activations.summary import ActivationSummary
    from culture_lens.experiments.matrix import AblationMatrix
    from culture_lens.neurons.neuron_set import NeuronSet
    from culture_lens.questions.question import Question
    from culture_lens.storage.runs import Run


def score_figures(folder: Run, sets: Mapping[str, NeuronSet]) -> dict[str, Figure]:
    """Draw the scores of a run's activation selectors, and how alike they rank neurons.

    Only sets that were chosen from the summary of the run are drawn: an earlier one may be of other
    questions. Random neurons have no scores worth a figure.
    """
    from culture_lens import plots
    from culture_lens.activations.summary import ActivationSummary
    from culture_lens.selectors.registry import SELECTORS

    place = folder.named("statistics", "summary", ".safetensors")
    if not place.exists():
        return {}
    summary = ActivationSummary.load(place)
    figures: dict[str, Figure] = {}
    scored = {}
    for name, found in sets.items():
        if found.method not in SELECTORS or found.method == "random":
            continue
        if not chosen_from(found, summary):
            continue
        rule, options = SELECTORS[found.method], found.metadata.get("options", {})
        scored[name] = rule(summary, **options)
        null = [rule(one, **options) for one in summary.permuted()]
        figures[f"{name}-scores"] = plots.score_chart(scored[name], found=found, null=null)
    if len(scored) > 1:
        figures["rank-agreement"] = plots.rank_agreement_heatmap(scored)
    return figures


def chosen_from(found: NeuronSet, summary: ActivationSummary) -> bool:
    """Say whether a set was chosen from a summary: it tells of the same pass in every entry."""
    return all(found.metadata.get(fact) == value for fact, value in summary.metadata.items())


def questions_of(folder: Run) -> list[Question]:
    """Load the questions of a run again, as its commands named them.

    Raises:
        InputError: The run names no benchmark, or it cannot be loaded.
    """
    if folder.option("benchmark") is None:
        raise InputError(
            f"--items: {folder.path} does not say what was asked; draw them with "
            "cl.plots.instances_chart(matrix, questions, culture)."
        )
    return open_questions(remembered(folder, LoadingFlags(), AskingFlags()))


def item_figures(name: str, matrix: AblationMatrix, questions: list[Question]) -> dict[str, Figure]:
    """Draw the items that each culture's own neurons change most."""
    from culture_lens import plots

    own = [culture for culture in matrix.cultures if culture in matrix.masks]
    return {
        f"{name}-items-{culture}": plots.instances_chart(matrix, questions, culture)
        for culture in own
    }
