"""Names that results of ablation go by: the conditions, the metrics and the tables of a matrix."""

from __future__ import annotations

from typing import Final, Literal, get_args

Condition = Literal["unmodified", "found", "random"]
UNMODIFIED: Final = "unmodified"
"""No neuron is ablated."""
FOUND: Final = "found"
"""The neurons that were found are ablated."""
RANDOM: Final = "random"
"""As many random neurons are ablated."""

TransferCondition = Literal["found", "random", "beyond"]
BEYOND: Final = "beyond"
"""Found minus random neurons."""

Metric = Literal["base", "self", "cross", "cross_masks", "gap", "gap_masks", "flips"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""What is read off an ablation matrix for each culture; see ``matrix``."""

DoseMetric = Literal["self", "p_change", "flips", "cross", "gap"]
DOSE_METRICS: tuple[DoseMetric, ...] = get_args(DoseMetric)
"""What is read off a dose curve for each culture; see ``dose``."""

MatrixTable = Literal["accuracy", "change", "flips", "p_gold", "p_change"]
RandomMatch = Literal["layer", "pool", "activity"]
