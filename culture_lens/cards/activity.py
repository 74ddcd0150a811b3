r"""How a neuron fires on some items: P, magnitude, and intervals clustered by question group.

Over the counted tokens of items i, with k_i of t_i tokens positive and s_i the sum of activations,
P = sum k_i / sum t_i and the magnitude is sum s_i / sum t_i: the numbers that selectors read. Both
are ratios of sums. Their intervals are those of the mean of their linearised values,
P + (k_i - P t_i) / (mean of t_i), whose mean is P (Cochran 1977, section 6).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from culture_lens.cards.naming import name_tokens, names_country
from culture_lens.cards.records import Activity
from culture_lens.cards.tokens import ItemTokens
from culture_lens.prompts.prompt import Role
from culture_lens.statistics.estimates import UNBOUNDED, Estimate, mean_spread

MOST_CATEGORIES = 12
NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


def activity(
    label: str,
    items: Sequence[ItemTokens],
    row: int,
    counts: Callable[[ItemTokens], np.ndarray] | None = None,
) -> Activity:
    """Sum up how a neuron fires on some items.

    Args:
        label: Which items.
        items: The items.
        row: The neuron's row of their values.
        counts: Marks the tokens that count; those that were recorded as counted by default.
    """
    held = []
    for item in items:
        inside = item.counted if counts is None else counts(item)
        if inside.any():
            values = item.values[row][inside].astype(float)
            group, highest = item.question.group, max(values.max(), 0.0)
            held.append(((values > 0).sum(), values.sum(), len(values), group, highest))
    if not held:
        return Activity(label, 0, NOTHING, NOTHING)
    positive, sums, tokens, groups, highs = (list(column) for column in zip(*held, strict=True))
    sizes = np.array(tokens, dtype=float)
    active = ratio(np.array(positive, dtype=float), sizes, groups)
    within = Estimate(active.value, max(active.low, 0.0), min(active.high, 1.0))
    square = float(np.square(highs).mean())
    varying = max(0.0, 1 - float(np.mean(highs)) ** 2 / square) if square else 0.0
    return Activity(label, len(held), within, ratio(np.array(sums), sizes, groups), varying)


def ratio(
    sums: Float[np.ndarray, " item"], sizes: Float[np.ndarray, " item"], groups: Sequence[str]
) -> Estimate:
    """Estimate a ratio of sums over items, its interval clustered by group.

    Example:
        >>> sums, sizes = np.array([1.0, 2.0, 1.0, 4.0]), np.array([2.0, 4.0, 4.0, 6.0])
        >>> print(ratio(sums, sizes, list("abcd")))
        0.500 [0.175, 0.825]
    """
    value = float(sums.sum() / sizes.sum())
    return quiet_mean(value + (sums - value * sizes) / sizes.mean(), groups)


def quiet_mean(values: Float[np.ndarray, " item"], groups: Sequence[str]) -> Estimate:
    """Estimate a mean of measured values; below four groups without an interval or a warning."""
    if len(set(groups)) < 4:
        mean = float(np.mean(values))
        return Estimate(mean, float("nan"), float("nan"))
    mean, spread = mean_spread(list(map(float, values)), groups, bounds=UNBOUNDED)
    return spread.estimate(mean)


def by_culture(items: Sequence[ItemTokens], row: int) -> tuple[Activity, ...]:
    """Sum up each culture's items, in alphabetical order."""
    names = sorted({item.question.culture for item in items})
    return tuple(
        activity(name, [item for item in items if item.question.culture == name], row)
        for name in names
    )


def by_part(items: Sequence[ItemTokens], row: int) -> tuple[Activity, ...]:
    """Sum up the tokens of pictures and those of texts, apart; nothing without pictures."""
    if not any((item.roles == Role.IMAGE).any() for item in items):
        return ()
    text = (Role.QUESTION, Role.OPTIONS)
    return (
        activity("picture", items, row, lambda item: item.roles == Role.IMAGE),
        activity("text", items, row, lambda item: np.isin(item.roles, text)),
    )


def by_category(items: Sequence[ItemTokens], row: int) -> tuple[Activity, ...]:
    """Sum up the items of each category, those with the highest P first."""
    names = sorted({item.question.category for item in items} - {""})
    rows = [activity(n, [i for i in items if i.question.category == n], row) for n in names]
    rows.sort(key=lambda one: -one.active.value)
    return tuple(rows[:MOST_CATEGORIES])


def by_name(items: Sequence[ItemTokens], row: int) -> tuple[Activity, ...]:
    """Sum up items with and without their country's name, and in the first its tokens and others.

    Nothing where no item names it; no items without it where all do.
    """
    named = [item for item in items if names_country(item)]
    if not named:
        return ()
    others = [item for item in items if not names_country(item)]
    rows = (
        activity("items that name the country", named, row),
        activity("items that do not", others, row),
        activity("tokens of the name", named, row, name_tokens),
        activity("tokens beside it", named, row, lambda item: item.counted & ~name_tokens(item)),
    )
    return tuple(one for one in rows if one.items)
