"""What is expected by chance."""

import math


def chi_square_p(counts):
    """Upper tail of chi-square with three degrees of freedom, for four counts."""
    assert len(counts) == 4
    mean = sum(counts) / 4
    x = sum((count - mean) ** 2 for count in counts) / mean
    return math.erfc(math.sqrt(x / 2)) + math.sqrt(2 * x / math.pi) * math.exp(-x / 2)
