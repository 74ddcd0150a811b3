"""The figure of an ablation matrix: masks x questions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from culture_lens.checks import check_arguments, text
from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.experiments.cell_tests import ALPHA, MARK, cell_tests
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.plots.heatmap import (
    BOLD,
    LEAST_ROWS,
    OUTLINED,
    RANGE,
    SMALLEST_CHANGE,
    SMALLEST_P_CHANGE,
    cell_map,
    check_symmetric,
    estimate_text,
    hatch,
    largest_of,
    marked,
    outline,
    telling_digits,
    whose,
    whose_cell,
)
from culture_lens.plots.style import (
    INTERVALS,
    about,
    across,
    name_axis,
    percent,
    points,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition, MatrixTable

WITHOUT = "of the unmodified model"
STARS = f"{MARK}: p of at most {ALPHA:g}, corrected for all cells"
TABLES = {
    "change": "change in accuracy",
    "accuracy": "accuracy",
    "flips": "share of answers that change",
    "p_gold": "probability of the right answer",
    "p_change": "change in probability of the right answer",
}
TITLES = {
    "change": "Change in accuracy",
    "accuracy": "Accuracy",
    "flips": "Answers that change",
    "p_gold": "Probability of the right answer",
    "p_change": "Change in probability of the right answer",
}


@check_arguments(matrix=MATRIX, what=text, condition=text, range=RANGE)
def ablation_heatmap(
    matrix: AblationMatrix,
    *,
    what: MatrixTable = "change",
    condition: Condition = FOUND,
    range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw a table of the matrix: whose neurons were ablated x whose questions were asked.

    Changes whose interval excludes 0 are bold. Changes of accuracy with a star are significant by
    ``cell_tests``, corrected for all cells. The diagonal, a culture's own neurons and own
    questions, is outlined.

    Args:
        matrix: The matrix.
        what: ``"change"`` of accuracy, ``"accuracy"``, ``"flips"``, ``"p_change"`` (of the
            probability of the right answer) or ``"p_gold"``.
        condition: ``"found"`` or ``"random"`` neurons.
        range: The ends of the scale, such as ``(-0.3, 0.3)``, to compare figures. By default
            changes reach to the largest one, shares from 0 to 1.

    Raises:
        InputError: No such table, no masks, fewer than two cultures evaluated, or a scale of
            changes whose middle is not 0.

    Example:
        ``ablation_heatmap(matrix, what="flips").show()``
    """
    if what not in TABLES:
        raise unknown("table", what, TABLES)
    if condition not in (FOUND, RANDOM):
        raise unknown("condition", condition, (FOUND, RANDOM))
    check_matrix(matrix)
    table, signed = matrix.table(what, condition), what in ("change", "p_change")
    least = SMALLEST_P_CHANGE if what == "p_change" else SMALLEST_CHANGE
    largest = largest_of(table, least) if signed else 1.0
    span = check_symmetric(range) if signed else range
    stars = stars_of(matrix, condition) if what == "change" else None
    text = cell_texts(matrix, table, what, condition, stars or set())
    hover = hovers(matrix, what, condition)
    figure = go.Figure(cell_map(table, text, hover, largest, signed=signed, span=span))
    hatch(figure, table)
    outline(figure, matrix.masks, matrix.cultures)
    verb, beside = edited(matrix), base_table(what)
    base = [percent(b, int(beside == "p_gold")) for b in matrix.draws(beside, UNMODIFIED)[0, 0]]
    found_for = "neurons found for" if condition == FOUND else "random neurons matched to"
    neurons = whose(matrix.masks).replace("each", "a") if condition == FOUND else "random"
    return styled(
        figure,
        f"{TITLES[what]} when {neurons} neurons are {verb}",
        about(
            matrix.metadata,
            masked(matrix),
            f"cells in {'percentage points' if signed else 'per cent'}",
            INTERVALS + (", in the hover" if not signed else ""),
            BOLD if signed else "",
            STARS if stars is not None else "",
            OUTLINED if matrix.both else "",
        ),
        max(len(table), LEAST_ROWS),
        xaxis={
            **across(matrix.cultures, base),
            "title": {"text": f"asked: questions about (with {TABLES[beside]} {WITHOUT})"},
        },
        yaxis={
            **name_axis(matrix.masks),
            "title": {"text": f"{verb}: {found_for}"},
            "autorange": "reversed",
        },
    )


