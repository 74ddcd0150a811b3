"""Bootstrap over question groups, for what is not a mean: correlations, slopes, relations.

Groups are drawn with replacement, whole, because items of one group are not independent: w_g is the
number of times group g was drawn. The standard deviation of the draws, corrected for G groups, is
the standard error, and Student's t with G - 1 degrees of freedom gives the interval:

    value -+ t sqrt(G / (G - 1)) sd(draws)

Percentiles of the draws are not used: with few groups they lie too near, and resampling pulls
correlations towards 0. Means have intervals without draws, see ``estimates``.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Int

from culture_lens.errors import InputError
from culture_lens.statistics.estimates import FEWEST_GROUPS, Estimate, quantile

BOOTSTRAP_DRAWS = 2000
CORRELATION_BOUNDS = (-1.0, 1.0)
"""The bounds of a correlation."""
SAME_WITHIN = 1e-12
"""Draws closer than this differ by rounding errors."""


def interval(
    value: float,
    draws: Float[np.ndarray, " draw"],
    groups: int,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Make an Estimate of a value and its bootstrap draws, by their standard deviation.

    Draws that are NaN (a culture without an item in a draw) are left out. The interval is unknown
    below four groups, and where no draw differs from another.

    Args:
        value: The value of all groups.
        draws: The value of each draw.
        groups: How many groups were drawn.
        bounds: Where the interval ends at the latest.

    Example:
        >>> print(interval(0.5, np.array([0.4, 0.5, 0.6]), groups=10))
        0.500 [0.305, 0.695]
    """
    held = draws[~np.isnan(draws)]
    if math.isnan(value) or groups < FEWEST_GROUPS or len(held) < 2 or np.ptp(held) < SAME_WITHIN:
        return Estimate(float(value), math.nan, math.nan)
    error = float(held.std()) * math.sqrt(groups / (groups - 1))
    reach = quantile(float(groups - 1)) * error
    return Estimate(float(value), max(value - reach, bounds[0]), min(value + reach, bounds[1]))


def group_weights(
    n_groups: int, draws: int = BOOTSTRAP_DRAWS, seed: int = 0
) -> Int[np.ndarray, "draw group"]:
    """Draw groups with replacement, and count how often each was drawn.

    Raises:
        InputError: There are no groups.

    Example:
        >>> group_weights(3, draws=2).sum(1).tolist()
        [3, 3]
    """
    if n_groups < 1:
        raise InputError("there is nothing to estimate from: no items were given.")
    source = np.random.default_rng(seed)
    return source.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)


def value_and_draws(n_groups: int) -> Float[np.ndarray, "draw group"]:
    """Give weights of groups: a row of ones, for the value itself, then one row per draw.

    Example:
        >>> value_and_draws(3).shape, value_and_draws(3)[0].tolist()
        ((2001, 3), [1.0, 1.0, 1.0])
    """
    return np.concatenate([np.ones((1, n_groups)), group_weights(n_groups)])


def ranks(values: Float[np.ndarray, "draw unit"]) -> Float[np.ndarray, "draw unit"]:
    """Rank each row; ties share their mean rank.

    Example:
        >>> ranks(np.array([[3.0, 1.0, 3.0]])).tolist()
        [[2.5, 1.0, 2.5]]
    """
    import pandas as pd

    ranked: np.ndarray = pd.DataFrame(values).rank(axis=1).to_numpy()
    return ranked


def correlation(
    x: Float[np.ndarray, "draw unit"], y: Float[np.ndarray, "draw unit"]
) -> Float[np.ndarray, " draw"]:
    """Correlate two tables row by row; NaN where one of the rows is constant.

    Example:
        >>> correlation(np.array([[1.0, 2.0, 3.0]]), np.array([[2.0, 4.0, 6.0]])).round(9).tolist()
        [1.0]
    """
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        values: np.ndarray = (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return values
