"""AblationMatrix: what ablating each culture's neurons does to every culture's questions.

A[m,e] is the accuracy on the questions of culture e with the neurons of culture m ablated (its
mask), base[e] that of the unmodified model (ConAct's paper, arXiv 2510.24942, section 4):

    self(c)        = A[c,c] - base[c]
    cross(c)       = mean over e != c of A[c,e] - base[e]      one mask, other cultures
    cross_masks(c) = mean over m != c of A[m,c] - base[c]      other masks, one culture
    gap(c)         = self(c) - cross(c)        gap_masks(c) = self(c) - cross_masks(c)

The flip rate F[m,e] is the share of items whose answer changes. The same metrics are given for
random neurons. Changes are paired by item, and every cell keeps the influence of each question
group, so intervals of differences and means of cells are paired too (``statistics.estimates``).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from culture_lens.checks import check_arguments, instance, text
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.cell_tables import ANSWER_COLUMNS, CellTables, Draws
from culture_lens.experiments.conditions import FOUND, METRICS, RANDOM, UNMODIFIED
from culture_lens.experiments.means import Means, beyond_sets
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition, MatrixTable, Metric

MEAN = "mean"
"""The row of the mean over cultures."""


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
    def seeds(self) -> tuple[int, ...]:
        """The seeds of random neurons."""
        random = self.frame["condition"] == RANDOM
        return tuple(sorted(int(seed) for seed in self.frame.loc[random, "seed"].unique()))

    @cached_property
    def _tables(self) -> CellTables:
        return CellTables(self.frame, self.masks, self.cultures)

    @property
    def groups(self) -> list[str]:
        """The question groups."""
        return self._tables.groups

    @property
    def too_few_groups(self) -> dict[str, int]:
        """The cultures that have too few question groups for intervals, and how many."""
        return self._tables.too_few_groups

    @check_arguments(what=text, condition=text)
    def means(
        self, what: MatrixTable, condition: Condition = FOUND, *, seed: int | None = None
    ) -> Means:
        """Give a table with the influence of every question group, from which intervals are made.

        Args:
            what: ``"accuracy"``, ``"change"`` of accuracy, ``"flips"``, ``"p_gold"`` (mean
                probability of the right answer) or ``"p_change"``.
            condition: ``"found"``, ``"random"`` or ``"unmodified"``.
            seed: One set of random neurons; by default all records of a condition are averaged.

        Raises:
            InputError: No such table.
        """
        return self._tables.means(what, condition, seed)

    @check_arguments(what=text, condition=text)
    def draws(self, what: MatrixTable, condition: Condition = FOUND) -> Draws:
        """Give a table with bootstrap draws of question groups, the value itself first.

        Args:
            what: See ``means``.
            condition: See ``means``.

        Raises:
            InputError: No such table.
        """
        return self._tables.draws(what, condition)

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
        if condition != UNMODIFIED and mask not in self.masks:
            raise unknown("mask", mask, self.masks)
        place = 0 if condition == UNMODIFIED else self.masks.index(mask)
        return self.means(what, condition).at(place, self.cultures.index(culture)).estimate()

    def table(self, what: MatrixTable = "change", condition: Condition = FOUND) -> pd.DataFrame:
        """Give the values of a table, masks x evaluated cultures.

        Example:
            ``matrix.table("accuracy")``
        """
        import pandas as pd

        masks = self.masks if condition != UNMODIFIED else (UNMODIFIED,)
        return pd.DataFrame(
            self.means(what, condition).values, index=list(masks), columns=list(self.cultures)
        )

    def metrics(self, condition: Condition = FOUND, *, seed: int | None = None) -> dict[str, Means]:
        """Give every metric of the cultures in ``both``, with the influences of question groups.

        Args:
            condition: ``"found"`` or ``"random"``.
            seed: One set of random neurons; by default all are averaged.

        Raises:
            InputError: Fewer than two cultures were both ablated and evaluated.
        """
        if not self.has_metrics:
            raise InputError(
                "self and cross need at least two cultures that are both ablated and evaluated; "
                f"ablated {self.masks}, evaluated {self.cultures}."
            )
        change = self.means("change", condition, seed=seed)
        rows, columns = self.places()
        own, others = change.at(rows, columns), change.without((rows, columns))
        cross = others.at(rows).over_cultures()
        cross_masks = others.at(slice(None), columns).over_masks()
        return {
            "base": self.means("accuracy", UNMODIFIED).at(0, columns),
            "self": own,
            "cross": cross,
            "cross_masks": cross_masks,
            "gap": own.minus(cross),
            "gap_masks": own.minus(cross_masks),
            "flips": self.means("flips", condition, seed=seed).at(rows, columns),
        }

    def summary(self, condition: Condition = FOUND) -> pd.DataFrame:
        """Give every metric of every culture, cultures x metrics, with the ends of its interval.

        Example:
            ``matrix.summary().sort_values("gap")[["gap", "gap_low", "gap_high"]]``
        """
        import pandas as pd

        held = {name: means.estimates() for name, means in self.metrics(condition).items()}
        return numeric(pd.DataFrame(held, index=list(self.both)))

    def _picture(self, table: pd.DataFrame | None) -> str:
        return super()._picture(None if table is None else table.filter(regex="^(self|change)"))

    def _main_table(self) -> pd.DataFrame:
        return self.summary() if self.has_metrics else self.effects(self.masks[0])

    def overall(self, metric: Metric = "gap", condition: Condition = FOUND) -> Estimate:
        """Give the mean of a metric over cultures, with its interval over questions.

        Raises:
            InputError: No such metric.

        Example:
            ``matrix.overall("self")``, ``matrix.overall("self", condition="random")``
        """
        return self.mean_metric(metric, condition).estimate()

    def mean_metric(
        self, metric: Metric, condition: Condition = FOUND, *, seed: int | None = None
    ) -> Means:
        """Average a metric over cultures, with the influences of question groups.

        Raises:
            InputError: No such metric.
        """
        check_metric(metric)
        means = self.metrics(condition, seed=seed)[metric]
        return means.over_masks(-1) if metric == "cross" else means.over_cultures()

    def beyond_random(self, metric: Metric = "self") -> Estimate:
        """Give the mean over cultures of found minus random neurons, paired.

        The interval is that of the found set against one more random set: it carries the variance
        over questions and that of random sets, see ``statistics.random_sets``. With few sets it is
        wide, with one it is unknown.

        Raises:
            InputError: No such metric, or no random neurons were ablated.
        """
        found = self.mean_metric(metric)
        self.means("change", RANDOM)  # refuses a matrix without random neurons
        sets = [self.mean_metric(metric, RANDOM, seed=seed) for seed in self.seeds]
        value, spread = beyond_sets(found, sets)
        return spread.estimate(value)

    def effects(self, mask: str) -> pd.DataFrame:
        """Give what one mask does to every culture and on average, with intervals.

        Returns:
            Cultures x base, change, flips, and random (the change under random neurons, where they
            were ablated); the last row, ``"mean"``, is the mean over cultures.

        Raises:
            InputError: No such mask.

        Example:
            ``matrix.effects("general")``
        """
        import pandas as pd

        row = self._row(mask)
        columns = {"base": self.means("accuracy", UNMODIFIED).at(0)}
        columns |= {"change": self.means("change").at(row), "flips": self.means("flips").at(row)}
        if self.has_random:
            columns["random"] = self.means("change", RANDOM).at(row)
        table = {
            name: [*means.estimates(), means.over_cultures().estimate()]
            for name, means in columns.items()
        }
        return numeric(pd.DataFrame(table, index=[*self.cultures, MEAN]))

    def effect_beyond_random(self, mask: str) -> Estimate:
        """Give the mean change over cultures under a mask minus that under random neurons.

        The interval is that of ``beyond_random``.

        Raises:
            InputError: No such mask, or no random neurons were ablated.
        """
        row = self._row(mask)
        self.means("change", RANDOM)  # refuses a matrix without random neurons
        sets = [
            self.means("change", RANDOM, seed=seed).at(row).over_cultures() for seed in self.seeds
        ]
        value, spread = beyond_sets(self.means("change").at(row).over_cultures(), sets)
        return spread.estimate(value)

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
