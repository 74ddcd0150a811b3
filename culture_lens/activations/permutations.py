"""Permutations of culture labels, between whole cells that could have had each other's label.

A **cell** is all items of one culture in one question group. They share their text and are not
independent, so a label goes to a whole cell, never to an item.

* **What exchanges labels**: the cells of a group of several cultures, within the group, so that
  cultures are compared on the same questions. A group of one culture is one cell, and exchanges its
  label with other such groups.
* **Cells of unequal size** do not: only cells with the same number of items in every stratum do. A
  culture's mean over cells of five items is steadier than over single items; with labels exchanged
  between them, permutations would not vary as the data do. So every culture keeps its number of
  items, in total and in each stratum, and the null distribution is right whether or not the number
  of items goes with the culture. A cell without a like one keeps its label, with a warning where
  these are most of the items.
* **Arrangements**: labels that differ only in the names of cultures are one arrangement of the
  cells, and give as many discoveries. Permutations are drawn without replacement from the
  arrangements other than the data's: with few of them, repeats would hide any effect. Where there
  are fewer arrangements than permutations asked for, the design is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count

import numpy as np
from jaxtyping import Bool, Int

from culture_lens.errors import InputError, warn
from culture_lens.questions.question import Question, stable_hash


def seed_of(name: str) -> int:
    """Turn a name into a seed of numpy's legacy generator, the same on every machine."""
    return stable_hash(name) % 2**32


Cell = list[int]
"""The items of one culture in one question group."""
ExchangeSets = dict[str, list[list[Cell]]]
"""Name of a stream of random numbers -> the sets of cells that exchange labels with each other."""


def exchange_sets(
    questions: Sequence[Question], strata: Sequence[str], counted: Bool[np.ndarray, " item"]
) -> ExchangeSets:
    """List the cells that may exchange labels: of one group, or alone in theirs, and alike in size.

    Items that are not counted are in no cell.
    """
    groups: dict[str, dict[str, Cell]] = {}
    for row in sorted(np.flatnonzero(counted).tolist(), key=lambda row: questions[row].id):
        question = questions[row]
        groups.setdefault(question.group, {}).setdefault(question.culture, []).append(row)
    sets: dict[str, dict[tuple[str, ...], list[Cell]]] = {}
    for group, cells in sorted(groups.items()):
        within = f"/{group}" if len(cells) > 1 else ""
        for rows in cells.values():
            held = tuple(sorted(strata[row] for row in rows))
            name = "/".join(sorted(set(held))) + within
            sets.setdefault(name, {}).setdefault(held, []).append(rows)
    return {name: [alike[key] for key in sorted(alike)] for name, alike in sorted(sets.items())}


def draw_permutations(
    labels: Int[np.ndarray, " item"],
    counted: Bool[np.ndarray, " item"],
    sets: ExchangeSets,
    number: int,
    seed: int,
) -> Int[np.ndarray, "permutation item"]:
    """Draw permutations of labels, each another arrangement of the cells than the data's.

    Raises:
        InputError: There are too few arrangements.
    """
    if not number:
        return np.empty((0, len(labels)), dtype=labels.dtype)
    table = cells_by_culture(labels, sets)
    renamed: dict[tuple[int, ...], list[int]] = {}
    for culture, cells in enumerate(table.T.tolist()):
        renamed.setdefault(tuple(cells), []).append(culture)
    alike = list(renamed.values())
    check_arrangements(table, alike, number)
    say_if_fixed(labels, counted, sets)
    seen, found = {arrangement(labels[counted], alike)}, []
    for attempt in count():
        permuted = permute(labels, sets, f"{seed}/{attempt}")
        if (form := arrangement(permuted[counted], alike)) not in seen:
            seen.add(form)
            found.append(permuted)
        if len(found) == number:
            break
    return np.stack(found)


def permute(labels: Int[np.ndarray, " item"], sets: ExchangeSets, key: str) -> np.ndarray:
    """Permute labels among the cells of every set.

    Example:
        >>> permute(np.array([0, 0, 1]), {"": [[[0, 1], [2]]]}, "1").tolist() in (
        ...     [0, 0, 1], [1, 1, 0])
        True
    """
    changed: np.ndarray = labels.copy()
    for name, exchanging in sets.items():
        chance = np.random.RandomState(seed_of(f"{key}/{name}"))
        for cells in exchanging:
            dealt = chance.permutation([labels[rows[0]] for rows in cells])
            for rows, label in zip(cells, dealt, strict=True):
                changed[rows] = label
    return changed


def cells_by_culture(
    labels: Int[np.ndarray, " item"], sets: ExchangeSets
) -> Int[np.ndarray, "set culture"]:
    """Count the cells of every culture in every set."""
    counts = [
        np.bincount([labels[rows[0]] for rows in cells], minlength=labels.max() + 1)
        for cells in chain.from_iterable(sets.values())
    ]
    return np.array(counts, dtype=int).reshape(-1, labels.max() + 1)


def arrangement(labels: Int[np.ndarray, " item"], alike: Sequence[list[int]]) -> bytes:
    """Name an arrangement of labels: the same for labels that differ in cultures' names alone.

    Args:
        labels: The labels.
        alike: Cultures with the same cells in every set, which can be renamed into each other.

    Example:
        >>> both = [[0, 1]]
        >>> arrangement(np.array([0, 1, 1]), both) == arrangement(np.array([1, 0, 0]), both)
        True
    """
    cultures, first = np.unique(labels, return_index=True)
    order = dict(zip(cultures.tolist(), first.tolist(), strict=True))
    names = np.empty(max(order) + 1, dtype=np.int64)
    for same in alike:
        names[sorted(same, key=lambda culture: order[culture])] = same
    named: bytes = names[labels].tobytes()
    return named


def check_arrangements(
    table: Int[np.ndarray, "set culture"], alike: Sequence[list[int]], permutations: int
) -> None:
    """Refuse labels that have too few arrangements.

    Raises:
        InputError: They have, with the remedy.
    """
    from scipy.special import gammaln

    ways = float((gammaln(table.sum(1) + 1) - gammaln(table + 1).sum(1)).sum())
    ways -= sum(float(gammaln(len(same) + 1)) for same in alike)
    if ways > np.log(permutations + 0.5):
        return
    number = max(1, round(np.exp(ways)))
    raise InputError(
        f"labels cannot be permuted {permutations} times: apart from the names of cultures there "
        f"{'is 1 arrangement' if number == 1 else f'are {number} arrangements'}, the data's own "
        "included. Labels are exchanged between cells (all items of one culture in one question "
        "group) that have as many items in every stratum, within groups of several cultures or "
        "between groups of one. Give more question groups, as many items of every culture in a "
        "group (one of each will do), coarser strata, or fewer replicates (fdr= needs 19)."
    )


def say_if_fixed(
    labels: Int[np.ndarray, " item"], counted: Bool[np.ndarray, " item"], sets: ExchangeSets
) -> None:
    """Warn where most items keep their label in every permutation."""
    fixed = sum(
        sum(map(len, cells))
        for cells in chain.from_iterable(sets.values())
        if len({int(labels[rows[0]]) for rows in cells}) == 1
    )
    if fixed > counted.sum() / 2:
        warn(
            f"{fixed} of {counted.sum()} items keep their culture in every permutation, since no "
            "other culture has as many items in their question group and strata: tests lose power. "
            "Give as many items of every culture in a group, or coarser strata."
        )


__all__ = ["draw_permutations", "exchange_sets", "seed_of"]
