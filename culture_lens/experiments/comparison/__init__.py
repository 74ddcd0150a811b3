"""Compare selectors at equal numbers of neurons: effect on own and on other cultures.

``plan`` checks the options, ``sources`` records and scores, ``compare`` ranks and ablates,
``result`` is the Comparison.
"""

from culture_lens.experiments.comparison.compare import compare_selectors
from culture_lens.experiments.comparison.result import Comparison

__all__ = ["Comparison", "compare_selectors"]
