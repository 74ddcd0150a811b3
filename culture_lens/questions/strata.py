"""Strata: other differences between cultures' questions, and how large they are.

If one culture is asked about food and another about sport, neurons for food look like neurons
of the first culture. ``strata`` makes every statistic compare cultures within topics (or types of
picture, lengths, or anything else known about the questions), each stratum with the same weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from culture_lens.checks import check_arguments, names, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.questions.question import QUESTIONS, Question, check_questions

if TYPE_CHECKING:
    import pandas as pd

LENGTH, QUANTILES = "length", 4
COLUMNS = ("category", "benchmark", "split", "group", LENGTH)
"""What every question has; keys of ``metadata`` can be used as well."""


def column_of(questions: Sequence[Question], name: str) -> list[str]:
    """The value of a column for each question, as text.

    Args:
        questions: The questions.
        name: ``"category"``, ``"benchmark"``, ``"split"``, ``"group"``, a key of the questions'
            metadata such as ``"image_type"``, or ``"length"``: quarters of the length of text and
            options in characters.

    Raises:
        InputError: A name that a question does not have.

    Example:
        ``column_of(questions, "length")``
    """
    if name == LENGTH:
        sizes = np.array([len(q.text) + sum(map(len, q.options)) for q in questions])
        bounds = np.quantile(sizes, np.arange(1, QUANTILES) / QUANTILES)
        return [f"quarter {1 + int(at)}" for at in np.searchsorted(bounds, sizes, side="left")]
    if name in {field.name for field in fields(Question)} & set(COLUMNS):
        return [str(getattr(question, name)) for question in questions]
    for question in questions:
        if name not in question.metadata:
            known = sorted({*COLUMNS, *question.metadata})
            raise InputError(f"{unknown('column', name, known)} (question {question.id!r})")
    return [str(question.metadata[name]) for question in questions]


@check_arguments(questions=QUESTIONS, strata=names)
def strata_of(questions: Sequence[Question], strata: str | Sequence[str]) -> list[str]:
    """The stratum of each question; several columns are crossed.

    Strata in which a culture has no question cannot be compared: their questions are not counted,
    with a warning.

    Raises:
        InputError: An unknown column, or no stratum that every culture has.

    Example:
        ``strata_of(questions, ["category", "length"])``
    """
    check_questions(questions, min_cultures=1)
    by = [strata] if isinstance(strata, str) else list(strata)
    columns = [column_of(questions, name) for name in by]
    cells = [" / ".join(parts) for parts in zip(*columns, strict=True)]
    have: dict[str, set[str]] = {}
    for question, cell in zip(questions, cells, strict=True):
        have.setdefault(cell, set()).add(question.culture)
    cultures = {question.culture for question in questions}
    partial = {cell: cultures - held for cell, held in have.items() if held != cultures}
    if len(partial) == len(have):
        cell, lacking = min(partial.items(), key=lambda pair: (len(pair[1]), pair[0]))
        raise InputError(
            f"no stratum by {', '.join(by)} has questions of every culture; {cell!r} comes "
            f"nearest and lacks {', '.join(sorted(lacking))}: leave these cultures out, or take "
            "coarser strata."
        )
    if partial:
        lost = sum(cell in partial for cell in cells)
        warn(
            f"{lost} of {len(cells)} items are not counted: their strata "
            f"({', '.join(sorted(partial)[:5])}{', ...' if len(partial) > 5 else ''}) lack a "
            "culture."
        )
    return cells


@check_arguments(questions=QUESTIONS, column=text)
def relabelled(questions: Sequence[Question], column: str) -> list[Question]:
    """Replace the culture of questions by another label: a decoy contrast.

    What a selector finds for topics or picture types shows what it finds for any difference
    between questions.

    Raises:
        InputError: An unknown column, or one with a single value.

    Example:
        ``find_culture_neurons(model, relabelled(questions, "category"))``
    """
    check_questions(questions, min_cultures=1)
    labels = column_of(questions, column)
    if len(set(labels)) < 2:
        raise InputError(f"column {column!r} has the one value {labels[0]!r}: nothing to contrast.")
    return [
        replace(q, culture=label or "(empty)", metadata={**q.metadata, "culture": q.culture})
        for q, label in zip(questions, labels, strict=True)
    ]


@check_arguments(questions=QUESTIONS, columns=names)
def balance_table(
    questions: Sequence[Question], columns: Sequence[str] = ("category", LENGTH)
) -> pd.DataFrame:
    """How much cultures' questions differ in other columns than the culture.

    Returns:
        One row per column: ``values``, how many; ``cramers_v``, from 0 (independent of the
        culture) to 1 (determined by it), corrected for chance (Bergsma 2013); ``p``
        of the chi-squared test, items of one group, culture and value counting once;
        ``smallest``, fewest items of a culture in a value.

    Raises:
        InputError: An unknown column, or fewer than two cultures.

    Example:
        ``balance_table(load_benchmark("everyday"))``
    """
    import pandas as pd
    from scipy.stats import chi2_contingency

    if len({question.culture for question in questions}) < 2:
        raise InputError("balance is between cultures: give questions of two or more.")
    rows = {}
    for name in columns:
        labels = column_of(questions, name)
        units = {(q.group, q.culture, v) for q, v in zip(questions, labels, strict=True)}
        counts = pd.crosstab([c for _, c, _ in units], [v for _, _, v in units]).to_numpy()
        items = pd.crosstab([q.culture for q in questions], labels).to_numpy()
        tested = chi2_contingency(counts, correction=False) if counts.shape[1] > 1 else None
        rows[name] = {
            "values": counts.shape[1],
            "cramers_v": cramers_v(counts, float(tested.statistic)) if tested else 0.0,
            "p": float(tested.pvalue) if tested else 1.0,
            "smallest": int(items.min()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def cramers_v(table: np.ndarray, chi2: float) -> float:
    """Cramer's V, corrected for bias (Bergsma 2013).

    Example:
        >>> cramers_v(np.array([[50, 0], [0, 50]]), 100.0)
        1.0
    """
    n, (rows, columns) = table.sum(), table.shape
    phi = max(0.0, chi2 / n - (rows - 1) * (columns - 1) / (n - 1))
    rows = rows - (rows - 1) ** 2 / (n - 1)
    columns = columns - (columns - 1) ** 2 / (n - 1)
    least = min(rows, columns) - 1
    return float(np.sqrt(phi / least)) if least > 0 else 0.0


__all__ = ["balance_table", "column_of", "relabelled", "strata_of"]
