"""AblationMatrix: what ablating each culture's neurons does to every culture's questions.

A[m,e] is the accuracy on the questions of culture e with the neurons of culture m ablated (its
mask), base[e] that of the unmodified model (ConAct's paper, arXiv 2510.24942, section 4):

    self(c)        = A[c,c] - base[c]
    cross(c)       = mean over e != c of A[c,e] - base[e]      one mask, other cultures
    cross_masks(c) = mean over m != c of A[m,c] - base[c]      other masks, one culture
    gap(c)         = self(c) - cross(c)        gap_masks(c) = self(c) - cross_masks(c)

The flip rate F[m,e] is the share of items whose answer changes. The same metrics are given for
random neurons. All intervals come from one clustered bootstrap, so a difference of two cells is
paired.
"""

from __future__ import annotations

import math
import warnings
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.checks import check_arguments, instance, text
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.conditions import FOUND, METRICS, RANDOM, UNMODIFIED
from culture_lens.experiments.means import cell_means, mean_of, with_mean
from culture_lens.statistics.estimates import Estimate, interval, value_and_draws
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition, MatrixTable, Metric

MEAN = "mean"
"""The row of the mean over cultures."""
ANSWER_COLUMNS = ("prediction", "correct", "p_gold")
"""The columns of an Evaluation that tables are made of."""
Draws = Float[np.ndarray, "draw mask culture"]


