"""Result objects in, plotly figures out: no side effects, nothing shown, nothing written.

Values in the figures are those of the result objects (shares between 0 and 1); labels write them
as per cent or percentage points. Every figure stands on its own: its subtitle names the model,
benchmark, selector, number of items, and how intervals were made.
"""

from __future__ import annotations

from culture_lens.plots.charts import method_comparison, self_cross_chart
from culture_lens.plots.comparison import comparison_chart, layer_profile_chart
from culture_lens.plots.fidelity import fidelity_chart, predicted_heatmap
from culture_lens.plots.forgetting import forgetting_chart
from culture_lens.plots.heatmaps import ablation_heatmap, layer_heatmap, overlap_heatmap
from culture_lens.plots.relations import relations_heatmap
from culture_lens.plots.scorecard import scorecard_chart
from culture_lens.plots.transfer import transfer_heatmap

__all__ = [
    "ablation_heatmap",
    "comparison_chart",
    "fidelity_chart",
    "forgetting_chart",
    "layer_heatmap",
    "layer_profile_chart",
    "method_comparison",
    "overlap_heatmap",
    "predicted_heatmap",
    "relations_heatmap",
    "scorecard_chart",
    "self_cross_chart",
    "transfer_heatmap",
]
