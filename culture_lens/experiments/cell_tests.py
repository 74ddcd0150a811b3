"""Tests of an ablation matrix: of every cell, of the diagonal, and of found against random neurons.

All keep question groups whole: intervals come from the matrix's clustered bootstrap, p from
relabelling whole groups (see ``permutation``) or whole masks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from culture_lens.checks import SEED, check_arguments, optional, real, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.matrix import MATRIX, MEAN, AblationMatrix
from culture_lens.experiments.means import with_mean
from culture_lens.experiments.paired_answers import UNMASKED, PairedAnswers, cells_of
from culture_lens.statistics.estimates import interval
from culture_lens.statistics.permutation import (
    CORRECTIONS,
    PermutationResult,
    contrasts,
    corrected,
    permutation_p,
    relabelling_p,
    relabellings,
    weighted_p,
)

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition
    from culture_lens.statistics.permutation import Alternative, Correction

MARK = "*"
"""Marks what is significant, or an interval that excludes 0."""
ALPHA = 0.05
"""The level at which a test is significant."""


@check_arguments(matrix=MATRIX, condition=text, correction=text, level=real)
def cell_tests(
    matrix: AblationMatrix,
    *,
    condition: Condition = FOUND,
    correction: Correction = "holm",
    level: float = ALPHA,
) -> pd.DataFrame:
    """Test in every cell whether answers under the mask differ from the unmodified model's.

    ``p`` relabels whole question groups: under the null hypothesis that the mask changes nothing, a
    group's answers with and without it can be exchanged. It is exact for any number of groups and
    at least 2^(1 - groups); a warning names the cultures where this bound is above the level.
    Cells of one culture share the unmodified answers, so their tests are positively dependent,
    which both corrections allow.

    ``mcnemar_p`` is the exact binomial test of the discordant items, given for comparison with
    other work. **It ignores clustering**: it is too small where items of a group change together,
    and equals ``p`` where each group has one item. It is not corrected, and NaN for random masks
    of several seeds, whose answers to an item are no independent pairs.

    Args:
        matrix: The matrix.
        condition: ``"found"`` or ``"random"`` neurons; of random ones, all seeds are compared with
            the unmodified model.
        correction: ``"holm"`` controls the chance of any false finding in the table,
            ``"benjamini-hochberg"`` the expected share of false findings among those marked.
        level: Cells whose corrected p is at most this are marked.

    Returns:
        One row per mask and culture: ``items``, ``groups``, ``change`` (Estimate, clustered paired
        bootstrap), ``lost`` and ``gained`` (McNemar's b and c, over all seeds), ``mcnemar_p``,
        ``p``, ``corrected_p``, ``mark``, and a ``note`` where no answer changed.

    Raises:
        InputError: An unknown condition or correction, no such masks, or answers that are not
            paired.

    Example:
        ``cell_tests(matrix, correction="benjamini-hochberg").query("mark == '*'")``
    """
    import pandas as pd
    from scipy.stats import binomtest

    check_level(level)
    check_condition(matrix, condition)
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    answers = PairedAnswers.of(matrix)
    rows = []
    for mask in matrix.masks:
        seeds = answers.seeds_of(condition, mask)
        for culture in matrix.cultures:
            before, *after = answers.of_items(culture, [UNMASKED, *seeds]).T
            lost = sum(int(((before == 1) & (one == 0)).sum()) for one in after)
            gained = sum(int(((before == 0) & (one == 1)).sum()) for one in after)
            counts = answers.of_groups(culture, [UNMASKED, *seeds])
            alone = len(seeds) == 1
            mcnemar = float(binomtest(lost, lost + gained).pvalue) if lost + gained else 1.0
            rows.append(
                {
                    "mask": mask,
                    "culture": culture,
                    "items": len(before),
                    "groups": len(counts),
                    "change": matrix.cell(mask, culture, "change", condition),
                    "lost": lost,
                    "gained": gained,
                    "mcnemar_p": mcnemar if alone else math.nan,
                    "p": relabelling_p(counts),
                    "note": "" if lost + gained else "no answer went from right to wrong or back",
                }
            )
    table = pd.DataFrame(rows)
    groups = table.groupby("culture")["groups"].first().to_dict()
    say_if_few(groups, len(after) + 1, level)
    table.insert(9, "corrected_p", corrected(table["p"].to_numpy(), correction))
    table.insert(10, "mark", [MARK if p <= level else "" for p in table["corrected_p"]])
    return table


def check_level(level: float) -> None:
    """Refuse a level outside (0, 1).

    Raises:
        InputError: It is.

    Example:
        >>> check_level(0.05)
    """
    if not 0 < level < 1:
        raise InputError(f"level={level} is outside (0, 1): 0.05 stands for 5%.")


def check_condition(matrix: AblationMatrix, condition: str) -> None:
    """Refuse a condition that is unknown or not in the matrix.

    Raises:
        InputError: It is.
    """
    if condition not in (FOUND, RANDOM):
        raise unknown("condition", condition, (FOUND, RANDOM))
    if not (matrix.frame["condition"] == condition).any():
        remedy = "run ablation_matrix" + (" with random_seeds=5" if condition == RANDOM else "")
        raise InputError(f"this matrix has no masks of {condition} neurons: {remedy}.")


def say_if_few(groups: Mapping[str, int], masks: int, level: float) -> None:
    """Warn of cultures whose p cannot reach the level, however large the effect."""
    # One labelling is the most extreme; of two masks, its reverse is as extreme.
    least = {c: min(1.0, (2 if masks == 2 else 1) * masks**-n) for c, n in groups.items()}
    short = [f"{c} ({groups[c]}, p at least {p:.2g})" for c, p in least.items() if p > level]
    if short:
        warn(
            f"too few question groups for any effect to be found at level {level:g}: "
            f"{', '.join(short)}. Ask more questions, or check whether group= joins too many."
        )


@check_arguments(matrix=MATRIX, alternative=text, seed=SEED)
def diagonal_test(
    matrix: AblationMatrix, *, alternative: Alternative = "two-sided", seed: int = 0
) -> PermutationResult:
    """Test with one number whether masks change their own culture more than others.

        T = mean over c of C[c,c] - mean over m != e of C[m,e],    C the change of accuracy

    Under the null hypothesis a mask's label says nothing about whose questions it changes, so the
    masks can be assigned to the cultures in any order: p is the share of orders whose T is at least
    as extreme. All orders are tried up to 8 cultures, else some are drawn. Below four cultures
    there are too few orders to reach 0.05.

    A small p means that, over the whole matrix, masks change their own culture's questions
    otherwise than masks assigned by chance. Effects of rows and columns cancel: a mask that changes
    all cultures, or a culture that all masks change, does not move T. The test does not show that
    every culture has neurons of its own (see ``cell_tests``), that random neurons would do less
    (see ``against_random``), or that more was lost than gained (see the sign of T). p holds for
    these questions and cultures; the interval, from the paired clustered bootstrap, is over
    questions.

    Args:
        matrix: The matrix; the cultures both ablated and evaluated are used.
        alternative: ``"two-sided"``, ``"less"`` (own questions lose more) or ``"greater"``.
        seed: Seed of drawn orders.

    Raises:
        InputError: Fewer than two such cultures, or an unknown alternative.

    Example:
        ``print(diagonal_test(matrix))``
    """
    matrix.metrics()  # refuses a matrix with too few cultures
    rows, columns = matrix.places()
    change = matrix.draws("change")[:, rows][:, :, columns]
    if np.isnan(change[0]).any():
        raise InputError(
            "under some mask not every culture's questions were asked: no diagonal to test."
        )
    n = len(rows)
    values = diagonal_contrast(change, np.arange(n)[None])[:, 0]
    orders, exact = relabellings(n, seed)
    if math.factorial(n) < 20:
        warn(
            f"{n} cultures have only {math.factorial(n)} orders of masks, too few for p to reach "
            "0.05: read the interval and the cells."
        )
    null = diagonal_contrast(change[:1], orders)[0]
    p = permutation_p(float(values[0]), null, exact, alternative)
    return PermutationResult(interval(float(values[0]), values[1:]), p, len(orders), exact)


def diagonal_contrast(
    change: Float[np.ndarray, "draw mask culture"], orders: Int[np.ndarray, "order culture"]
) -> Float[np.ndarray, "draw order"]:
    """Give mean diagonal minus mean off-diagonal, with mask order[c] assigned to culture c.

    Example:
        >>> diagonal_contrast(np.array([[[-0.4, 0.0], [0.0, -0.2]]]), np.array([[0, 1], [1, 0]]))
        array([[-0.3,  0.3]])
    """
    n = change.shape[1]
    own = change[:, orders, np.arange(n)].sum(2)
    total = change.sum((1, 2))[:, None]
    result: np.ndarray = own / n - (total - own) / (n * n - n)
    return result


@check_arguments(matrix=MATRIX, mask=optional(text), correction=text, level=real)
def against_random(
    matrix: AblationMatrix,
    *,
    mask: str | None = None,
    correction: Correction = "holm",
    level: float = ALPHA,
) -> pd.DataFrame:
    """Test for every culture whether its found neurons do more than random ones.

    ``p`` relabels which of the sets, found or random, is the found one, in whole question groups.
    It tests whether found neurons differ from **these** random sets on such questions. ``rank_p``
    is the share of sets, found and random, whose change is at most the found one's. It tests
    whether the found set differs from random sets **in general**; it is at least 1 / (1 + seeds),
    so 19 seeds can reach 0.05. Where p is small and ``rank_p`` is large, the random sets differ as
    much from each other.

    Args:
        matrix: A matrix with random masks.
        mask: One mask on every culture's questions, such as ``"general"``; by default every
            culture's own.
        correction: ``"holm"`` or ``"benjamini-hochberg"``, over cultures.
        level: Cultures whose corrected p is at most this are marked.

    Returns:
        Per culture: ``found``, ``random`` and ``difference`` (Estimates, paired), ``p``,
        ``corrected_p``, ``mark`` and ``rank_p``. The last row, ``"mean"``, tests the mean over
        cultures, without correction.

    Raises:
        InputError: No random masks, or an unknown mask or correction.

    Example:
        ``against_random(matrix).loc["mean"]``
    """
    import pandas as pd

    check_level(level)
    check_condition(matrix, RANDOM)
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    cells, answers = cells_of(matrix, mask), PairedAnswers.of(matrix)
    seeds = {len(answers.seeds_of(RANDOM, ablated)) for ablated, _ in cells}
    if len(seeds) > 1:
        raise InputError("masks have different numbers of random seeds: run the same for all.")
    names = [culture for _, culture in cells]
    rows = [matrix.masks.index(ablated) for ablated, _ in cells]
    columns = [matrix.cultures.index(culture) for culture in names]
    found = with_mean(matrix.draws("change")[:, rows, columns])
    random = with_mean(matrix.draws("change", RANDOM)[:, rows, columns])
    table = {
        name: [interval(cell[0], cell[1:]) for cell in draws.T]
        for name, draws in (("found", found), ("random", random), ("difference", found - random))
    }
    p, sets, together = [], [], dict[str, np.ndarray]()
    for ablated, culture in cells:
        masks = [(FOUND, ablated, 0), *answers.seeds_of(RANDOM, ablated)]
        counts = answers.of_groups(culture, masks)
        p.append(relabelling_p(counts))
        accuracy = answers.of_items(culture, masks).mean(0)
        sets.append(accuracy)
        # A group occurs in several cultures and is relabelled in all of them together.
        size = len(answers.of_items(culture, masks)) * (len(masks) - 1) * len(cells)
        for group, own in zip(answers.group_names(culture), contrasts(counts), strict=True):
            together[group] = together.get(group, 0.0) + own / size
    say_if_few({c: len(answers.group_names(c)) for c in names}, len(masks), level)
    of_mean = weighted_p(np.array([together[group] for group in sorted(together)]))[0]
    ranked = np.array([*sets, np.mean(sets, 0)])
    fixed = [*corrected(np.array(p), correction), of_mean]
    return pd.DataFrame(
        {
            **table,
            "p": [*p, of_mean],
            "corrected_p": fixed,
            "mark": [MARK if value <= level else "" for value in fixed],
            "rank_p": (ranked <= ranked[:, :1] + 1e-12).mean(1),
        },
        index=[*names, MEAN],
    )
