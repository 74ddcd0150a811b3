"""Cultures that lose accuracy together when the neurons of one are ablated.

The change C[m,e] on the questions of culture e under the mask of culture m has three parts: the
effect of a mask on all cultures, the effect of all masks on a culture, and the rest. Only the rest
shows that two cultures share something. As in the social relations model of round-robin data
(Warner, Kenny and Stoto 1979), for m != e,

    C[m,e] = mean + mask[m] + culture[e] + relation[m,e]

is fitted by least squares over the pairs; the relation is the residual. A negative relation means
that e loses more under the mask of m than the first two parts predict. The distance of two cultures
is the mean of both directions, shifted so that the nearest pair is at 0:

    s(a,b) = (relation[a,b] + relation[b,a]) / 2        d(a,b) = s(a,b) - min s

Clustering is average linkage of d (scipy).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from culture_lens.checks import check_arguments, flag, text
from culture_lens.errors import InputError, unknown, warn
from culture_lens.experiments.conditions import FOUND
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.experiments.means import Means
from culture_lens.statistics.bootstrap import correlation
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.mantel import mean_of_both, square
from culture_lens.statistics.tables import numeric
from culture_lens.storage.display import Shown, some

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition

FEWEST_RELATED = 3
"""Cultures below which relations cannot be fitted."""


@dataclass(frozen=True, eq=False, repr=False)
class Relations(Shown):
    """How cultures lose accuracy together, with what intervals need.

    Attributes:
        cultures: Cultures that were both ablated and evaluated.
        changes: Changes of accuracy, mask x culture.
        relations: Relations, mask x culture, NaN on the diagonal.
        draws: Bootstrap draws of the relations, the value itself first.
        groups: How many question groups were drawn.
        adjusted: Whether the parts of mask and culture were taken out.
        metadata: The metadata of the matrix.

    Example:
        ``related_cultures(matrix).related("Japan")``
    """

    cultures: tuple[str, ...]
    changes: Means
    relations: Means
    draws: Float[np.ndarray, "draw mask culture"]
    groups: int
    adjusted: bool = True
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        return f"Relations of {some(self.cultures)}: {self.groups} question groups"

    def _facts(self) -> Mapping[str, Any]:
        told = {name: self.metadata.get(name) for name in ("model", "benchmark", "selector")}
        return {name: value for name, value in told.items() if value}

    def _overview(self) -> pd.DataFrame:
        return self.table.rename_axis(index="mask")

    def to_pandas(self) -> pd.DataFrame:
        """List every mask and other culture: rank, relation and change with their intervals."""
        import pandas as pd

        parts = {mask: self.related(mask) for mask in self.cultures}
        return pd.concat(parts, names=["mask", "culture"]).reset_index()

    def _frame(self, values: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(values, index=list(self.cultures), columns=list(self.cultures))

    @cached_property
    def table(self) -> pd.DataFrame:
        """Relations, masks x cultures; not symmetric."""
        return self._frame(self.relations.values)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """Rank of every other culture under each mask, 1 for the one that loses most."""
        return self.table.rank(axis=1)

    def cell(self, mask: str, culture: str) -> Estimate:
        """Give one relation with its interval.

        Example:
            ``relations.cell("Japan", "South Korea")``
        """
        return self._estimate(self.relations, mask, culture)

    def _estimate(self, means: Means, mask: str, culture: str) -> Estimate:
        for name in (mask, culture):
            if name not in self.cultures:
                raise unknown("culture", name, self.cultures)
        return means.at(self.cultures.index(mask), self.cultures.index(culture)).estimate()

    def related(self, mask: str) -> pd.DataFrame:
        """List the other cultures, starting with the one that loses most with a culture.

        Returns:
            Per culture: ``rank``, ``relation`` and ``change``, with the ends of their intervals.

        Raises:
            InputError: No such culture.

        Example:
            ``relations.related("Japan").head(3)``
        """
        import pandas as pd

        if mask not in self.cultures:
            raise unknown("culture", mask, self.cultures)
        order = self.table.loc[mask].drop(mask).sort_values(kind="stable").index
        rows = {
            culture: {
                "rank": self.ranks.loc[mask, culture],
                "relation": self.cell(mask, culture),
                "change": self._estimate(self.changes, mask, culture),
            }
            for culture in order
        }
        return numeric(pd.DataFrame.from_dict(rows, orient="index"))

    @cached_property
    def _symmetric(self) -> Float[np.ndarray, "draw pair"]:
        return mean_of_both(self.draws)

    @cached_property
    def distance(self) -> pd.DataFrame:
        """Distances d of every two cultures, symmetric, 0 on the diagonal."""
        return self._frame(square(self._symmetric[0] - self._symmetric[0].min()))

    @cached_property
    def linkage(self) -> Float[np.ndarray, "merge 4"]:
        """Average linkage of the distances, in scipy's format, with leaves in optimal order."""
        from scipy.cluster import hierarchy

        pairs = self._symmetric[0] - self._symmetric[0].min()
        tree: np.ndarray = hierarchy.linkage(pairs, "average", optimal_ordering=True)
        return tree

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The cultures in the order of the tree's leaves."""
        from scipy.cluster import hierarchy

        return tuple(self.cultures[leaf] for leaf in hierarchy.leaves_list(self.linkage))

    @cached_property
    def cophenetic(self) -> float:
        """Correlation of the distances with those in the tree: how well a tree fits them.

        NaN, with a warning, where all distances are the same.
        """
        from scipy.cluster import hierarchy

        pairs = self._symmetric[0] - self._symmetric[0].min()
        if np.ptp(pairs) < 1e-12:
            warn("all cultures are equally far from each other, so the tree has no meaning.")
            return math.nan
        return float(correlation(pairs[None], hierarchy.cophenet(self.linkage)[None])[0])


