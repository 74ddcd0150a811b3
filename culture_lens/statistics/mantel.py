"""The Mantel test: correlation of two tables of distances between the same cultures."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def mantel_null(
    ours: Float[np.ndarray, " pair"],
    theirs: Float[np.ndarray, "culture culture"],
    orders: Int[np.ndarray, "order culture"],
) -> Float[np.ndarray, " order"]:
    """Correlate the pairs of one table with those of another whose cultures are permuted."""
    one, other = np.triu_indices(theirs.shape[0], 1)
    centred = ours - ours.mean()
    with np.errstate(invalid="ignore"):
        centred = centred / np.sqrt((centred**2).sum())
    spread = theirs[one, other]
    scaled = (theirs - spread.mean()) / np.sqrt(((spread - spread.mean()) ** 2).sum())
    null = np.zeros(len(orders))
    for weight, a, b in zip(centred, one, other, strict=True):
        null += weight * scaled[orders[:, a], orders[:, b]]
    return null


def mean_of_both(draws: Float[np.ndarray, "draw mask culture"]) -> Float[np.ndarray, "draw pair"]:
    """Average the two directions of every pair.

    Example:
        >>> mean_of_both(np.array([[[0.0, 1.0], [3.0, 0.0]]])).tolist()
        [[2.0]]
    """
    one, other = np.triu_indices(draws.shape[1], 1)
    pairs: np.ndarray = (draws[:, one, other] + draws[:, other, one]) / 2
    return pairs


def square(pairs: Float[np.ndarray, " pair"]) -> Float[np.ndarray, "culture culture"]:
    """Lay pairs out as a symmetric table with zeros on the diagonal.

    Example:
        >>> square(np.array([1.0])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    from scipy.spatial.distance import squareform

    table: np.ndarray = squareform(pairs)
    return table
