"""Estimate(value, low, high) and the clustered bootstrap behind every interval.

Items of one question group (the same question asked of several cultures) are not independent, so
groups are drawn, not items: with weights w_g, the number of times group g was drawn, the mean of
x is sum_g w_g X_g / sum_g w_g N_g, X_g and N_g the sum and number of the group's items. The
interval is the percentile interval over the draws. All cells of a table share the same draws, so
differences of cells are paired.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from jaxtyping import Float, Int

from culture_lens.checks import check_arguments, finite, refused
from culture_lens.errors import InputError

BOOTSTRAP_DRAWS = 2000
CONFIDENCE_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval.

    Example:
        >>> print(Estimate(0.5, 0.4, 0.6))
        0.500 [0.400, 0.600]
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Check that these are numbers; NaN are unknown."""
        for name in ("value", "low", "high"):
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), Real):
                raise refused(name, getattr(self, name), "a number, or NaN where it is unknown")

    def __str__(self) -> str:
        """Write value and interval with three decimals."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @check_arguments(value=finite)
    def excludes(self, value: float) -> bool:
        """Say whether the interval excludes a value; an unknown interval excludes none.

        Example:
            >>> Estimate(0.5, 0.4, 0.6).excludes(0.25)
            True
        """
        return value < self.low or value > self.high


def interval(
    value: float, draws: Float[np.ndarray, " draw"], level: float = CONFIDENCE_LEVEL
) -> Estimate:
    """Make an Estimate of a value and its bootstrap draws, by percentiles.

    Draws that are NaN (a culture without an item in a draw) are left out.

    Example:
        >>> interval(1.0, np.array([0.0, 1.0, 2.0]), level=0.5)
        Estimate(value=1.0, low=0.5, high=1.5)
    """
    held = draws[~np.isnan(draws)]
    if math.isnan(value) or not len(held):
        return Estimate(value, math.nan, math.nan)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(held, [tail, 100 - tail])
    return Estimate(float(value), float(low), float(high))


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


def mean_estimate(
    values: Sequence[float | int],
    groups: Sequence[Hashable],
    *,
    draws: int = BOOTSTRAP_DRAWS,
    seed: int = 0,
) -> Estimate:
    """Estimate a mean with an interval clustered by group, which a single group leaves unknown.

    Args:
        values: One per item.
        groups: The group of each item.
        draws: Bootstrap draws.
        seed: Seed of the draws.

    Raises:
        InputError: No values, or not as many groups.

    Example:
        >>> mean_estimate([1, 1, 1], ["a", "b", "c"])
        Estimate(value=1.0, low=1.0, high=1.0)
    """
    if not len(values) or len(values) != len(groups):
        raise InputError(
            f"a mean needs values and a group for each: got {len(values)} values, "
            f"{len(groups)} groups."
        )
    names = {name: position for position, name in enumerate(sorted(set(groups), key=str))}
    index = np.array([names[group] for group in groups])
    sums = np.bincount(index, weights=np.asarray(values, dtype=float), minlength=len(names))
    sizes = np.bincount(index, minlength=len(names))
    mean = float(sums.sum() / sizes.sum())
    if len(names) == 1:  # every bootstrap draw would be this group again
        return Estimate(mean, math.nan, math.nan)
    weights = group_weights(len(names), draws, seed)
    return interval(mean, (weights @ sums) / (weights @ sizes))


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


def t_estimate(values: Sequence[float]) -> Estimate:
    """Estimate a mean over few independent repetitions, such as seeds, by Student's t.

    A bootstrap interval of five values is too narrow. NaN are left out; one value has no interval.

    Raises:
        InputError: No values.

    Example:
        >>> print(t_estimate([0.4, 0.5, 0.6]))
        0.500 [0.252, 0.748]
    """
    from scipy import stats

    held = np.asarray(values, dtype=float)
    held = held[~np.isnan(held)]
    if not len(values):
        raise InputError("there is nothing to estimate from: no values were given.")
    if len(held) < 2:
        return Estimate(float(held[0]) if len(held) else math.nan, math.nan, math.nan)
    mean, error = float(held.mean()), float(held.std(ddof=1) / math.sqrt(len(held)))
    reach = float(stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, len(held) - 1)) * error
    return Estimate(mean, mean - reach, mean + reach)
