"""Selectors side by side: effect against collateral damage, at equal numbers of neurons.

``planned`` checks what is asked for, ``compare`` ranks, takes and ablates, ``compared`` is the
result with its intervals.
"""

from culture_lens.experiments.comparison.compare import compare_selectors
from culture_lens.experiments.comparison.result import Comparison

__all__ = ["Comparison", "compare_selectors"]