@check_arguments(matrix=MATRIX, condition=text, adjusted=flag)
def related_cultures(
    matrix: AblationMatrix, *, condition: Condition = FOUND, adjusted: bool = True
) -> Relations:
    """Relate cultures that lose accuracy together when the neurons of one are ablated.

    Args:
        matrix: The matrix; the cultures both ablated and evaluated are used.
        condition: ``"found"`` or ``"random"`` neurons; random ones should give no relations.
        adjusted: Take out the parts of masks and cultures. Otherwise a culture whose accuracy falls
            under every mask is near to all others.

    Raises:
        InputError: Fewer than three such cultures, or cells without a value.

    Example:
        ``related_cultures(matrix).distance``
    """
    both = matrix.both
    if len(both) < FEWEST_RELATED:
        raise InputError(
            f"relations need at least {FEWEST_RELATED} cultures that are both ablated and "
            f"evaluated, there are {len(both)} ({', '.join(both)})."
        )
    rows, columns = matrix.places()
    changes = matrix.means("change", condition).at(*np.ix_(rows, columns))
    off = ~np.eye(len(both), dtype=bool)
    if np.isnan(changes.values[off]).any():
        mask, culture = np.argwhere(np.isnan(changes.values) & off)[0]
        raise InputError(
            f"no change is known for questions of {both[culture]!r} under the mask of "
            f"{both[mask]!r}: ask every culture's questions under every mask."
        )
    drawn = matrix.draws("change", condition)[:, rows][:, :, columns]
    held, draws = (off_diagonal(table, adjusted) for table in (changes.rows, drawn))
    relations = replace(changes, rows=held, ends=not adjusted)
    facts = dict(matrix.metadata)
    return Relations(both, changes, relations, draws, len(matrix.groups), adjusted, facts)


def off_diagonal(
    rows: Float[np.ndarray, "row mask culture"], adjusted: bool
) -> Float[np.ndarray, "row mask culture"]:
    """Give the relations of every row of changes, or the changes, with NaN on the diagonal."""
    off, held = ~np.eye(rows.shape[1], dtype=bool), np.full_like(rows, np.nan)
    pairs = rows[:, off]
    held[:, off] = relation_effects(pairs, len(off)) if adjusted else pairs
    return held


def relation_effects(
    pairs: Float[np.ndarray, "draw pair"], n: int
) -> Float[np.ndarray, "draw pair"]:
    """Subtract the mean and the parts of masks and cultures from off-diagonal cells, row by row.

    Example:
        >>> rows = np.array([[1.0, 2.0, 1.0, 2.0, 1.0, 1.0]])  # culture effects 0, 0, 1 only
        >>> bool(np.allclose(relation_effects(rows, 3), 0))
        True
    """
    mask, culture = np.nonzero(~np.eye(n, dtype=bool))
    design = np.concatenate([np.eye(n)[mask], np.eye(n)[culture]], 1)
    keep = np.eye(len(mask)) - design @ np.linalg.pinv(design)
    result: np.ndarray = pairs @ keep.T
    return result
