"""Found against random sets: sets differ among themselves, and so would the next one drawn.

With R_s the effect of random set s of m, R their mean, and F the effect of the found set, F - R
varies with the questions and with the sets. If the found set were one more random set, F - R would
have the variance

    S = s_R^2 (1 + 1 / m),    s_R^2 = sum_s (R_s - R)^2 / (m - 1)

of one set and of the mean of m, which holds the part of the questions too, because each set was
asked the same ones. The found set may vary more with the questions, so the variance used is the
greater of S and the clustered one of the paired difference. Its degrees of freedom are m - 1:
a claim about random sets in general rests on as many sets as were drawn.

A rank needs no such assumption: among m random sets the found one has rank 1 by chance with
probability 1 / (m + 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from culture_lens.checks import check_arguments, real
from culture_lens.errors import InputError
from culture_lens.statistics.estimates import UNKNOWN, Spread

FEWEST_SETS = 2
"""Random sets below which it is unknown how much they differ."""


def with_sets(spread: Spread, sets: Sequence[float]) -> Spread:
    """Widen the spread of found minus mean random effect by the variance of random sets.

    Args:
        spread: The clustered spread of the paired difference, over questions.
        sets: The effect of every random set.

    Returns:
        The spread; unknown for a single set.

    Example:
        >>> print(with_sets(Spread(-0.2, 0.02, 99.0), [-0.01, 0.0, 0.01]).estimate(-0.2))
        -0.200 [-0.286, -0.114]
        >>> print(with_sets(Spread(-0.2, 0.02, 99.0), [0.0]).estimate(-0.2))
        -0.200 [no interval]
    """
    number = len(sets)
    if number < FEWEST_SETS or math.isnan(spread.error):
        return UNKNOWN
    of_sets = float(np.std(sets, ddof=1)) * math.sqrt(1 + 1 / number)
    freedom = min(spread.freedom, float(number - 1))
    return replace(spread, error=max(spread.error, of_sets), freedom=freedom)


def rank_among(found: float, sets: Sequence[float]) -> int:
    """Give the rank of the found effect among those of random sets, 1 for the greatest loss.

    Ties count against the found set.

    Example:
        >>> rank_among(-0.2, [0.0, -0.1, -0.3])
        2
    """
    return 1 + sum(effect <= found + 1e-12 for effect in sets)


@check_arguments(level=real)
def sets_needed(level: float) -> int:
    """Give the number of random sets with which a rank can reach a level: 1 / (m + 1) <= level.

    Args:
        level: The level of the claim; divide it by the number of claims that are made.

    Raises:
        InputError: The level is outside (0, 1).

    Example:
        >>> sets_needed(0.05), sets_needed(0.05 / 8)
        (19, 159)
    """
    if not 0 < level < 1:
        raise InputError(f"level={level} is outside (0, 1): 0.05 is five per cent.")
    return math.ceil(1 / level - 1e-9) - 1
