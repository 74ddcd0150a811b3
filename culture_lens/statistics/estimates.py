"""Estimate(value, low, high), and the intervals of means of items that come in question groups.

Items of one question group (the same question asked of several cultures) are not independent. The
interval of a mean allows for that, for few groups, and for answers that hardly vary:

1. The influence of group g of G on the mean m of N items, with X_g and N_g the sum and number of
   the group's items, is psi_g = (X_g - N_g m) / N. The clustered standard error has
   SE^2 = G / (G - 1) sum_g psi_g^2 (Liang and Zeger 1986).
2. Its degrees of freedom are those of the effective number of groups, (sum_g N_g)^2 / sum_g N_g^2,
   minus 1 (Kish 1965).
3. The design effect (see ``design_effect``) is how many times the variance is that of independent
   items. Where all items of a group are alike it is about sum_g N_g^2 / N. Few groups that vary say
   little of it, so it is averaged with this, which counts as one group, where that makes it
   greater.
4. N over the design effect is the effective number of items. To these some are added at each bound:
   to answers two right and two wrong ones (Agresti and Coull 1998; Dean and Pagano 2015 with the
   design effect), to changes one lost and one gained (Bonett and Price 2012). The mean and the
   standard error of all, with Student's t, are the interval.

Where nothing varies at all, such as when all answers are right, the interval is therefore not of
width 0. Below four groups it is unknown. docs/methods/intervals.md has the coverage measured.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from jaxtyping import Float

from culture_lens.checks import check_arguments, finite, refused
from culture_lens.errors import InputError, warn
from culture_lens.statistics.design_effect import design_effect
from culture_lens.storage.display import Shown, interval_text

CONFIDENCE_LEVEL = 0.95
FEWEST_GROUPS = 4
"""Question groups below which no interval is given."""
Bounds = tuple[float, float]
SHARES: Bounds = (0.0, 1.0)
"""The bounds of answers that are right or wrong."""
CHANGES: Bounds = (-1.0, 1.0)
"""The bounds of changes of such answers."""
ADDED_ITEMS = {SHARES: 2, CHANGES: 1}
"""Items that are added at each bound; for answers about z^2 / 2 at a confidence of 95%."""
SAME_WITHIN = 1e-14
"""A variance below this share of the squared mean is a rounding error."""
UNBOUNDED: Bounds = (-math.inf, math.inf)
"""The bounds of values that are measured, not counted, such as probabilities."""


@dataclass(frozen=True, slots=True)
class Estimate(Shown):
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
        return interval_text(self.value, self.low, self.high)

    @check_arguments(value=finite)
    def excludes(self, value: float) -> bool:
        """Say whether the interval excludes a value; an unknown interval excludes none.

        Example:
            >>> Estimate(0.5, 0.4, 0.6).excludes(0.25)
            True
        """
        return value < self.low or value > self.high


@dataclass(frozen=True, slots=True)
class Spread(Shown):
    """What an interval is made of; NaN where it is unknown.

    Attributes:
        centre: The middle of the interval.
        error: The standard error.
        freedom: Degrees of freedom of the error.
        bounds: Where the interval ends at the latest.

    Example:
        >>> print(Spread(0.5, 0.1, 9.0).estimate(0.5))
        0.500 [0.274, 0.726]
    """

    centre: float
    error: float
    freedom: float
    bounds: Bounds = UNBOUNDED

    def estimate(self, value: float) -> Estimate:
        """Give a value the interval of this spread."""
        if math.isnan(value + self.error):
            return Estimate(float(value), math.nan, math.nan)
        reach = quantile(self.freedom) * self.error
        low, high = self.centre - reach, self.centre + reach
        return Estimate(float(value), max(low, self.bounds[0]), min(high, self.bounds[1]))

    def p_of_zero(self) -> float:
        """Give the two-sided p of a true value of 0, by Student's t as the interval."""
        from scipy.special import stdtr

        return 2 * float(stdtr(self.freedom, -abs(self.centre) / self.error))


UNKNOWN = Spread(math.nan, math.nan, math.nan)
"""The spread of a value that has no interval."""


def quantile(freedom: float) -> float:
    """Give Student's t beyond which half of what the confidence level leaves lies.

    Example:
        >>> round(quantile(4.0), 3)
        2.776
    """
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE_LEVEL) / 2))


