"""Tests of an ablation matrix: every cell, the diagonal as one number, found against random.

All of them keep question groups whole: intervals are the matrix's own clustered bootstrap, p comes
from relabelling whole groups (see ``permutation``) or whole masks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.experiments.matrix import FOUND, RANDOM, AblationMatrix
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

MARK = "*"


def cell_tests(
    matrix: AblationMatrix, *, condition: str = FOUND, correction: str = "holm", level: float = 0.05
) -> pd.DataFrame:
    """Test in every cell whether answers under the mask differ from the unmodified model's.

    ``p`` relabels whole question groups: under the null, that the mask changes nothing, a group's
    answers with and without it could be exchanged. It is exact at any number of groups. Since
    groups are finite in number, it cannot go below 2^(1 - groups); a warning names the cultures
    where this keeps it above the level. Cells of one culture share the unmodified answers, so
    their tests are positively dependent, which both corrections allow.

    ``mcnemar_p`` is the exact binomial test of the two kinds of discordant items. **It ignores
    clustering**: where items of a group go together it is too small, and where each group has one
    item it is ``p``. It stands here because readers know it; the correction is of ``p``. Of random
    masks with several seeds, the answers to an item are no independent pairs, so it is NaN.

    Args:
        matrix: The matrix.
        condition: ``"found"`` or ``"random"`` neurons; of random ones, all seeds against none.
        correction: ``"holm"`` holds the chance of any false finding in the table,
            ``"benjamini-hochberg"`` the expected share of false ones among those marked.
        level: Cells whose corrected p is at most this are marked.

    Returns:
        One row per mask and culture: ``items``, ``groups``, ``change`` (Estimate, clustered paired
        bootstrap), ``lost`` and ``gained`` (McNemar's b and c; over all seeds), ``mcnemar_p``,
        ``p``, ``corrected_p``, ``mark``, and a ``note`` where there was nothing to test.

    Raises:
        InputError: An unknown condition or correction, no such masks, or answers that are not
            paired.

    Example:
        ``cell_tests(matrix, correction="benjamini-hochberg").query("mark == '*'")``
    """
    import pandas as pd
    from scipy.stats import binomtest

    check_condition(matrix, condition)
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    answers = PairedAnswers.of(matrix)
    rows = []
    for mask in matrix.masks:
        runs = answers.runs_of(condition, mask)
        for culture in matrix.cultures:
            before, *after = answers.of_items(culture, [UNMASKED, *runs]).T
            lost = sum(int(((before == 1) & (run == 0)).sum()) for run in after)
            gained = sum(int(((before == 0) & (run == 1)).sum()) for run in after)
            counts = answers.of_groups(culture, [UNMASKED, *runs])
            alone = len(runs) == 1
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


def check_condition(matrix: AblationMatrix, condition: str) -> None:
    """Refuse a condition of masks that there is not.

    Raises:
        InputError: Unknown, or not in the matrix.
    """
    if condition not in (FOUND, RANDOM):
        raise unknown("condition", condition, (FOUND, RANDOM))
    if not (matrix.frame["condition"] == condition).any():
        remedy = "run ablation_matrix with random_seeds=5" if condition == RANDOM else "run some"
        raise InputError(f"this matrix has no masks of {condition} neurons: {remedy}.")


def say_if_few(groups: Mapping[str, int], runs: int, level: float) -> None:
    """Warn of cultures whose p cannot reach the level, however large the effect."""
    # Every group goes the same way in one labelling; of two runs, the reverse is as extreme.
    least = {c: min(1.0, (2 if runs == 2 else 1) * runs**-n) for c, n in groups.items()}
    short = [f"{c} ({groups[c]}, p at least {p:.2g})" for c, p in least.items() if p > level]
    if short:
        warnings.warn(
            f"too few question groups for any effect to be found at level {level:g}: "
            f"{', '.join(short)}. Ask more questions, or see whether group= joins too many.",
            CultureLensWarning,
            stacklevel=3,
        )


def diagonal_test(
    matrix: AblationMatrix, *, alternative: str = "two-sided", seed: int = 0
) -> PermutationResult:
    """Test as one number whether masks hit their own culture more than others.

        T = mean over c of C[c,c] - mean over m != e of C[m,e],    C the change of accuracy

    Under the null the label of a mask says nothing of whose questions it hits, so the masks could
    be dealt to the cultures in any order: p is the share of orders whose T is at least as extreme.
    All are tried up to 8 cultures, else drawn.

    What it says: that, over the whole matrix, own masks hit own questions otherwise than dealt
    masks would. A mask that hits all cultures, or a culture that all masks hit, moves no T: effects
    of rows and columns cancel. What it does not say: that every culture has neurons of its own
    (one may carry it all; see ``cell_tests``), that random neurons would do less (see
    ``against_random``), or that more was lost than gained (see the sign of T, and the cells). p is
    of these questions and cultures; the interval is of the questions drawn, by the paired
    clustered bootstrap. Below four cultures there are too few orders to reach 0.05.

    Args:
        matrix: The matrix; cultures that are both ablated and evaluated are used.
        alternative: ``"two-sided"``, ``"less"`` (own questions lose more) or ``"greater"``.
        seed: Seed of drawn orders.

    Raises:
        InputError: Fewer than two such cultures, or an unknown alternative.

    Example:
        ``print(diagonal_test(matrix))``
    """
    matrix.metrics()  # says what is wrong where there are too few cultures
    both = [culture for culture in matrix.masks if culture in matrix.cultures]
    rows = [matrix.masks.index(culture) for culture in both]
    columns = [matrix.cultures.index(culture) for culture in both]
    change = matrix.draws("change")[:, rows][:, :, columns]
    if np.isnan(change[0]).any():
        raise InputError("a mask was not asked every culture's questions: no diagonal to test.")
    n = len(both)
    values = diagonal_contrast(change, np.arange(n)[None])[:, 0]
    orders, exact = relabellings(n, seed)
    if math.factorial(n) < 20:
        warnings.warn(
            f"{n} cultures have only {math.factorial(n)} orders of masks, too few for p to reach "
            "0.05: read the interval and the cells.",
            CultureLensWarning,
            stacklevel=2,
        )
    null = diagonal_contrast(change[:1], orders)[0]
    p = permutation_p(float(values[0]), null, exact, alternative)
    return PermutationResult(interval(float(values[0]), values[1:]), p, len(orders), exact)


def diagonal_contrast(
    change: Float[np.ndarray, "draw mask culture"], orders: Int[np.ndarray, "order culture"]
) -> Float[np.ndarray, "draw order"]:
    """Give mean diagonal minus mean off-diagonal, culture c standing against mask order[c].

    Example:
        >>> diagonal_contrast(np.array([[[-0.4, 0.0], [0.0, -0.2]]]), np.array([[0, 1], [1, 0]]))
        array([[-0.3,  0.3]])
    """
    n = change.shape[1]
    dealt = change[:, orders, np.arange(n)].sum(2)
    everything = change.sum((1, 2))[:, None]
    result: np.ndarray = dealt / n - (everything - dealt) / (n * n - n)
    return result


def against_random(
    matrix: AblationMatrix,
    *,
    mask: str | None = None,
    correction: str = "holm",
    level: float = 0.05,
) -> pd.DataFrame:
    """Test for every culture whether its found neurons do more than the random ones.

    ``p`` relabels which of a question group's runs, found or one of the random seeds, is the found
    one. It says whether found neurons differ from **these** random sets on questions like these.
    ``rank_p`` is the share of sets, found and random, whose change is at most the found one's: it
    says whether the found set is unlike random sets **in general**, and cannot be below 1 / (1 +
    seeds): 19 seeds reach 0.05. A culture with a small p and a large ``rank_p`` has random sets
    that differ among themselves as much.

    Args:
        matrix: A matrix with random masks.
        mask: One mask on every culture's questions, such as ``"general"``; by default every
            culture's own.
        correction: ``"holm"`` or ``"benjamini-hochberg"``, over cultures.
        level: Cultures whose corrected p is at most this are marked.

    Returns:
        Per culture: ``found``, ``random`` and ``difference`` (Estimates, paired), ``p``,
        ``corrected_p``, ``mark`` and ``rank_p``. The last row, ``"mean"``, is the mean over
        cultures, a test of its own that is not corrected.

    Raises:
        InputError: No random masks, or an unknown mask or correction.

    Example:
        ``against_random(matrix).loc["mean"]``
    """
    import pandas as pd

    check_condition(matrix, RANDOM)
    if correction not in CORRECTIONS:
        raise unknown("correction", correction, CORRECTIONS)
    cells, answers = cells_of(matrix, mask), PairedAnswers.of(matrix)
    seeds = {len(answers.runs_of(RANDOM, ablated)) for ablated, _ in cells}
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
        runs = [(FOUND, ablated, 0), *answers.runs_of(RANDOM, ablated)]
        counts = answers.of_groups(culture, runs)
        p.append(relabelling_p(counts))
        accuracy = answers.of_items(culture, runs).mean(0)
        sets.append(accuracy)
        # A group stands in several cultures, and is relabelled in all of them together.
        size = len(answers.of_items(culture, runs)) * (len(runs) - 1) * len(cells)
        for group, own in zip(answers.group_names(culture), contrasts(counts), strict=True):
            together[group] = together.get(group, 0.0) + own / size
    say_if_few({c: len(answers.group_names(c)) for c in names}, len(runs), level)
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
        index=[*names, "mean"],
    )


def with_mean(draws: Float[np.ndarray, "draw culture"]) -> Float[np.ndarray, "draw column"]:
    """Add the mean over cultures as the last column, over those that a draw has.

    Example:
        >>> with_mean(np.array([[1.0, 3.0]])).tolist()
        [[1.0, 3.0, 2.0]]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw may leave no culture
        return np.concatenate([draws, np.nanmean(draws, 1, keepdims=True)], 1)
