"""How well vectors fitted on two halves of the question groups agree, as a cosine with an interval.

1. Groups are dealt at random into at most 20 blocks; sums are kept per block.
2. The blocks are halved at random, many times. Question groups are independent draws, so any half
   of them is a smaller study of the same kind; all cultures are halved alike, because cultures
   share groups. The vectors of the two halves have a cosine, and its mean over the halvings is
   what one would expect of two independent studies of half the size.
3. Its interval is that of the delete-a-block jackknife (Efron 1982), on the scale of artanh, with
   Student's t at one less degree of freedom than there are blocks.

Below four blocks the interval is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from culture_lens.statistics.estimates import FEWEST_GROUPS, Estimate, Spread

MOST_BLOCKS = 20
HALVINGS = 100
NEAREST = 1 - 1e-12
"""The cosine that stands for 1, whose artanh is infinite."""

Difference = Callable[[np.ndarray], np.ndarray]
"""From means, ``culture width`` in the last two axes, to vectors of the same shape."""


def blocks_of(groups: Sequence[str], seed: int = 0) -> dict[str, int]:
    """Deal groups at random into blocks of about the same number of groups.

    Example:
        >>> sorted(blocks_of(["a", "b", "b"]).values())
        [0, 1]
    """
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    return {names[at]: place % MOST_BLOCKS for place, at in enumerate(order)}


def halvings(blocks: int, draws: int = HALVINGS, seed: int = 0) -> Bool[np.ndarray, "draw block"]:
    """Draw halves of the blocks: True in one half, False in the other.

    Example:
        >>> halvings(4, draws=2).sum(1).tolist()
        [2, 2]
    """
    source = np.random.default_rng(seed)
    return np.argsort(source.random((draws, blocks)), axis=1) < blocks // 2


def half_means(
    weights: Float[np.ndarray, "draw block"],
    sums: Float[np.ndarray, "culture block width"],
    counts: Float[np.ndarray, "culture block"],
) -> Float[np.ndarray, "draw culture width"]:
    """Give every culture's mean over the weighted blocks; NaN where they hold none of its items."""
    with np.errstate(invalid="ignore", divide="ignore"):
        held: np.ndarray = np.einsum("db,cbw->dcw", weights, sums, optimize=True)
        means: np.ndarray = held / (weights @ counts.T)[:, :, None]
    return means


def mean_cosines(
    first: Float[np.ndarray, "draw block"],
    second: Float[np.ndarray, "draw block"],
    sums: Float[np.ndarray, "culture block width"],
    counts: Float[np.ndarray, "culture block"],
    difference: Difference,
) -> Float[np.ndarray, " culture"]:
    """Give the cosine of both halves' vectors, its mean over the halvings that have both."""
    one, other = (difference(half_means(half, sums, counts)) for half in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
        cosines = (one * other).sum(-1) / lengths
    known = np.isfinite(cosines)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.where(known, cosines, 0).sum(0) / known.sum(0)
    return mean


def split_half_cosines(
    sums: Float[np.ndarray, "culture block width"],
    counts: Float[np.ndarray, "culture block"],
    difference: Difference,
    *,
    seed: int = 0,
) -> list[Estimate]:
    """Estimate how well two halves of the question groups agree on each culture's vector.

    Args:
        sums: The sum of the items' vectors, per culture and block.
        counts: The number of items.
        difference: Makes the vectors of the cultures from their means.
        seed: Draws the halvings.

    Returns:
        A cosine for each culture; NaN where a half holds none of its items.

    Example:
        >>> sums = np.ones((1, 4, 3))
        >>> print(split_half_cosines(sums, np.ones((1, 4)), lambda means: means)[0])
        1.000 [1.000, 1.000]
    """
    blocks = counts.shape[1]
    half = halvings(blocks, seed=seed)
    first, second = half.astype(float), (~half).astype(float)
    whole = mean_cosines(first, second, sums, counts, difference)
    if blocks < FEWEST_GROUPS:
        return [Estimate(float(value), float("nan"), float("nan")) for value in whole]
    without = np.stack(
        [
            mean_cosines(first * kept, second * kept, sums, counts, difference)
            for kept in 1 - np.eye(blocks)
        ]
    )
    z, each = (np.arctanh(np.clip(cosine, -NEAREST, NEAREST)) for cosine in (whole, without))
    errors = np.sqrt((blocks - 1) / blocks * ((each - each.mean(0)) ** 2).sum(0))
    return [
        on_cosine_scale(float(value), Spread(float(at), float(error), blocks - 1.0))
        for value, at, error in zip(whole, z, errors, strict=True)
    ]


def on_cosine_scale(value: float, spread: Spread) -> Estimate:
    """Turn an interval of artanh of a cosine into one of the cosine."""
    held = spread.estimate(spread.centre)
    return Estimate(value, float(np.tanh(held.low)), float(np.tanh(held.high)))
