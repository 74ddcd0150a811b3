"""Means of records and of cultures, with their bootstrap draws: the value first, then the draws."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.statistics.estimates import Estimate, interval

if TYPE_CHECKING:
    import pandas as pd


def cell_means(
    frame: pd.DataFrame,
    column: str,
    axes: Mapping[str, Sequence[str]],
    groups: Sequence[str],
    weights: Float[np.ndarray, "draw group"],
) -> Float[np.ndarray, "draw ..."]:
    """Give the mean of a column in every cell of a table, for every draw of question groups.

    Args:
        frame: The records, with a column ``group``.
        column: What to average.
        axes: The columns that span the table, with their values in order.
        groups: The question groups, in the order of the weights.
        weights: How often each draw has each group; see ``value_and_draws``.

    Returns:
        NaN where a draw has no record of a cell.
    """
    order = {"group": groups, **axes}
    where = tuple(
        frame[name].map({value: place for place, value in enumerate(values)})
        for name, values in order.items()
    )
    sums, sizes = (np.zeros([len(values) for values in order.values()]) for _ in range(2))
    np.add.at(sums, where, frame[column].to_numpy(dtype=float))
    np.add.at(sizes, where, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = np.tensordot(weights, sums, 1) / np.tensordot(weights, sizes, 1)
    return means


def mean_of(draws: Float[np.ndarray, "draw culture"]) -> Estimate:
    """Estimate the mean over cultures.

    Example:
        >>> mean_of(np.array([[1.0, 3.0], [1.0, 3.0]]))
        Estimate(value=2.0, low=2.0, high=2.0)
    """
    means = np.nanmean(draws, 1)
    return interval(float(means[0]), means[1:])


def with_mean(draws: Float[np.ndarray, "draw culture"]) -> Float[np.ndarray, "draw column"]:
    """Add the mean over cultures as the last column, over those that a draw has.

    Example:
        >>> with_mean(np.array([[1.0, 3.0]])).tolist()
        [[1.0, 3.0, 2.0]]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a draw may leave no culture
        return np.concatenate([draws, np.nanmean(draws, 1, keepdims=True)], 1)
