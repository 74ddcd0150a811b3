"""Means of records in the cells of a table, and of cells, with what their intervals need."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from culture_lens.statistics.estimates import (
    CHANGES,
    UNBOUNDED,
    Bounds,
    Estimate,
    Spread,
    clustered_spread,
)
from culture_lens.statistics.random_sets import with_sets
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

Axes = Mapping[str, Sequence[str]]
"""The columns that span a table, with their values in order."""


@dataclass(frozen=True, eq=False, repr=False)
class Means(Shown):
    """Means of cells; means and differences of them are made row by row.

    Attributes:
        rows: The value of every cell, then the influence of every question group on it; NaN where
            a cell has no record.
        sizes: Number of records of every group in every cell.
        variance: Variance of the records of every cell about their mean.
        alike: Design effect of every cell whose groups' records are all alike.
        bounds: The least and greatest value of a record, where records are counted.
        ends: Whether intervals end at the bounds; those of a difference of cells need not.

    Example:
        ``matrix.means("change").at(0, 0).estimate()``
    """

    rows: Float[np.ndarray, "value_and_group ..."]
    sizes: Float[np.ndarray, "group ..."]
    variance: Float[np.ndarray, ...]
    alike: Float[np.ndarray, ...]
    bounds: Bounds
    ends: bool = True

    def _headline(self) -> str:
        shape = " x ".join(map(str, self.values.shape)) or "one"
        return f"Means: {shape} cells, {len(self.sizes)} question groups"

    def _facts(self) -> dict[str, object]:
        return {"bounds": self.bounds}

    def to_pandas(self) -> pd.DataFrame:
        """List the cells: their places, then value, low and high."""
        import pandas as pd

        places = list(np.ndindex(self.values.shape))
        estimates = [asdict(self.at(*place).estimate()) for place in places]
        axes = [{f"axis {axis}": at for axis, at in enumerate(place)} for place in places]
        return pd.DataFrame([{**a, **e} for a, e in zip(axes, estimates, strict=True)])

    @property
    def values(self) -> Float[np.ndarray, ...]:
        """The values alone."""
        values: np.ndarray = self.rows[0]
        return values

    def at(self, *places: Any) -> Means:
        """Choose cells, with numpy's indices."""
        inner = (slice(None), *places)
        rows, sizes = self.rows[inner], self.sizes[inner]
        variance, alike = self.variance[places], self.alike[places]
        return replace(self, rows=rows, sizes=sizes, variance=variance, alike=alike)

    def without(self, cells: tuple[Sequence[int], Sequence[int]]) -> Means:
        """Take single cells out: NaN, without records."""
        rows, sizes = self.rows.copy(), self.sizes.copy()
        variance, alike = self.variance.copy(), self.alike.copy()
        inner = (slice(None), *cells)
        rows[inner] = variance[cells] = alike[cells] = np.nan
        sizes[inner] = 0
        return replace(self, rows=rows, sizes=sizes, variance=variance, alike=alike)

    def minus(self, other: Means) -> Means:
        """Subtract cell by cell; paired, because the influences are subtracted too."""
        bounds = UNBOUNDED if self.bounds == UNBOUNDED else CHANGES
        return replace(self, rows=self.rows - other.rows, bounds=bounds, ends=False)

    def over_cultures(self) -> Means:
        """Average the last axis, whose cells have different records."""
        return self._averaged(-1, self.sizes.sum(-1))

    def over_masks(self, axis: int = -2) -> Means:
        """Average an axis of masks, whose cells have the same records, answered again."""
        held = np.maximum((self.sizes.sum(0) > 0).sum(axis), 1)
        return self._averaged(axis, self.sizes.sum(axis) / held)

    def _averaged(self, axis: int, sizes: Float[np.ndarray, "group ..."]) -> Means:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # there may be no cell
            rows, variance, alike = (
                np.nanmean(own, axis) for own in (self.rows, self.variance, self.alike)
            )
        return replace(self, rows=rows, sizes=sizes, variance=variance, alike=alike)

    def spread(self) -> Spread:
        """Give the spread of a single cell."""
        spread = clustered_spread(
            float(self.rows[0]),
            self.rows[1:],
            self.sizes,
            float(self.variance),
            self.bounds,
            float(self.alike),
        )
        return spread if self.ends else replace(spread, bounds=UNBOUNDED)

    def estimate(self) -> Estimate:
        """Give a single cell with its interval."""
        return self.spread().estimate(float(self.rows[0]))

    def estimates(self) -> list[Estimate]:
        """Give the cells of one axis with their intervals."""
        return [self.at(place).estimate() for place in range(self.rows.shape[1])]


def cell_sums(
    frame: pd.DataFrame, column: str, axes: Axes, groups: Sequence[str]
) -> Float[np.ndarray, "power group ..."]:
    """Give the number of records, the sum of a column, and of its squares, in every cell.

    Args:
        frame: The records, with a column ``group``; those without a value are left out.
        column: What to sum.
        axes: The columns that span the table, with their values in order.
        groups: The question groups, in order.

    Returns:
        The sums of powers 0, 1 and 2, group by group.
    """
    frame = frame[frame[column].notna()]
    order = {"group": groups, **axes}
    shape = tuple(len(values) for values in order.values())
    where = [
        frame[name].map({value: place for place, value in enumerate(values)}).to_numpy(dtype=int)
        for name, values in order.items()
    ]
    places, cells = np.ravel_multi_index(where, shape), math.prod(shape)
    values = frame[column].to_numpy(dtype=float)
    powers = [np.ones_like(values), values, values**2]
    sums = [np.bincount(places, power, cells).astype(float) for power in powers]
    return np.stack([own.reshape(shape) for own in sums])


def cell_means(
    frame: pd.DataFrame,
    column: str,
    axes: Axes,
    groups: Sequence[str],
    weights: Float[np.ndarray, "draw group"],
) -> Float[np.ndarray, "draw ..."]:
    """Give the mean of a column in every cell of a table, for every draw of question groups.

    Args:
        frame: The records; see ``cell_sums``.
        column: What to average.
        axes: The columns that span the table, with their values in order.
        groups: The question groups, in the order of the weights.
        weights: How often each draw has each group; see ``value_and_draws``.

    Returns:
        NaN where a draw has no record of a cell.
    """
    sizes, sums, _ = cell_sums(frame, column, axes, groups)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = np.tensordot(weights, sums, 1) / np.tensordot(weights, sizes, 1)
    return means


def means_of(
    frame: pd.DataFrame, column: str, axes: Axes, groups: Sequence[str], bounds: Bounds
) -> Means:
    """Average a column in every cell of a table, with the influence of every question group."""
    sizes, sums, squares = cell_sums(frame, column, axes, groups)
    total = sizes.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = sums.sum(0) / total
        influences = (sums - sizes * values) / total
        variance = np.maximum(squares.sum(0) / total - values**2, 0.0)
        alike = (sizes**2).sum(0) / total
    return Means(np.concatenate([values[None], influences]), sizes, variance, alike, bounds)


def beyond_sets(found: Means, sets: Sequence[Means]) -> tuple[float, Spread]:
    """Give found minus the mean of random sets, with its spread over questions and sets.

    Args:
        found: One cell, or a mean of cells, under the found set.
        sets: The same under every random set.
    """
    mean = replace(found, rows=np.mean([one.rows for one in sets], 0))
    difference = replace(found.minus(mean), ends=found.ends)
    spread = with_sets(difference.spread(), [float(one.rows[0]) for one in sets])
    return float(difference.rows[0]), spread
