"""Ask as many questions as an interval needs: a cell stops once its interval is narrow enough.

1. The question groups of every culture are put in an order that depends on their names alone (a
   stable hash), so that the first ones are a sample of all.
2. The first 30 groups are asked; then, look by look, half as many again as before.
3. After each look the interval of every cell (a mask's change on one culture's questions) is made.
   A cell whose half-width is at most ``until`` is asked nothing more.
4. The unmodified model is asked as long as a mask is, and until its own accuracy is as narrow.

Stopping looks at the width of an interval and never at its place, and the interval holds some
answers in advance (``statistics.estimates``), so that it is not narrow by luck while few answers
have changed. Such a rule keeps the interval's coverage asymptotically (Chow and Robbins 1965);
``speed/stopping.py`` shows by simulation that it does so here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.checks import real
from culture_lens.errors import InputError
from culture_lens.prompts.packed import picked, questions_of
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question, stable_hash
from culture_lens.statistics.estimates import (
    CHANGES,
    SHARES,
    Bounds,
    mean_spread,
    quantile,
)

if TYPE_CHECKING:
    import pandas as pd

FIRST_LOOK = 30
"""Question groups of a culture that are asked before its intervals are looked at."""
GROWTH = 1.5
"""Groups asked by one look over those asked by the look before."""
Answer = Callable[[Sequence[Prompt], Sequence[int]], "list[pd.DataFrame]"]
"""Answers prompts under some masks, given by their places; the records of each."""


def half_width(name: str, value: object) -> float:
    """Check for a half-width of an interval: a number above 0 and below 1.

    Example:
        >>> half_width("until", 0.02)
        0.02
    """
    number = float(real(name, value))
    if not 0 < number < 1:
        raise InputError(
            f"{name}={value}: give half the width of an interval, between 0 and 1, such as 0.02."
        )
    return number


def looks(groups: int) -> Iterator[slice]:
    """Give the question groups of each look.

    Example:
        >>> [(look.start, look.stop) for look in looks(80)]
        [(0, 30), (30, 45), (45, 68), (68, 80)]
    """
    start, stop = 0, FIRST_LOOK
    while start < groups:
        yield slice(start, min(stop, groups))
        start, stop = stop, round(GROWTH * stop)


def reach(
    values: Sequence[float | int] | Float[np.ndarray, " item"],
    groups: Sequence[Hashable],
    bounds: Bounds,
) -> float:
    """Give half the width of the interval of a mean, before it is cut off at its bounds.

    Example:
        >>> round(reach([0.0] * 40, list(range(40)), CHANGES), 3)
        0.068
    """
    spread = mean_spread(list(values), groups, bounds=bounds)[1]
    return quantile(spread.freedom) * spread.error


def answer_until(
    prompts: Sequence[Prompt], masks: int, until: float, answer: Answer
) -> list[pd.DataFrame]:
    """Ask questions look by look, each mask on each culture until its interval is narrow enough.

    Args:
        prompts: The prompts.
        masks: How many there are; the first is the unmodified model.
        until: Half the width at which a cell stops.
        answer: Answers prompts under masks.

    Returns:
        The records under each mask; those of the unmodified model hold every question that any
        mask was asked.

    Example:
        ``answer_until(prompts, len(masks), 0.02, answer)``
    """
    import pandas as pd

    cells = groups_in_order(questions_of(prompts))
    most = max(len(groups) for groups in cells.values())
    open_to = [set(cells) for _ in range(masks)]
    held: list[list[pd.DataFrame]] = [[] for _ in range(masks)]
    for look in looks(most):
        open_to[0] = set().union(*open_to)
        # Masks that ask the same cultures are run together, which saves time and changes nothing.
        alike: dict[tuple[str, ...], list[int]] = {}
        for mask, cultures in enumerate(open_to):
            alike.setdefault(tuple(sorted(cultures)), []).append(mask)
        for names, some in alike.items():
            asked = picked(prompts, [at for c in names for group in cells[c][look] for at in group])
            for mask, frame in zip(some, answer(asked, some), strict=True) if asked else ():
                held[mask].append(frame)
        tables = [pd.concat(frames, ignore_index=True) for frames in held]
        for mask, table in enumerate(tables):
            open_to[mask] -= narrow(table, tables[0] if mask else None, until)
        if not set().union(*open_to):
            break
    return tables


def groups_in_order(questions: Sequence[Question]) -> Mapping[str, list[list[int]]]:
    """Give the places of every culture's question groups, in the order in which they are asked."""
    cells: dict[str, dict[str, list[int]]] = {}
    for at, question in enumerate(questions):
        cells.setdefault(question.culture, {}).setdefault(question.group, []).append(at)
    return {
        culture: [
            groups[name] for name in sorted(groups, key=lambda n: (stable_hash(f"until\0{n}"), n))
        ]
        for culture, groups in cells.items()
    }


def narrow(table: pd.DataFrame, base: pd.DataFrame | None, until: float) -> set[str]:
    """Name the cultures whose interval is narrow enough: of the change, or of the accuracy.

    Args:
        table: Records under a mask.
        base: Those of the unmodified model; None where the mask is that.
        until: Half the width.
    """
    values = table["correct"].astype(float)
    if base is not None:
        values = values - table["id"].map(base.set_index("id")["correct"]).astype(float)
    bounds = SHARES if base is None else CHANGES
    enough = set()
    for culture, part in table.assign(value=values).groupby("culture"):
        several = part["group"].nunique() >= FIRST_LOOK
        if several and reach(part["value"].tolist(), part["group"].tolist(), bounds) <= until:
            enough.add(str(culture))
    return enough


__all__ = ["answer_until", "half_width", "looks", "narrow", "reach"]