class AblationMatrix(ResultRecord):
    """Records under every mask, and the tables and metrics that are read off them.

    Attributes:
        frame: The columns of an Evaluation, with ``condition`` (``"unmodified"``, ``"found"`` or
            ``"random"``), ``mask`` (the culture ablated) and ``seed`` before them.
        metadata: Model, selector, scoring, and whether items used to identify were left out.

    Example:
        ``matrix.table("change")``, ``matrix.summary()``, ``matrix.overall("gap")``
    """

    what = "an ablation matrix"
    needs = ("condition", "mask", "seed", "id", "culture", "group", *ANSWER_COLUMNS)

    @cached_property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that were evaluated."""
        return tuple(sorted(self.frame["culture"].unique()))

    @cached_property
    def masks(self) -> tuple[str, ...]:
        """The cultures whose neurons were ablated."""
        found = self.frame.loc[self.frame["condition"] == FOUND, "mask"]
        return tuple(sorted(found.unique()))

    @cached_property
    def both(self) -> tuple[str, ...]:
        """The cultures that were both ablated and evaluated."""
        return tuple(culture for culture in self.masks if culture in self.cultures)

    @property
    def has_random(self) -> bool:
        """Whether random neurons were ablated."""
        return bool((self.frame["condition"] == RANDOM).any())

    @property
    def has_metrics(self) -> bool:
        """Whether self and cross exist: at least two cultures were both ablated and evaluated.

        Culture-general neurons belong to no culture and have none; see ``effects``.
        """
        return len(self.both) > 1

    def places(self) -> tuple[list[int], list[int]]:
        """Give the rows and the columns of the cultures that were both ablated and evaluated."""
        rows = [self.masks.index(culture) for culture in self.both]
        return rows, [self.cultures.index(culture) for culture in self.both]

    @cached_property
    def _weights(self) -> Float[np.ndarray, "draw group"]:
        return value_and_draws(len(self._groups))

    @cached_property
    def _groups(self) -> list[str]:
        return sorted(self.frame["group"].unique())

    @cached_property
    def _alone(self) -> set[str]:
        """Cultures with a single question group, from which no interval can be estimated."""
        groups = self.frame.groupby("culture")["group"].nunique()
        return {str(culture) for culture in groups.index[groups == 1]}

    def _estimate(self, draws: Float[np.ndarray, " draw"], culture: str) -> Estimate:
        unknown_interval = Estimate(float(draws[0]), math.nan, math.nan)
        return unknown_interval if culture in self._alone else interval(draws[0], draws[1:])

    @cached_property
    def _with_flips(self) -> pd.DataFrame:
        base = self.frame[self.frame["condition"] == UNMODIFIED].set_index("id")["prediction"]
        frame = self.frame.assign(base=self.frame["id"].map(base))
        return frame.assign(flipped=frame["prediction"] != frame["base"])

    def _cells(self, condition: Condition, column: str) -> Draws:
        """Mean of a column for every mask and culture: the value first, then its draws."""
        frame = self._with_flips
        masks = self.masks if condition != UNMODIFIED else ("",)
        axes = {"mask": masks, "culture": self.cultures}
        frame = frame[frame["condition"] == condition]
        return cell_means(frame, column, axes, self._groups, self._weights)

    @cached_property
    def _tables(self) -> dict[tuple[str, str], Draws]:
        tables = {
            (UNMODIFIED, "accuracy"): self._cells(UNMODIFIED, "correct"),
            (UNMODIFIED, "p_gold"): self._cells(UNMODIFIED, "p_gold"),
        }
        for condition in (FOUND, RANDOM) if self.has_random else (FOUND,):
            for table, column in (("accuracy", "correct"), ("p_gold", "p_gold")):
                tables[condition, table] = self._cells(condition, column)
            tables[condition, "change"] = (
                tables[condition, "accuracy"] - tables[UNMODIFIED, "accuracy"]
            )
            tables[condition, "p_change"] = (
                tables[condition, "p_gold"] - tables[UNMODIFIED, "p_gold"]
            )
            tables[condition, "flips"] = self._cells(condition, "flipped")
        return tables

    @check_arguments(what=text, condition=text)
    def draws(self, what: MatrixTable, condition: Condition = FOUND) -> Draws:
        """Give a table with its bootstrap draws, the value itself first.

        Args:
            what: ``"accuracy"``, ``"change"`` of accuracy, ``"flips"``, ``"p_gold"`` (mean
                probability of the right answer) or ``"p_change"``.
            condition: ``"found"``, ``"random"`` (the mean over seeds) or ``"unmodified"``.

        Raises:
            InputError: No such table.
        """
        if (condition, what) not in self._tables:
            known = ", ".join(f"{w} of {k}" for k, w in self._tables)
            raise InputError(
                f"no table {what!r} under condition {condition!r}; there are: {known}."
            )
        return self._tables[condition, what]

    @check_arguments(mask=text, culture=text)
    def cell(
        self,
        mask: str,
        culture: str,
        what: MatrixTable = "change",
        condition: Condition = FOUND,
    ) -> Estimate:
        """Give one cell with its interval.

        Example:
            ``matrix.cell("Japan", "Japan")``
        """
        if culture not in self.cultures:
            raise unknown("culture", culture, self.cultures)
        draws = self.draws(what, condition)[:, self._row(mask), self.cultures.index(culture)]
        return self._estimate(draws, culture)

    def table(self, what: MatrixTable = "change", condition: Condition = FOUND) -> pd.DataFrame:
        """Give the values of a table, masks x evaluated cultures.

        Example:
            ``matrix.table("accuracy")``
        """
        import pandas as pd

        masks = self.masks if condition != UNMODIFIED else (UNMODIFIED,)
        return pd.DataFrame(
            self.draws(what, condition)[0], index=list(masks), columns=list(self.cultures)
        )

    def metrics(self, condition: Condition = FOUND) -> dict[str, Float[np.ndarray, "draw mask"]]:
        """Give every metric of the cultures in ``both``, with draws, the value first.

        Raises:
            InputError: Fewer than two cultures were both ablated and evaluated.
        """
        change = self.draws("change", condition)
        flips = self.draws("flips", condition)
        if not self.has_metrics:
            raise InputError(
                "self and cross need at least two cultures that are both ablated and evaluated; "
                f"ablated {self.masks}, evaluated {self.cultures}."
            )
        rows, columns = self.places()
        own = change[:, rows, columns]
        others = change.copy()
        others[:, rows, columns] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a draw may leave no other culture
            cross = np.nanmean(others[:, rows], 2)
            cross_masks = np.nanmean(others[:, :, columns], 1)
        return {
            "base": self.draws("accuracy", UNMODIFIED)[:, 0, columns],
            "self": own,
            "cross": cross,
            "cross_masks": cross_masks,
            "gap": own - cross,
            "gap_masks": own - cross_masks,
            "flips": flips[:, rows, columns],
        }

    def summary(self, condition: Condition = FOUND) -> pd.DataFrame:
        """Give every metric of every culture, cultures x metrics, each as an Estimate.

        Example:
            ``matrix.summary()``
        """
        import pandas as pd

        return pd.DataFrame(
            {
                name: [self._estimate(draws[:, i], culture) for i, culture in enumerate(self.both)]
                for name, draws in self.metrics(condition).items()
            },
            index=list(self.both),
        )

    def overall(self, metric: Metric = "gap", condition: Condition = FOUND) -> Estimate:
        """Give the mean of a metric over cultures, with its interval.

        Raises:
            InputError: No such metric.

        Example:
            ``matrix.overall("self")``, ``matrix.overall("self", condition="random")``
        """
        check_metric(metric)
        return mean_of(self.metrics(condition)[metric])

    def beyond_random(self, metric: Metric = "self") -> Estimate:
        """Give the mean over cultures of found minus random neurons, a paired difference.

        Raises:
            InputError: No such metric, or no random neurons were ablated.
        """
        check_metric(metric)
        return mean_of(self.metrics(FOUND)[metric] - self.metrics(RANDOM)[metric])

    def effects(self, mask: str) -> pd.DataFrame:
        """Give what one mask does to every culture and on average, each as an Estimate.

        Returns:
            Cultures x base, change, flips, and random (the change under random neurons, where they
            were ablated); the last row, ``"mean"``, is the mean over cultures.

        Raises:
            InputError: No such mask.

        Example:
            ``matrix.effects("general")``
        """
        import pandas as pd

        row, rows = self._row(mask), [*self.cultures, MEAN]
        columns = {"base": self.draws("accuracy", UNMODIFIED)[:, 0]}
        columns |= {"change": self.draws("change")[:, row], "flips": self.draws("flips")[:, row]}
        if self.has_random:
            columns["random"] = self.draws("change", RANDOM)[:, row]
        table = {}
        for name, draws in columns.items():
            named = zip(with_mean(draws).T, rows, strict=True)
            table[name] = [self._estimate(cell, culture) for cell, culture in named]
        return pd.DataFrame(table, index=rows)

    def effect_beyond_random(self, mask: str) -> Estimate:
        """Give the mean change over cultures under a mask minus that under random neurons.

        Raises:
            InputError: No such mask, or no random neurons were ablated.
        """
        row = self._row(mask)
        return mean_of(self.draws("change")[:, row] - self.draws("change", RANDOM)[:, row])

    def _row(self, mask: str) -> int:
        if text("mask", mask) not in self.masks:
            raise unknown("mask", mask, self.masks)
        return self.masks.index(mask)


MATRIX = instance(AblationMatrix, remedy="the AblationMatrix that ablation_matrix gives")
"""The check of an argument that takes a matrix."""


def check_metric(metric: str) -> None:
    """Refuse a metric that a matrix does not have.

    Raises:
        InputError: Names the metric and the known ones.
    """
    if text("metric", metric) not in METRICS:
        raise unknown("metric", metric, METRICS)
