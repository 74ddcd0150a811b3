"""DoseCurve: what ablating ever more of a culture's neurons does, the best ones first.

With A[m,e](n) the accuracy on the questions of culture e with the n best neurons of culture m
ablated, and base[e] that of the unmodified model:

    self(c, n) = A[c,c](n) - base[c]

and so the other metrics of an ablation matrix (see ``matrix``), at every number of neurons. The
sets are nested: a larger dose holds the smaller ones. All doses are asked the same questions.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from culture_lens.checks import check_arguments, real, text
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.conditions import BEYOND, DOSE_METRICS, FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.matrix import MEAN, AblationMatrix
from culture_lens.experiments.means import Means, beyond_sets
from culture_lens.statistics.estimates import Estimate
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import DoseMetric, MatrixTable, TransferCondition

OWN: dict[str, MatrixTable] = {"self": "change", "p_change": "p_change", "flips": "flips"}
"""The metrics of own questions alone -> the table of the ablation matrix that holds them."""
DOSE_CONDITIONS = (FOUND, RANDOM, BEYOND)


class DoseCurve(ResultRecord):
    """Records under masks of several sizes, and their metrics for each culture and size.

    Attributes:
        frame: The columns of an ``AblationMatrix``, with ``share`` (of all neurons at the sites,
            0 for the unmodified model) and ``neurons`` (how many are ablated) beside them.
        metadata: Model, selector, benchmark, scoring; whether ``others`` were asked too.

    Example:
        ``dose_curve(model, found, questions).table("self")``
    """

    what = "a dose curve"
    needs = ("share", "neurons", *AblationMatrix.needs)

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """The shares of neurons that are ablated, smallest first."""
        return tuple(sorted(set(self.frame.loc[self.frame["condition"] == FOUND, "share"])))

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures whose neurons were ablated and whose questions were asked."""
        return self._matrices[self.shares[0]].both

    @property
    def has_random(self) -> bool:
        """Whether random neurons were ablated too."""
        return bool((self.frame["condition"] == RANDOM).any())

    @cached_property
    def _matrices(self) -> dict[float, AblationMatrix]:
        base = self.frame["condition"] == UNMODIFIED
        return {
            share: AblationMatrix(
                self.frame[base | (self.frame["share"] == share)], {**self.metadata, "share": share}
            )
            for share in self.shares
        }

    @check_arguments(share=real)
    def matrix(self, share: float) -> AblationMatrix:
        """Give the ablation matrix at one share.

        Raises:
            InputError: No such share.

        Example:
            ``curve.matrix(curve.shares[-1]).table("change")``
        """
        if share not in self.shares:
            raise InputError(f"no share {share}: there are {', '.join(map(str, self.shares))}.")
        return self._matrices[share]

    def numbers(self, share: float) -> dict[str, int]:
        """Give the number of neurons of each culture at a share.

        Raises:
            InputError: No such share.
        """
        frame = self.matrix(share).frame
        found = frame[frame["condition"] == FOUND].drop_duplicates("mask")
        return dict(zip(found["mask"], map(int, found["neurons"]), strict=True))

    @check_arguments(metric=text, condition=text)
    def table(
        self, metric: DoseMetric = "self", condition: TransferCondition = FOUND
    ) -> pd.DataFrame:
        """Give a metric at every share, for each culture and their mean, with intervals.

        Args:
            metric: ``"self"``, ``"p_change"`` (of the probability of the right answer to own
                questions), ``"flips"``, ``"cross"`` or ``"gap"``; see ``AblationMatrix``.
            condition: ``"found"``, ``"random"``, or ``"beyond"``: found minus random neurons,
                paired, with the interval of ``AblationMatrix.beyond_random``.

        Returns:
            Columns culture (``"mean"`` for the mean, where there are several), share, neurons (a
            mean in the rows of the mean), value, low and high; numbers all.

        Raises:
            InputError: No such metric or condition, no random neurons, or other cultures'
                questions were not asked.

        Example:
            ``curve.table("self", "beyond")``
        """
        import pandas as pd

        if metric not in DOSE_METRICS:
            raise unknown("metric", metric, DOSE_METRICS)
        if condition not in DOSE_CONDITIONS:
            raise unknown("condition", condition, DOSE_CONDITIONS)
        if condition != FOUND and not self.has_random:
            raise InputError("no random neurons were ablated: make it with random_seeds=3 or so.")
        if metric not in OWN and not self.metadata.get("others", True):
            raise InputError(f"{metric} needs other cultures' questions: make it with others=True.")
        rows: list[dict[str, Any]] = []
        for share in self.shares:
            numbers = self.numbers(share)
            sizes = [float(numbers[culture]) for culture in self.cultures]
            if len(sizes) > 1:
                sizes.append(sum(sizes) / len(sizes))
            names = [*self.cultures, MEAN][: len(sizes)]
            estimates = estimates_at(self.matrix(share), metric, condition)
            for name, size, estimate in zip(names, sizes, estimates, strict=True):
                row = {"culture": name, "share": share, "neurons": size}
                rows.append({**row, **{k: getattr(estimate, k) for k in ("value", "low", "high")}})
        return pd.DataFrame(rows)


def estimates_at(
    matrix: AblationMatrix, metric: DoseMetric, condition: TransferCondition
) -> list[Estimate]:
    """Give a metric of every culture of a matrix and, where they are several, of their mean."""
    if condition != BEYOND:
        return [cell.estimate() for cell in cells_of(metric_of(matrix, metric, condition), metric)]
    found = cells_of(metric_of(matrix, metric, FOUND), metric)
    sets = [cells_of(metric_of(matrix, metric, RANDOM, seed=seed), metric) for seed in matrix.seeds]
    estimates = []
    for place, cell in enumerate(found):
        value, spread = beyond_sets(cell, [one[place] for one in sets])
        estimates.append(spread.estimate(value))
    return estimates


def metric_of(
    matrix: AblationMatrix,
    metric: DoseMetric,
    condition: Literal["found", "random"],
    *,
    seed: int | None = None,
) -> Means:
    """Give a metric of the cultures of a matrix; those of own questions need no second culture."""
    if metric in OWN:
        rows, columns = matrix.places()
        return matrix.means(OWN[metric], condition, seed=seed).at(rows, columns)
    return matrix.metrics(condition, seed=seed)[metric]


def cells_of(means: Means, metric: DoseMetric) -> list[Means]:
    """Give a cell for each culture and, where they are several, their mean."""
    number = means.rows.shape[1]
    cells = [means.at(place) for place in range(number)]
    mean = means.over_masks(-1) if metric == "cross" else means.over_cultures()
    return [*cells, mean] if number > 1 else cells


__all__ = ["DoseCurve"]
