"""Would an ablation matrix survive a referee? Tests of its cells, its diagonal, and their power.

``cells`` tests cells, the diagonal, and found against random neurons; ``power`` says what could
have been found at all; ``paired`` brings answers into pairs, ``permutation`` has the exact tests
and the corrections for many of them; ``in_words`` says it all for the page.
"""

from culture_lens.significance.cells import against_random, cell_tests, diagonal_test
from culture_lens.significance.permutation import PermutationResult
from culture_lens.significance.power import minimum_detectable_effect

__all__ = [
    "PermutationResult",
    "against_random",
    "cell_tests",
    "diagonal_test",
    "minimum_detectable_effect",
]
