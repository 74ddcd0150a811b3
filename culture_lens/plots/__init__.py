"""Functions from result objects to plotly figures; only ``save`` writes files.

Values in the figures are those of the result objects (shares between 0 and 1); labels give them in
per cent or percentage points. The subtitle of a figure names the model, benchmark, selector, number
of items, and how intervals were made. Bold numbers and filled marks have an interval that excludes
0; a star is a test corrected for all that the figure shows; cells without a value are grey.

``paper`` fits a figure to a printed column, ``save`` writes it as PNG, SVG, PDF, HTML or CSV, and
``data`` gives the table behind it. No figure has a control that sends it to a server.
"""

from __future__ import annotations

from culture_lens.plots.ablation import ablation_heatmap
from culture_lens.plots.agreement import rank_agreement_heatmap
from culture_lens.plots.beside_random import beside_random_heatmap
from culture_lens.plots.chance import overlap_beyond_chance
from culture_lens.plots.charts import method_comparison, self_cross_chart
from culture_lens.plots.comparison import comparison_chart, layer_profile_chart
from culture_lens.plots.dose import dose_chart
from culture_lens.plots.fidelity import fidelity_chart
from culture_lens.plots.forgetting import forgetting_chart
from culture_lens.plots.generation import generation_chart
from culture_lens.plots.instances import instances_chart
from culture_lens.plots.localization import localization_gap
from culture_lens.plots.modules import module_profile_chart
from culture_lens.plots.neurons import layer_heatmap, overlap_heatmap
from culture_lens.plots.numbers import data
from culture_lens.plots.paper import paper
from culture_lens.plots.predicted import predicted_heatmap
from culture_lens.plots.relations import relations_heatmap
from culture_lens.plots.saving import save
from culture_lens.plots.scorecard import scorecard_chart
from culture_lens.plots.scores import score_chart
from culture_lens.plots.transfer import transfer_heatmap
from culture_lens.plots.units import units_chart

__all__ = [
    "ablation_heatmap",
    "beside_random_heatmap",
    "comparison_chart",
    "data",
    "dose_chart",
    "fidelity_chart",
    "forgetting_chart",
    "generation_chart",
    "instances_chart",
    "layer_heatmap",
    "layer_profile_chart",
    "localization_gap",
    "method_comparison",
    "module_profile_chart",
    "overlap_beyond_chance",
    "overlap_heatmap",
    "paper",
    "predicted_heatmap",
    "rank_agreement_heatmap",
    "relations_heatmap",
    "save",
    "score_chart",
    "scorecard_chart",
    "self_cross_chart",
    "transfer_heatmap",
    "units_chart",
]


def __dir__() -> list[str]:
    """List the functions, not the files that they are in."""
    return sorted(__all__)
