"""The significance tests of a matrix, in sentences and a table for the page."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

from culture_lens.errors import CultureLensWarning
from culture_lens.experiments.cell_tests import ALPHA, against_random, cell_tests, diagonal_test
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.paired_answers import cells_of
from culture_lens.experiments.power import POWER, minimum_detectable_effect
from culture_lens.plots.style import DASH, percent, points
from culture_lens.report.sentences import join, spoken
from culture_lens.statistics.random_sets import sets_needed
from culture_lens.statistics.tables import as_estimates

if TYPE_CHECKING:
    import pandas as pd

TEST_COLUMNS = {
    "change": ("change", "change of accuracy when the culture’s neurons are ablated"),
    "p": ("p", "chance of a change at least as large if ablation had no effect"),
    "corrected_p": ("Holm", "the same, corrected for all cells of the matrix"),
    "random_p": (
        "p, random",
        "chance of such a difference if the found neurons were one more random set",
    ),
    "random_corrected": ("Holm, random", "the same, corrected for all cultures"),
    "effect": (
        "detectable",
        f"smallest true change that is found with {percent(POWER)} power at level {ALPHA:g}, in "
        "points",
    ),
}


def in_words(matrix: AblationMatrix) -> dict[str, Any]:
    """Test a matrix, or its only mask, and write the results.

    Returns:
        ``sentences``; ``notes``, the limits of the tests; ``columns`` and ``rows``, the tests of
        every culture's own neurons, as text.

    Raises:
        InputError: Answers that are not paired, or masks that were not asked all questions.

    Example:
        ``in_words(matrix)["sentences"]``
    """
    alone = matrix.masks[0] if not matrix.has_metrics else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CultureLensWarning)
        cells = cell_tests(matrix, level=ALPHA)
        power = minimum_detectable_effect(matrix, mask=alone, power=POWER, alpha=ALPHA)
        random = against_random(matrix, mask=alone, level=ALPHA) if matrix.has_random else None
        said = [diagonal_in_words(matrix)] if alone is None else []
    said.append(cells_in_words(cells, alone))
    if random is not None:
        said.append(random_in_words(random))
    said.append(power_in_words(power))
    told = [str(w.message) for w in caught if issubclass(w.category, CultureLensWarning)]
    own = cells_of(matrix, alone)
    kept = cells.set_index(["mask", "culture"])
    return {
        "sentences": said,
        "notes": [f"{text[0].upper()}{text[1:]}" for text in dict.fromkeys(told)],
        "columns": [
            {"name": name, "meaning": meaning}
            for key, (name, meaning) in TEST_COLUMNS.items()
            if random is not None or not key.startswith("random")
        ],
        "rows": [
            {"culture": culture, "cells": row_of(kept.loc[mask, culture], random, power, culture)}
            for mask, culture in own
        ],
    }


def row_of(
    cell: pd.Series, random: pd.DataFrame | None, power: pd.DataFrame, culture: str
) -> list[str]:
    """Write the tests of one culture's own neurons."""
    effect = power.loc[culture, "effect"]
    held = [] if random is None else [random.loc[culture, name] for name in ("p", "corrected_p")]
    return [
        points(cell["change"]),
        *(p_value(p) for p in (cell["p"], cell["corrected_p"], *held)),
        points(float(effect)).lstrip("+"),
    ]


def p_value(p: float) -> str:
    """Write a p with two digits, small ones as a bound.

    Example:
        >>> p_value(0.031), p_value(0.00002), p_value(1.0), p_value(float("nan"))
        ('0.031', '< 0.0001', '1', '–')
    """
    if math.isnan(p):
        return DASH
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def equals(p: float) -> str:
    """Write a p for a sentence.

    Example:
        >>> equals(0.5), equals(0.00001)
        ('p = 0.5', 'p < 0.0001')
    """
    written = p_value(p)
    return f"p {written}" if written.startswith("<") else f"p = {written}"


def diagonal_in_words(matrix: AblationMatrix) -> str:
    """Write whether masks change their own culture more than masks assigned by chance."""
    result = diagonal_test(matrix)
    tried = f"{'all' if result.exact else 'drawn:'} {result.permutations:,}"
    words = "more" if result.estimate.value < 0 else "less"
    verdict = f"lower their own culture’s accuracy {words} than masks assigned by chance"
    if result.p > ALPHA:
        verdict = "do not differ significantly from masks assigned by chance"
    return (
        f"Diagonal: own minus others’ questions {spoken(result.estimate)}; by permutation the "
        f"masks {verdict} ({equals(result.p)}; {tried} orders)."
    )


def cells_in_words(cells: pd.DataFrame, alone: str | None) -> str:
    """Write how many cells differ from the unmodified model, and which."""
    marked = cells[cells["mark"] != ""]
    number = f"Cells: of {len(cells)}, "
    if marked.empty:
        return (
            f"{number}none differs from the unmodified model after Holm’s correction at {ALPHA:g}."
        )
    named = [
        row.culture if alone or row.mask == row.culture else f"{row.culture} under {row.mask}"
        for row in marked.itertuples()
    ]
    verb = "differs" if len(marked) == 1 else "differ"
    return (
        f"{number}{len(marked)} {verb} from the unmodified model after Holm’s correction at "
        f"{ALPHA:g}: {join(named)}."
    )


def random_in_words(random: pd.DataFrame) -> str:
    """Write whether found neurons differ from random sets, their rank, and what a rank needs."""
    table = as_estimates(random)
    mean, each = table.loc["mean"], table.drop("mean")
    marked = [str(culture) for culture in each.index[each["mark"] != ""]]
    sets, needed = int(mean["sets"]), sets_needed(ALPHA)
    if math.isnan(mean["p"]):
        verdict = "no test from a single random set" if sets == 1 else "no test"
    else:
        differ = "differ" if mean["p"] <= ALPHA else "do not differ significantly"
        verdict = (
            f"found neurons {differ} from what one more random set would do ({equals(mean['p'])}, "
            f"from questions and {sets} sets; single cultures after correction: "
            f"{join(marked) if marked else 'none'})"
        )
    few = "" if sets >= needed else f"; at level {ALPHA:g} a rank needs {needed} random sets"
    return (
        f"Random neurons: found minus random {spoken(mean['difference'])} on average; {verdict}. "
        f"By loss the found set has rank {mean['rank']} of {sets + 1} sets "
        f"({equals(mean['rank_p'])}{few})."
    )


def power_in_words(power: pd.DataFrame) -> str:
    """Write the smallest effect that these questions can show."""
    mean, each = power.loc["mean", "effect"], power.drop("mean")["effect"].dropna()
    if each.empty or math.isnan(mean):
        return "Power: answers do not vary enough to say how small an effect could be found."
    return (
        f"Power: with these questions a true change of {100 * each.min():.1f} to "
        f"{100 * each.max():.1f} points in a single culture, and of {100 * mean:.1f} points on "
        "average, would be found in four of five runs; smaller ones would mostly be missed."
    )
