"""The sign-flip test: is the mean of independent values below 0?

Under the null hypothesis the distribution of each value is symmetric about 0, so that its sign is
exchangeable: -x is as likely as x. All 2^n sign patterns are tried where these are few, else 9,999
are drawn; the observed one counts in either case, so that p is never 0.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

DRAWN = 9_999
"""Sign patterns that are drawn."""
MOST_EXACT = 13
"""Up to so many values all sign patterns are tried."""


def sign_flip_p(
    values: Float[np.ndarray, "test value"], seed: int = 0
) -> Float[np.ndarray, " test"]:
    """Give the one-sided p of each row: how often flipped signs give a sum as low.

    Args:
        values: One row per test, the same independent units in every row.
        seed: Draws the sign patterns, the same for all rows.

    Example:
        >>> sign_flip_p(np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])).tolist()
        [0.125, 1.0]
    """
    number = values.shape[1]
    if number <= MOST_EXACT:
        patterns = 2 * ((np.arange(2**number)[:, None] >> np.arange(number)) & 1) - 1
        extra = 0
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, (DRAWN, number))
        patterns, extra = 2 * drawn - 1, 1
    found, tolerance = values.sum(1), 1e-12 * np.abs(values).sum(1)
    sums = values @ patterns.T.astype(float)
    low = (sums <= (found + tolerance)[:, None]).sum(1)
    p: np.ndarray = (low + extra) / (len(patterns) + extra)
    return p