def clustered_spread(
    value: float,
    influences: Float[np.ndarray, " group"],
    sizes: Float[np.ndarray, " group"],
    variance: float,
    bounds: Bounds = UNBOUNDED,
    alike: float | None = None,
) -> Spread:
    """Give the spread of a mean, or of a mean of means, from the influence of every group.

    Args:
        value: The mean.
        influences: How much each group adds to it, psi_g; their sum is 0.
        sizes: The number of items of each group; groups without items do not count.
        variance: The variance of the items about their mean (with N, not N - 1, below).
        bounds: The least and greatest value of an item: ``SHARES``, ``CHANGES`` or ``UNBOUNDED``.
            Means of bounded items have an interval without variance too.
        alike: The design effect with which that of few groups is averaged; by default that of
            groups whose items are all alike. A mean over cultures gives that of single cultures.

    Example:
        >>> ones = np.ones(10)
        >>> print(clustered_spread(1.0, 0 * ones, ones, 0.0, SHARES).estimate(1.0))
        1.000 [0.646, 1.000]
    """
    groups, n = int((sizes > 0).sum()), float(sizes.sum())
    if groups < FEWEST_GROUPS or math.isnan(value):
        return UNKNOWN
    most = float((sizes**2).sum()) / n
    freedom = max(n / most - 1, 1.0)
    few = groups / (groups - 1)
    square = few * float((influences**2).sum())
    variance = max(variance, square * n / (few * most))  # never fewer items than groups
    varies = variance > SAME_WITHIN * value**2
    design = design_effect(influences, sizes, variance) if varies else most
    if bounds == UNBOUNDED:
        error = math.sqrt(design * few * variance / n)
        return Spread(value, error, freedom) if varies else UNKNOWN
    low, high = bounds
    varying = groups * variance / ((high - low) / 2) ** 2
    prior = alike if varies and alike is not None else most
    design = max(design, (varying * design + prior) / (varying + 1))
    own, added = n / design, ADDED_ITEMS[bounds]
    total = own + 2 * added
    centre = (own * value + added * (low + high)) / total
    squares = own * (variance + value**2) + added * (low**2 + high**2)
    error = math.sqrt(max(squares / total - centre**2, 0.0) / total)
    return Spread(centre, error, freedom, bounds)


def bounds_of(values: Float[np.ndarray, " item"]) -> Bounds:
    """Take values that are all 0 or 1 for answers, -1, 0 or 1 for their changes.

    Example:
        >>> bounds_of(np.array([0.0, 1.0])), bounds_of(np.array([0.5])) == UNBOUNDED
        ((0.0, 1.0), True)
    """
    if np.isin(values, (0, 1)).all():
        return SHARES
    return CHANGES if np.isin(values, (-1, 0, 1)).all() else UNBOUNDED


def mean_spread(
    values: Sequence[float | int],
    groups: Sequence[Hashable],
    *,
    bounds: Bounds | None = None,
    name: str = "",
) -> tuple[float, Spread]:
    """Give a mean and its spread clustered by group; see ``mean_estimate``.

    Raises:
        InputError: No values, or not as many groups.

    Example:
        >>> mean_spread([1, 1, 0, 1], list("abcd"))[0]
        0.75
    """
    if not len(values) or len(values) != len(groups):
        raise InputError(
            f"a mean needs values and a group for each: got {len(values)} values, "
            f"{len(groups)} groups."
        )
    names = {name: position for position, name in enumerate(sorted(set(groups), key=str))}
    index, numbers = np.array([names[group] for group in groups]), np.asarray(values, dtype=float)
    sums = np.bincount(index, weights=numbers, minlength=len(names))
    sizes = np.bincount(index, minlength=len(names)).astype(float)
    mean = float(sums.sum() / sizes.sum())
    if len(names) < FEWEST_GROUPS:
        warn(f"{name}: {few_groups(len(names))}." if name else f"{few_groups(len(names))}.")
    influences = (sums - sizes * mean) / sizes.sum()
    held = bounds or bounds_of(numbers)
    return mean, clustered_spread(mean, influences, sizes, float(numbers.var()), held)


def mean_estimate(
    values: Sequence[float | int],
    groups: Sequence[Hashable],
    *,
    bounds: Bounds | None = None,
    name: str = "",
) -> Estimate:
    """Estimate a mean with an interval clustered by group, for the steps see ``estimates``.

    Args:
        values: One per item.
        groups: The group of each item.
        bounds: The least and greatest value that an item can have: ``SHARES`` of answers,
            ``CHANGES``, or ``UNBOUNDED`` for what is measured. By default the first where every
            value is 0 or 1, the second where every one is -1, 0 or 1, and else the third; changes
            should say so, because all of them may be 0.
        name: Whose mean it is, for the warning.

    Returns:
        The mean; its interval is unknown (NaN), with a warning, below four groups, and where
        values without bounds are all the same.

    Raises:
        InputError: No values, or not as many groups.

    Example:
        >>> print(mean_estimate([1, 1, 0, 1, 0, 1, 1, 1], list("aabbccdd")))
        0.750 [0.184, 1.000]
    """
    mean, spread = mean_spread(values, groups, bounds=bounds, name=name)
    return spread.estimate(mean)


def few_groups(groups: int) -> str:
    """Write why a mean has no interval.

    Example:
        >>> few_groups(3)
        'no interval from 3 question groups: it takes at least 4'
    """
    noun = "group" if groups == 1 else "groups"
    return f"no interval from {groups} question {noun}: it takes at least {FEWEST_GROUPS}"


def t_estimate(values: Sequence[float]) -> Estimate:
    """Estimate a mean over few independent repetitions, such as seeds, by Student's t.

    NaN are left out; one value has no interval.

    Raises:
        InputError: No values.

    Example:
        >>> print(t_estimate([0.4, 0.5, 0.6]))
        0.500 [0.252, 0.748]
    """
    held = np.asarray(values, dtype=float)
    held = held[~np.isnan(held)]
    if not len(values):
        raise InputError("there is nothing to estimate from: no values were given.")
    if len(held) < 2:
        return Estimate(float(held[0]) if len(held) else math.nan, math.nan, math.nan)
    mean, error = float(held.mean()), float(held.std(ddof=1) / math.sqrt(len(held)))
    return Spread(mean, error, float(len(held) - 1)).estimate(mean)
