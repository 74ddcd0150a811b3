"""EffectCurve: an ablation matrix at every dose, and its metrics for each culture and dose.

What a dose is, subclasses say: the share of neurons that is ablated, or how strongly is steered.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from culture_lens.checks import check_arguments, text
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
NEURONS = "neurons"
"""The column that says how many neurons are edited, where neurons are."""


class EffectCurve(ResultRecord):
    """Records under masks at several doses; what ``DoseCurve`` and ``SteeringCurve`` share."""

    by: ClassVar[str]
    """The column of the dose."""

    @cached_property
    def doses(self) -> tuple[float, ...]:
        """The doses, smallest first."""
        return tuple(sorted(set(self.frame.loc[self.frame["condition"] == FOUND, self.by])))

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that have a mask and whose questions were asked."""
        return self._matrices[self.doses[0]].both

    @property
    def has_random(self) -> bool:
        """Whether there are random masks too."""
        return bool((self.frame["condition"] == RANDOM).any())

    @cached_property
    def _matrices(self) -> dict[float, AblationMatrix]:
        base = self.frame["condition"] == UNMODIFIED
        return {
            dose: AblationMatrix(
                self.frame[base | (self.frame[self.by] == dose)], {**self.metadata, self.by: dose}
            )
            for dose in self.doses
        }

    def at(self, dose: float) -> AblationMatrix:
        """Give the matrix at one dose.

        Raises:
            InputError: No such dose.
        """
        if dose not in self.doses:
            told = ", ".join(map(str, self.doses))
            raise InputError(f"no {self.by} {dose}: there are {told}.")
        return self._matrices[dose]

    def sizes(self, dose: float) -> list[float]:
        """Give the number of neurons of each culture, and their mean; nothing of directions."""
        if NEURONS not in self.frame:
            return []
        frame = self.at(dose).frame
        found = frame[frame["condition"] == FOUND].drop_duplicates("mask").set_index("mask")
        sizes = [float(found.loc[culture, NEURONS]) for culture in self.cultures]
        return [*sizes, sum(sizes) / len(sizes)]

    @check_arguments(metric=text, condition=text)
    def table(
        self, metric: DoseMetric = "self", condition: TransferCondition = FOUND
    ) -> pd.DataFrame:
        """Give a metric at every dose, for each culture and their mean, with intervals.

        Args:
            metric: ``"self"``, ``"p_change"`` (of the probability of the right answer to own
                questions), ``"flips"``, ``"cross"`` or ``"gap"``; see ``AblationMatrix``.
            condition: ``"found"``, ``"random"``, or ``"beyond"``: found minus random masks,
                paired, with the interval of ``AblationMatrix.beyond_random``.

        Returns:
            Columns culture (``"mean"`` for the mean, where there are several), the dose, neurons
            (a mean in the rows of the mean) where neurons are edited, value, low and high; numbers
            all.

        Raises:
            InputError: No such metric or condition, no random masks, or other cultures'
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
            raise InputError("there are no random masks: make it with random_seeds=3 or so.")
        if metric not in OWN and not self.metadata.get("others", True):
            raise InputError(f"{metric} needs other cultures' questions: make it with others=True.")
        rows: list[dict[str, Any]] = []
        names = [*self.cultures, MEAN][: len(self.cultures) + (len(self.cultures) > 1)]
        for dose in self.doses:
            sizes = self.sizes(dose)
            estimates = estimates_at(self.at(dose), metric, condition)
            for place, (name, estimate) in enumerate(zip(names, estimates, strict=True)):
                row = {"culture": name, self.by: dose}
                row |= {NEURONS: sizes[place]} if sizes else {}
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


__all__ = ["EffectCurve"]
