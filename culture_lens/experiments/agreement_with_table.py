"""Test whether cultures that are near in a table, such as of distances, lose accuracy together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from culture_lens.checks import SEED, check_arguments, instance, real, text
from culture_lens.errors import InputError, warn
from culture_lens.experiments.cell_tests import ALPHA
from culture_lens.experiments.related_cultures import Relations
from culture_lens.statistics.bootstrap import CORRELATION_BOUNDS, correlation, interval, ranks
from culture_lens.statistics.mantel import mantel_null, mean_of_both, square
from culture_lens.statistics.permutation import PermutationResult, permutation_p, relabellings

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.statistics.permutation import Alternative

FEWEST_FOR_TABLE = 4
"""Cultures below which there are too few orders to test."""
ROUNDING = 12
"""Decimals to which changes of accuracy are compared: further ones are rounding error."""


@check_arguments(
    relations=instance(Relations, remedy="what related_cultures gives"), alternative=text, seed=SEED
)
def agreement_with_table(
    relations: Relations, table: Any, *, alternative: Alternative = "two-sided", seed: int = 0
) -> PermutationResult:
    """Test whether cultures that are near in a table lose accuracy together (Mantel 1967).

    The statistic is the Spearman correlation of the distances d with those of the table, over
    pairs. Pairs share cultures and are not independent, so p comes from permuting the cultures of
    the table: all orders up to 8 cultures, else drawn ones.

    The interval is over questions, for fixed cultures: the relations of each bootstrap draw are
    correlated with the table, and their standard deviation is its error. It lies around the
    observed correlation, which the noise of few questions pulls towards 0; do not use it as a test.

    Args:
        relations: The relations, from ``related_cultures``.
        table: Distances ``{("Japan", "China"): 3040.0, ...}`` or a square table of them, or
            families ``{"Japan": "Japonic", ...}``, with distance 0 within a family and 1 between.
            Cultures that it lacks are left out, with a warning.
        alternative: ``"two-sided"``, ``"greater"`` (near cultures lose together) or ``"less"``.
        seed: Seed of drawn orders.

    Returns:
        The correlation, its interval and p; NaN, with a warning, where all distances are equal.

    Raises:
        InputError: Fewer than four cultures in common, a pair that is lacking or given with two
            values, a table whose distances are all equal, or an unknown alternative.

    Example:
        ``print(agreement_with_table(relations, {"Japan": "Asia", "Iran": "Asia", ...}))``
    """
    given = as_distances(table, relations.cultures)
    held = [culture for culture in relations.cultures if culture in given]
    left = [culture for culture in relations.cultures if culture not in given]
    if len(held) < FEWEST_FOR_TABLE:
        raise InputError(
            f"the table has {len(held)} of the {len(relations.cultures)} cultures, at least "
            f"{FEWEST_FOR_TABLE} are needed; it lacks {', '.join(left) or 'none'}."
        )
    if left:
        warn(
            f"{len(left)} of {len(relations.cultures)} cultures are not in the table and left out: "
            f"{', '.join(left)}."
        )
    rows = [relations.cultures.index(culture) for culture in held]
    above = np.triu_indices(len(held), 1)
    ours = mean_of_both(relations.draws[:, rows][:, :, rows])
    theirs = given.loc[held, held].to_numpy(dtype=float)[above]
    if np.ptp(theirs) == 0:
        raise InputError("in the table all cultures are equally far: nothing to agree with.")
    ranked = square(ranks(theirs[None])[0])
    ours_ranked = ranks(ours.round(ROUNDING))
    values = correlation(ours_ranked, np.broadcast_to(ranked[above], ours.shape))
    orders, exact = relabellings(len(held), seed)
    null = mantel_null(ours_ranked[0], ranked, orders)
    estimate = interval(float(values[0]), values[1:], relations.groups, CORRELATION_BOUNDS)
    if math.isnan(estimate.value):
        warn("all cultures are equally far from each other in these results: no agreement to test.")
    p = permutation_p(estimate.value, null, exact, alternative)
    say_if_alike(null, exact, alternative)
    return PermutationResult(estimate, p, len(orders), exact)


def say_if_alike(null: Float[np.ndarray, " order"], exact: bool, alternative: Alternative) -> None:
    """Warn where so many orders give the same table that no p can reach 0.05."""
    if alternative == "two-sided":
        extreme = float(np.abs(null).max())
    else:
        extreme = float(null.min() if alternative == "less" else null.max())
    least = permutation_p(extreme, null, exact, alternative)
    if least > ALPHA:
        warn(
            f"no p below {least:.2g} is possible: too many orders of the cultures give the same "
            "table. Give more cultures, or distances that differ more."
        )


TABLE = instance(Mapping, "Series", remedy="a mapping, a Series or a square DataFrame")


def as_distances(table: Any, cultures: tuple[str, ...]) -> pd.DataFrame:
    """Read a user's table as distances of the cultures that it has.

    Raises:
        InputError: A pair is lacking, NaN, negative, or given with two values.

    Example:
        >>> as_distances({"a": "x", "b": "x", "c": "y"}, ("a", "b", "c")).loc["a"].tolist()
        [0.0, 0.0, 1.0]
    """
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        table = {(a, b): table.loc[a, b] for a in table.index for b in table.columns if a != b}
    entries = dict(TABLE("table", table))
    pairs = {key: value for key, value in entries.items() if isinstance(key, tuple)}
    if pairs and len(pairs) < len(entries):
        raise InputError("the table mixes pairs and single cultures: give one kind of entry.")
    if not pairs:
        held = [c for c in cultures if c in entries and not pd.isna(entries[c])]
        rows = [[float(entries[a] != entries[b]) for b in held] for a in held]
        return pd.DataFrame(rows, index=held, columns=held)
    named = {name for pair in pairs for name in pair}
    held = [culture for culture in cultures if culture in named]
    result = pd.DataFrame(0.0, index=held, columns=held)
    for position, one in enumerate(held):
        for other in held[position + 1 :]:
            values = {
                real(f"table[{p!r}]", pairs[p]) for p in ((one, other), (other, one)) if p in pairs
            }
            if len(values) != 1 or not min(values) >= 0:
                what = "is lacking" if not values else f"is {sorted(values)}"
                raise InputError(
                    f"the distance of {one!r} and {other!r} {what}: give one number, 0 or more, "
                    "for every two cultures of the table."
                )
            result.loc[one, other] = result.loc[other, one] = values.pop()
    return result
