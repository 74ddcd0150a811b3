"""Tests of an ablation matrix: of every cell, of the diagonal, and of found against random neurons.

All keep question groups whole: intervals are clustered (see ``estimates``), p come from relabelling
whole groups (see ``permutation``) or whole masks, and against random sets from the variance over
questions and sets (see ``random_sets``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from culture_lens.checks import SEED, check_arguments, optional, real, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.matrix import MATRIX, MEAN, AblationMatrix
from culture_lens.experiments.means import Means, beyond_sets
from culture_lens.experiments.paired_answers import UNMASKED, PairedAnswers, cells_of
from culture_lens.statistics.bootstrap import interval
from culture_lens.statistics.permutation import (
    CORRECTIONS,
    PermutationResult,
    corrected,
    permutation_p,
    relabelling_p,
    relabellings,
)
from culture_lens.statistics.random_sets import rank_among
from culture_lens.statistics.tables import numeric

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
        One row per mask and culture: ``items``, ``groups``, ``change`` (paired and clustered,
        with an interval), ``lost`` and ``gained`` (McNemar's b and c, over all seeds),
        ``mcnemar_p``, ``p``, ``corrected_p``, ``mark``, and a ``note`` where no answer changed.

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
    return numeric(table)


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
    these questions and cultures; the interval, from a clustered bootstrap, is over questions.

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
    estimate = interval(float(values[0]), values[1:], len(matrix.groups))
    return PermutationResult(estimate, p, len(orders), exact)


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

    Random sets differ among themselves, so the found set is compared with one more set from where
    these were drawn: interval and p carry the variance over questions and that of random sets, with
    as many degrees of freedom as there are sets, minus 1 (see ``random_sets``). Two sets or more
    are needed; five find large effects only.

    ``rank_p`` assumes nothing about how effects of sets are distributed: it is the chance that one
    of ``sets`` + 1 sets alike has the rank of the found one or a lower one. It is at least
    1 / (1 + sets), so 19 sets can reach 0.05; see ``sets_needed``.

    Args:
        matrix: A matrix with random masks.
        mask: One mask on every culture's questions, such as ``"general"``; by default every
            culture's own.
        correction: ``"holm"`` or ``"benjamini-hochberg"``, over cultures.
        level: Cultures whose corrected p is at most this are marked.

    Returns:
        Per culture: ``found``, ``random`` and ``difference`` (paired, with intervals), ``p``,
        ``corrected_p``, ``mark``, ``rank`` among the random sets (1 where the found one loses
        most), ``sets``, their number, and ``rank_p``. The last row, ``"mean"``, tests the mean over
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
    if len({len(answers.seeds_of(RANDOM, ablated)) for ablated, _ in cells}) > 1:
        raise InputError("masks have different numbers of random seeds: run the same for all.")
    places = (
        [matrix.masks.index(ablated) for ablated, _ in cells],
        [matrix.cultures.index(culture) for _, culture in cells],
    )
    found = matrix.means("change").at(*places)
    random = matrix.means("change", RANDOM).at(*places)
    sets = [matrix.means("change", RANDOM, seed=seed).at(*places) for seed in matrix.seeds]
    rows = [
        row_against(found.at(place), random.at(place), [one.at(place) for one in sets])
        for place in range(len(cells))
    ]
    mean = row_against(
        found.over_cultures(), random.over_cultures(), [one.over_cultures() for one in sets]
    )
    table = pd.DataFrame([*rows, mean], index=[*(culture for _, culture in cells), MEAN])
    p = table["p"].to_numpy(dtype=float)
    fixed = [*corrected(p[:-1], correction), p[-1]]
    table.insert(4, "corrected_p", fixed)
    table.insert(5, "mark", [MARK if value <= level else "" for value in fixed])
    return numeric(table)


def row_against(found: Means, random: Means, sets: Sequence[Means]) -> dict[str, object]:
    """Compare one effect of the found set with the same effect of every random set."""
    value, spread = beyond_sets(found, sets)
    rank = rank_among(float(found.values), [float(one.values) for one in sets])
    return {
        "found": found.estimate(),
        "random": random.estimate(),
        "difference": spread.estimate(value),
        "p": spread.p_of_zero(),
        "rank": rank,
        "sets": len(sets),
        "rank_p": rank / (len(sets) + 1),
    }