def base_table(what: MatrixTable) -> MatrixTable:
    """Give the table of the unmodified model that belongs to a table."""
    return "p_gold" if what in ("p_gold", "p_change") else "accuracy"


def stars_of(matrix: AblationMatrix, condition: Condition) -> set[tuple[str, str]] | None:
    """Give the cells that the corrected tests mark; None where they cannot be run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)  # said by the tests, not by a drawing
        try:
            tests = cell_tests(matrix, condition=condition)
        except InputError:
            return None  # answers that are not paired; the subtitle then says nothing of stars
    marks = tests[tests["mark"] == MARK]
    return set(zip(marks["mask"], marks["culture"], strict=True))


def cell_texts(
    matrix: AblationMatrix,
    table: pd.DataFrame,
    what: MatrixTable,
    condition: Condition,
    stars: AbstractSet[tuple[str, str]],
) -> list[list[str]]:
    """Write every cell; changes whose interval excludes 0 are bold."""
    signed = what in ("change", "p_change")
    write: Callable[..., str] = points if signed else percent
    digits = 1 if (signed or what == "p_gold") and len(table.columns) <= 12 else 0
    if what == "p_change":
        digits = max(digits, telling_digits(largest_of(table, 0.0)))
    rows = []
    for mask in matrix.masks:
        cells = [matrix.cell(mask, culture, what, condition) for culture in matrix.cultures]
        texts = ["" if math.isnan(cell.value) else write(cell.value, digits) for cell in cells]
        starred = [(mask, culture) in stars for culture in matrix.cultures]
        triples = zip(texts, cells, starred, strict=True)
        rows.append([marked(*one) if signed else one[0].removesuffix("%") for one in triples])
    return rows


def hovers(matrix: AblationMatrix, what: MatrixTable, condition: Condition) -> list[list[str]]:
    """Write what every cell is: whose neurons and questions, the estimate, and the base."""
    beside, verb = base_table(what), edited(matrix)
    base = matrix.draws(beside, UNMODIFIED)[0, 0]
    note = " (random)" if condition == RANDOM else ""
    return [
        [
            f"{whose_cell(mask, culture, verb, note)}<br>{TABLES[what]}: "
            f"{estimate_text(matrix.cell(mask, culture, what, condition), what)}"
            f"<br>unmodified {TABLES[beside]}: {percent(b, 1)}"
            for culture, b in zip(matrix.cultures, base, strict=True)
        ]
        for mask in matrix.masks
    ]


def edited(matrix: AblationMatrix) -> str:
    """Write what was done to neurons, in one word.

    Example:
        ``edited(matrix)`` gives ``"ablated"``, or ``"doubled"`` where value was ``"double"``
    """
    return "doubled" if matrix.metadata.get("value") == "double" else "ablated"


def masked(matrix: AblationMatrix) -> str:
    """Write what ablated neurons were set to.

    Example:
        ``masked(matrix)`` gives ``"ablated: set to zero"``
    """
    value = matrix.metadata.get("value")
    if value == "double":
        return "doubled: set to twice their value"
    return "" if value is None else f"ablated: set to {value}"


def check_matrix(matrix: AblationMatrix) -> None:
    """Refuse a matrix without masks, without the unmodified model, or of fewer than two cultures.

    Raises:
        InputError: It is one of these.
    """
    conditions = set() if matrix.frame.empty else set(matrix.frame["condition"])
    if not {UNMODIFIED, FOUND} <= conditions:
        raise InputError(
            "this matrix has no records of "
            + ("the unmodified model" if UNMODIFIED not in conditions else "ablated neurons")
            + ": make it with ablation_matrix(model, found, questions)."
        )
    if len(matrix.cultures) < 2:
        raise InputError(
            "this figure compares cultures and needs at least two cultures; the matrix has "
            f"{list(matrix.cultures)}: evaluate on questions of more cultures."
        )


__all__ = ["ablation_heatmap"]
