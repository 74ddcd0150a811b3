"""The smallest effect that the questions at hand can show.

With d the mean change of accuracy over a culture's items, D_g and N_g the sum of changes and the
number of items in question group g of G, the clustered standard error is

    SE^2 = G / (G - 1) * sum_g (D_g - N_g d)^2 / (sum_g N_g)^2

and the smallest true change that a two-sided test at level alpha finds with the given power (Bloom
1995) is, with t the quantiles of Student's distribution with G - 1 degrees of freedom,

    MDE = (t[1 - alpha / 2] + t[power]) SE

At 80% power and level 0.05 the factor is 2.80 with many groups, 2.87 with 40, and 3.15 with 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from culture_lens.checks import check_arguments, instance, optional, real, text
from culture_lens.errors import InputError, warn
from culture_lens.experiments.cell_tests import ALPHA
from culture_lens.experiments.conditions import FOUND
from culture_lens.experiments.matrix import MEAN, AblationMatrix
from culture_lens.experiments.paired_answers import UNMASKED, PairedAnswers, cells_of

if TYPE_CHECKING:
    import pandas as pd

POWER = 0.8
"""The chance of finding an effect that studies are planned for."""


@check_arguments(mask=optional(text), power=real, alpha=real)
def minimum_detectable_effect(
    answers: AblationMatrix | pd.DataFrame,
    *,
    mask: str | None = None,
    power: float = POWER,
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """Give the smallest true change of accuracy that would be found, per culture and on average.

    For a matrix, the standard error is that of the paired change in the culture's own cell. For
    the records of one evaluation (``evaluate(...).frame``), before any neuron is ablated, it is the
    square root of 2 times that of the accuracy, as if the answers under a mask were independent
    draws with the same accuracy. Pairing makes the real error smaller, so the estimate is safe to
    plan with.

    The formula uses the spread of the changes in the data: a mask with a larger spread needs a
    larger effect. The exact test of ``cell_tests`` is discrete and finds effects slightly less
    often. The result is for one test; for a correction over many, give a smaller ``alpha``.

    Args:
        answers: A matrix, or a frame with the columns culture, group and correct.
        mask: One mask on every culture's questions; by default every culture's own.
        power: Chance that the effect is found.
        alpha: Level of the two-sided test.

    Returns:
        Per culture: ``items``, ``groups``, ``standard_error``, ``effect`` (the MDE, a share: 0.1
        is ten points; an effect above the unmodified accuracy cannot occur). The last row,
        ``"mean"``, is for the mean over cultures. NaN, with a warning, where a culture has one
        question group or no variance.

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
        warn(
            "no smallest effect can be given for "
            f"{', '.join(unsure)}: there is one question group, or groups do not differ, so the "
            "spread of an effect cannot be estimated."
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
    """Give t[1 - alpha / 2] + t[power] with groups - 1 degrees of freedom.

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
    """Give the clustered standard error of each culture's mean, and of the mean over cultures.

    NaN where there is one group.

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
    """Give sums of changes and numbers of items, groups x cultures, and the cultures."""
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
    """Give sums of right answers and numbers of items, groups x cultures, and the cultures."""
    import pandas as pd

    instance(pd.DataFrame, remedy="a matrix, or evaluate(...).frame")("answers", frame)
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
    """Give the sums of a column and the numbers of records, groups x cultures."""
    parts = frame.groupby(["group", "culture"])[column]
    sums = parts.sum().unstack(fill_value=0)
    sizes = parts.size().unstack(fill_value=0)
    return sums.to_numpy(dtype=float), sizes.to_numpy(dtype=int), [str(c) for c in sums.columns]
