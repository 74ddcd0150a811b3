"""Functions from result objects to plotly figures; nothing is shown or written.

Values in the figures are those of the result objects (shares between 0 and 1); labels give them in
per cent or percentage points. The subtitle of a figure names the model, benchmark, selector, number
of items, and how intervals were made.
"""

from __future__ import annotations

from culture_lens.plots.ablation import ablation_heatmap
from culture_lens.plots.charts import method_comparison, self_cross_chart
from culture_lens.plots.comparison import comparison_chart, layer_profile_chart
from culture_lens.plots.fidelity import fidelity_chart
from culture_lens.plots.forgetting import forgetting_chart
from culture_lens.plots.neurons import layer_heatmap, overlap_heatmap
from culture_lens.plots.numbers import data
from culture_lens.plots.paper import paper
from culture_lens.plots.predicted import predicted_heatmap
from culture_lens.plots.relations import relations_heatmap
from culture_lens.plots.saving import save
from culture_lens.plots.scorecard import scorecard_chart
from culture_lens.plots.transfer import transfer_heatmap

__all__ = [
    "ablation_heatmap",
    "comparison_chart",
    "data",
    "fidelity_chart",
    "forgetting_chart",
    "layer_heatmap",
    "layer_profile_chart",
    "method_comparison",
    "overlap_heatmap",
    "paper",
    "predicted_heatmap",
    "relations_heatmap",
    "save",
    "scorecard_chart",
    "self_cross_chart",
    "transfer_heatmap",
]
