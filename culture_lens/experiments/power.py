"""How small an effect the questions at hand could show.

With d the mean change of accuracy over a culture's items, D_g and N_g the sum of changes and the
number of items in question group g of G, the standard error that keeps groups whole is

    SE^2 = G / (G - 1) * sum_g (D_g - N_g d)^2 / (sum_g N_g)^2

and the smallest true change found with the given power by a two-sided test at level alpha (Bloom
1995), t the quantiles of Student's distribution with G - 1 degrees of freedom,

    MDE = (t[1 - alpha / 2] + t[power]) SE

At 80% power and level 0.05 the factor is 2.80 with many groups, 2.87 with 40, and 3.15 with 10.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.matrix import FOUND, AblationMatrix
from culture_lens.experiments.paired_answers import UNMASKED, PairedAnswers, cells_of

if TYPE_CHECKING:
    import pandas as pd

MEAN = "mean"


def minimum_detectable_effect(
    answers: AblationMatrix | pd.DataFrame,
    *,
    mask: str | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Give the smallest true change of accuracy that would be found, per culture and on average.

    Of a matrix, the standard error is that of the paired change in the culture's own cell. Of the
    records of one evaluation (``evaluate(...).frame``), before any mask was run, it is the square
    root of 2 times that of the accuracy: as if the masked answers were drawn anew with the same
    accuracy. Pairing makes the real error smaller, so this is a careful figure to plan with.

    The formula takes the spread of the changes as it is. A mask that spreads them more needs a
    larger effect; the exact test of ``cell_tests`` is discrete and finds it a little less often.
    It is of one test; with a correction for many, give the smaller ``alpha``.

    Args:
        answers: A matrix, or a frame with the columns culture, group and correct.
        mask: One mask on every culture's questions; by default every culture's own.
        power: Chance that the effect is found.
        alpha: Level of the two-sided test.

    Returns:
        Per culture: ``items``, ``groups``, ``standard_error``, ``effect`` (the MDE, a share: 0.1
        is ten points; more than the accuracy that there is to lose cannot be found at all). The
        last row, ``"mean"``, is for the mean over cultures. NaN, with a warning, where one group
        or no variance leaves nothing to estimate a spread from.

    Raises:
        InputError: Power or alpha outside (0, 1), missing columns, or no items.

    Example:
        ``minimum_detectable_effect(evaluate(model, questions).frame)``
    """
    import pandas as pd

    if isinstance(answers, AblationMatrix):
        sums, sizes, cultures, factor = *paired_changes(answers, mask), 1.0
    else:
        sums, sizes, cultures, factor = *plain_answers(answers), float(np.sqrt(2))
    groups = np.append((sizes > 0).sum(0), len(sizes))
    reach = multiplier(groups, power, alpha)
    errors = factor * clustered_errors(sums, sizes)
    names = [*cultures, MEAN]
    unsure = [name for name, error in zip(names, errors, strict=True) if not error > 0]
    if unsure:
        warnings.warn(
            "no smallest effect can be given for "
            f"{', '.join(unsure)}: one question group, or groups that do not differ, say "
            "nothing of how much an effect would vary.",
            CultureLensWarning,
            stacklevel=2,
        )
        errors[~(errors > 0)] = np.nan
    return pd.DataFrame(
        {
            "items": [*sizes.sum(0).tolist(), int(sizes.sum())],
            "groups": groups,
            "standard_error": errors,
            "effect": reach * errors,
        },
        index=names,
    )


def multiplier(
    groups: Int[np.ndarray, " column"], power: float, alpha: float
) -> Float[np.ndarray, " column"]:
    """Give t[1 - alpha / 2] + t[power] with one degree of freedom less than groups.

    Raises:
        InputError: Power or alpha is outside (0, 1).

    Example:
        >>> multiplier(np.array([10, 40, 10_000]), 0.8, 0.05).round(2).tolist()
        [3.15, 2.87, 2.8]
    """
    from scipy.stats import t

    for name, value in (("power", power), ("alpha", alpha)):
        if not 0 < value < 1:
            raise InputError(f"{name}={value} is outside (0, 1): 0.8 stands for 80%.")
    freedom = np.maximum(groups - 1, 1)
    factors: np.ndarray = t.ppf(1 - alpha / 2, freedom) + t.ppf(power, freedom)
    return factors


def clustered_errors(
    sums: Float[np.ndarray, "group culture"], sizes: Int[np.ndarray, "group culture"]
) -> Float[np.ndarray, " culture_and_mean"]:
    """Give the clustered standard error of each culture's mean, and of the mean of these.

    NaN where there is one group only.

    Example:
        >>> clustered_errors(np.array([[0.0], [1.0]]), np.array([[1], [1]])).tolist()
        [0.5, 0.5]
    """
    totals = sizes.sum(0)
    influence = (sums - sizes * (sums.sum(0) / totals)) / totals
    influence = np.concatenate([influence, influence.mean(1, keepdims=True)], 1)
    groups = np.append((sizes > 0).sum(0), len(sizes)).astype(float)
    groups[groups < 2] = np.nan
    result: np.ndarray = np.sqrt(groups / (groups - 1) * (influence**2).sum(0))
    return result


def paired_changes(
    matrix: AblationMatrix, mask: str | None
) -> tuple[Float[np.ndarray, "group culture"], Int[np.ndarray, "group culture"], list[str]]:
    """Sum the changes of each group and culture; also the numbers of items, and the cultures."""
    cells, answers = cells_of(matrix, mask), PairedAnswers.of(matrix)
    change = answers.items.assign(change=0.0)
    for ablated, culture in cells:
        after, before = answers.of_items(culture, [(FOUND, ablated, 0), UNMASKED]).T
        change.loc[change["culture"] == culture, "change"] = (after - before).astype(float)
    change = change[change["culture"].isin([culture for _, culture in cells])]
    return by_group(change, "change")


def plain_answers(
    frame: pd.DataFrame,
) -> tuple[Float[np.ndarray, "group culture"], Int[np.ndarray, "group culture"], list[str]]:
    """Sum the right answers of each group and culture."""
    lacking = [name for name in ("culture", "group", "correct") if name not in frame]
    if lacking or not len(frame):
        problem = f"lacks {', '.join(lacking)}" if lacking else "is empty"
        raise InputError(f"the frame {problem}: give a matrix, or evaluate(...).frame.")
    if "condition" in frame:
        raise InputError("these are the records of a matrix: give the matrix itself.")
    return by_group(frame, "correct")


def by_group(
    frame: pd.DataFrame, column: str
) -> tuple[Float[np.ndarray, "group culture"], Int[np.ndarray, "group culture"], list[str]]:
    """Lay a column out as sums and sizes, groups x cultures."""
    parts = frame.groupby(["group", "culture"])[column]
    sums = parts.sum().unstack(fill_value=0)
    sizes = parts.size().unstack(fill_value=0)
    return sums.to_numpy(dtype=float), sizes.to_numpy(dtype=int), [str(c) for c in sums.columns]
