"""What an ablation matrix is evidence of: in a word, and in a sentence."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.report.sentences import lost
from culture_lens.statistics.estimates import Estimate

Standing: TypeAlias = Literal[
    "evidence",
    "uncompared",
    "as random",
    "not shown",
    "unable",
    "seen",
    "general evidence",
    "general uncompared",
    "general not shown",
]
"""What a matrix is evidence of, in a word."""
VERDICTS: dict[Standing, str] = {
    "seen": "No conclusion: the questions asked also found the neurons.",
    "unable": "No conclusion: the unmodified model does not clearly answer better than chance.",
    "not shown": "This run does not show that these neurons matter more for their own culture than "
    "for others; that is not proof that they do not.",
    "as random": "The effect does not differ clearly from that of random neurons in the same "
    "layers.",
    "evidence": "Evidence that these neurons matter more for their own culture’s questions than "
    "for others’, and more than random neurons in the same layers.",
}


def standing(
    matrix: AblationMatrix, own: Estimate, gap: Estimate, beyond: Estimate | None, able: bool
) -> Standing:
    """Say in one word what the metrics are evidence of."""
    if matrix.metadata.get("seen"):
        return "seen"
    if not able:
        return "unable"
    if not (lost(own) and lost(gap)):
        return "not shown"
    if beyond is None or math.isnan(beyond.low):
        return "uncompared"
    return "evidence" if lost(beyond) else "as random"


def verdict(known: Standing, beyond: Estimate | None) -> str:
    """Write what the metrics are evidence of."""
    if known == "uncompared":
        return (
            "Evidence that these neurons matter more for their own culture’s questions than for "
            f"others’; {uncompared(beyond)}, so any neurons may have this effect."
        )
    return VERDICTS[known]


def uncompared(beyond: Estimate | None) -> str:
    """Write why found neurons cannot be compared with random ones."""
    if beyond is None:
        return "random neurons were not ablated"
    return "too few random sets or questions to compare with"
