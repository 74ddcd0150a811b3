"""Permutation tests by relabelling, and corrections for multiple tests.

Each question group is answered in several runs. The null hypothesis: the runs do not differ, so
any of a group's runs could be called the first. With x[g,r] the right answers of group g in run r
of R, the contrast of the first run with the others is

    T = sum_g t[g,0],    t[g,k] = R x[g,k] - sum_r x[g,r]

and under the null each group contributes any of its t[g,0..R-1] with the same probability. Whole
groups are relabelled, so that answers within a group may depend on each other. The t are integers,
so the distribution of their sum is exact, by convolution, for any number of groups (Pagano and
Tritchler 1983). For two runs this is the sign-flip test of the paired difference, and with one
item per group McNemar's exact test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import permutations, product
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float, Int

from culture_lens.errors import unknown
from culture_lens.statistics.estimates import Estimate
from culture_lens.storage.display import Shown

if TYPE_CHECKING:  # other names are refused at run time, with the nearest one
    import pandas as pd

    Alternative = Literal["two-sided", "less", "greater"]
    Correction = Literal["holm", "benjamini-hochberg"]

MOST_EXACT = 50_000
"""Up to so many relabellings are all tried; of more, ``DRAWN_RELABELLINGS`` are drawn."""
DRAWN_RELABELLINGS = 9_999
SAME_WITHIN = 1e-12
"""Differences of accuracies closer than this are rounding errors."""
ALTERNATIVES: tuple[Alternative, ...] = ("two-sided", "less", "greater")


@dataclass(frozen=True, slots=True)
class PermutationResult(Shown):
    """A statistic with its interval, and its p by permutation.

    Attributes:
        estimate: The statistic; its interval is over question groups.
        p: Share of permutations that are at least as extreme, the observed one included.
        permutations: Number of permutations.
        exact: Whether these are all permutations there are.

    Example:
        >>> print(PermutationResult(Estimate(-0.2, -0.3, -0.1), 0.0417, 24, True))
        -0.200 [-0.300, -0.100], p = 0.042 (all 24 permutations)
    """

    estimate: Estimate
    p: float
    permutations: int
    exact: bool

    def _headline(self) -> str:
        return str(self)

    def to_pandas(self) -> pd.DataFrame:
        """Give one row: the statistic with its interval, p, permutations, exact."""
        import pandas as pd

        told = {"p": self.p, "permutations": self.permutations, "exact": self.exact}
        return pd.DataFrame([{**asdict(self.estimate), **told}])

    def __str__(self) -> str:
        """Write statistic, interval, p and the number of permutations."""
        tried = "all" if self.exact else "drawn:"
        return f"{self.estimate}, p = {self.p:.2g} ({tried} {self.permutations} permutations)"


def contrasts(counts: Int[np.ndarray, "group run"]) -> Int[np.ndarray, "group run"]:
    """Give t[g,k], the contribution of a group to T when its run k is called the first.

    Example:
        >>> contrasts(np.array([[3, 1], [0, 0]])).tolist()
        [[2, -2], [0, 0]]
    """
    values: np.ndarray = counts.shape[1] * counts - counts.sum(1, keepdims=True)
    return values


def sum_distribution(
    values: Int[np.ndarray, "group choice"],
) -> tuple[Int[np.ndarray, " sum"], Float[np.ndarray, " sum"]]:
    """Give the exact distribution of a sum to which each group adds one of its values at random.

    Returns:
        The sums and their probabilities.

    Example:
        >>> sums, chances = sum_distribution(np.array([[1, -1], [1, -1]]))
        >>> sums.tolist(), chances.tolist()
        ([-2, -1, 0, 1, 2], [0.25, 0.0, 0.5, 0.0, 0.25])
    """
    lowest, chances = 0, np.ones(1)
    for group in values[values.any(1)]:
        least = int(group.min())
        chances = np.convolve(chances, np.bincount(group - least) / len(group))
        lowest += least
    return lowest + np.arange(len(chances)), chances


def relabelling_p(counts: Int[np.ndarray, "group run"]) -> float:
    """Test whether the first run differs from the others, two-sided and exactly.

    Args:
        counts: Right answers of each question group in each run.

    Returns:
        p, 1 where no group's runs differ, and NaN where there is no group.

    Example:
        >>> relabelling_p(np.array([[1, 0], [1, 0], [1, 0]]))  # all of 3 the same way: 2 / 2**3
        0.25
    """
    if not len(counts):
        return math.nan
    values = contrasts(counts)
    sums, chances = sum_distribution(values)
    return min(1.0, float(chances[np.abs(sums) >= abs(int(values[:, 0].sum()))].sum()))


def weighted_p(
    values: Float[np.ndarray, "group choice"],
    seed: int = 0,
    alternative: Alternative = "two-sided",
) -> tuple[float, int, bool]:
    """Test a sum of weighted contrasts by all relabellings or by drawn ones.

    Args:
        values: Each group's contribution to the sum under each labelling, the observed one first.
        seed: Seed of the draws.
        alternative: What counts as extreme.

    Returns:
        p, the number of relabellings, and whether these are all.

    Example:
        >>> weighted_p(np.array([[0.5, -0.5], [0.1, -0.1]]))
        (0.5, 4, True)
    """
    if not len(values):
        return math.nan, 0, False
    observed = float(values[:, 0].sum())
    moving = values[(np.abs(values) > SAME_WITHIN).any(1)]
    groups, choices = moving.shape
    if groups * math.log(choices) <= math.log(MOST_EXACT):
        picks, exact = np.array(list(product(range(choices), repeat=groups)), dtype=int), True
    else:
        source, exact = np.random.default_rng(seed), False
        picks = source.integers(choices, size=(DRAWN_RELABELLINGS, groups))
    null = np.zeros(len(picks))
    for group, own in enumerate(moving):
        null += own[picks[:, group]]
    return permutation_p(observed, null, exact, alternative), len(null), exact


def relabellings(n: int, seed: int = 0) -> tuple[Int[np.ndarray, "permutation n"], bool]:
    """Give all orders of n labels, or drawn ones where there are too many; and whether all.

    Example:
        >>> relabellings(3)[0].shape, relabellings(3)[1]
        ((6, 3), True)
    """
    if math.factorial(n) <= MOST_EXACT:
        return np.array(list(permutations(range(n)))), True
    source = np.random.default_rng(seed)
    return source.permuted(np.tile(np.arange(n), (DRAWN_RELABELLINGS, 1)), axis=1), False


def permutation_p(
    observed: float,
    null: Float[np.ndarray, " permutation"],
    exact: bool,
    alternative: Alternative = "two-sided",
) -> float:
    """Give the share of permutations at least as extreme as what was observed.

    All permutations include the observed one. Drawn ones need not, so it is added: p = (1 + count)
    / (1 + draws) is never 0 and never too small on average.

    Raises:
        InputError: An unknown alternative.

    Example:
        >>> permutation_p(2.0, np.array([0.0, 1.0, -2.0]), exact=False)
        0.5
    """
    if alternative not in ALTERNATIVES:
        raise unknown("alternative", alternative, ALTERNATIVES)
    if math.isnan(observed):
        return math.nan
    if alternative == "two-sided":
        beyond = np.abs(null) >= abs(observed) - SAME_WITHIN
    elif alternative == "less":
        beyond = null <= observed + SAME_WITHIN
    else:
        beyond = null >= observed - SAME_WITHIN
    return float(beyond.mean()) if exact else float((1 + beyond.sum()) / (1 + len(null)))


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Correct p-values to control the family-wise error rate (Holm 1979).

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    steps = np.arange(len(p), 0, -1) * p[order]
    result: np.ndarray = np.empty(len(p))
    result[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return result


def benjamini_hochberg(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Correct p-values to control the false discovery rate (Benjamini and Hochberg 1995).

    Example:
        >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03])).round(9).tolist()
        [0.03, 0.04, 0.04]
    """
    from scipy.stats import false_discovery_control

    result: np.ndarray = np.asarray(false_discovery_control(p), dtype=float)
    return result


CORRECTIONS: Mapping[Correction, Callable[[np.ndarray], np.ndarray]] = {
    "holm": holm,
    "benjamini-hochberg": benjamini_hochberg,
}


def corrected(p: Float[np.ndarray, " test"], correction: Correction) -> Float[np.ndarray, " test"]:
    """Correct p-values for multiple tests; NaN are no tests and stay NaN.

    Raises:
        InputError: An unknown correction.

    Example:
        >>> corrected(np.array([0.02, np.nan, 0.5]), "holm").tolist()
        [0.04, nan, 0.5]
    """
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    result, tests = np.full(len(p), np.nan), ~np.isnan(p)
    if tests.any():
        result[tests] = CORRECTIONS[correction](p[tests])
    return result
