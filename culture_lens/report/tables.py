"""The tables of an ablation matrix as text: what the heat maps show, to read, sort and copy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.plots.style import DASH, clear, percent, points
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    from culture_lens.experiments.conditions import Condition, MatrixTable

MOST_COLUMNS = 26
"""Columns of numbers that an A4 page on its side has room for."""
UPRIGHT_COLUMNS = 8
"""Columns of numbers that an upright A4 page has room for."""
TABLES: tuple[tuple[MatrixTable, Condition, str], ...] = (
    ("change", FOUND, "Change in accuracy, points"),
    ("flips", FOUND, "Answers that change, per cent"),
    ("change", RANDOM, "Change in accuracy under random neurons, points"),
)


def matrix_tables(matrix: AblationMatrix) -> list[dict[str, Any]]:
    """Write the tables of a matrix: whose neurons were ablated x whose questions were asked.

    A table of more columns than a page has room for becomes several.

    Returns:
        Per table ``title``, ``columns``, ``rows`` of ``name`` and ``cells``, and ``wide``: whether
        it is printed on the side of the paper.

    Example:
        ``matrix_tables(matrix)[0]["rows"]``
    """
    tables = []
    for what, condition, title in TABLES:
        if condition == RANDOM and not matrix.has_random:
            continue
        write: Callable[..., str] = points if what == "change" else percent
        for number, cultures in enumerate(parts := in_parts(list(matrix.cultures)), start=1):
            part = f" (part {number} of {len(parts)})" if len(parts) > 1 else ""
            rows = [
                {
                    "name": mask,
                    "cells": [
                        entry(matrix.cell(mask, culture, what, condition), write, what == "change")
                        | {"own": mask == culture}
                        for culture in cultures
                    ],
                }
                for mask in matrix.masks
            ]
            wide = len(cultures) > UPRIGHT_COLUMNS
            tables.append({"title": title + part, "columns": cultures, "rows": rows, "wide": wide})
    return tables


def in_parts(names: list[str], most: int = MOST_COLUMNS) -> list[list[str]]:
    """Divide names into parts of nearly the same length, each of at most so many.

    Example:
        >>> in_parts(["a", "b", "c"], 2)
        [['a', 'b'], ['c']]
    """
    size = math.ceil(len(names) / math.ceil(len(names) / most)) if names else 1
    return [names[start : start + size] for start in range(0, len(names), size)]


def entry(estimate: Estimate, write: Callable[..., str], signed: bool) -> dict[str, Any]:
    """Write one estimate of a table, with its interval."""
    if math.isnan(estimate.value):
        return {"value": DASH, "interval": "", "excludes_0": False}
    low, high = write(estimate.low, 1), write(estimate.high, 1)
    held = not math.isnan(estimate.low + estimate.high)
    return {
        "value": write(estimate.value, 1),
        "interval": f"{low} to {high}" if held else "",
        "excludes_0": signed and clear(estimate),
    }
