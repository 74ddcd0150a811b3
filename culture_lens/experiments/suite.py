"""Suite: several benchmarks under several conditions, the main table of CULNIG's paper.

Every cell has its interval, clustered by question group, and is compared item by item with the
unmodified model and with as many random neurons. The wordings of one question are items of one
group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from culture_lens.errors import unknown
from culture_lens.experiments.cell_tests import ALPHA
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.statistics.permutation import corrected, weighted_p
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition
    from culture_lens.statistics.permutation import Correction

SUITE_COLUMNS = (
    "condition",
    "name",
    "seed",
    "benchmark",
    "wording",
    "id",
    "culture",
    "group",
    "value",
)


class Suite(ResultRecord):
    """One record per condition, benchmark, wording and item.

    Attributes:
        frame: Columns condition (``"unmodified"``, ``"found"`` or ``"random"``), name (of the
            neurons), seed, benchmark, wording, id, culture, group, value (1 where the answer is
            right; of value questions the alignment).
        metadata: Model, numbers of neurons, versions.

    Example:
        ``evaluate_suite(model, {"Japan": found["Japan"]}, ["culturalbench", "mrpc"]).table()``
    """

    what = "a suite of evaluations"
    needs = SUITE_COLUMNS

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks, in order."""
        return tuple(dict.fromkeys(self.frame["benchmark"]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the ablated neurons, in order."""
        return tuple(dict.fromkeys(self.frame.loc[self.frame["condition"] == FOUND, "name"]))

    def _items(self, condition: Condition, name: str, benchmark: str) -> pd.DataFrame:
        """Mean value of each item and wording; of random neurons over their seeds."""
        part = self.frame
        part = part[(part["condition"] == condition) & (part["benchmark"] == benchmark)]
        if condition != UNMODIFIED:
            part = part[part["name"] == name]
        whole = part.groupby(["id", "wording"], sort=True)
        return whole.agg(value=("value", "mean"), group=("group", "first"))

    def score(self, condition: Condition, name: str, benchmark: str) -> Estimate:
        """Mean value of one cell; of random neurons over their seeds.

        Raises:
            InputError: No such condition, name or benchmark.
        """
        self._check(condition, name, benchmark)
        items = self._items(condition, name, benchmark)
        return mean_estimate(items["value"].tolist(), items["group"].tolist())

    def change(self, name: str, benchmark: str, against: Condition = UNMODIFIED) -> Estimate:
        """Mean change under ablation, paired by item, against another condition.

        Raises:
            InputError: No such name or benchmark, or nothing to compare with.
        """
        moved = self._moved(name, benchmark, against)
        return mean_estimate(moved["value"].tolist(), moved["group"].tolist())

    def _moved(self, name: str, benchmark: str, against: Condition) -> pd.DataFrame:
        self._check(FOUND, name, benchmark)
        self._check(against, name, benchmark)
        found = self._items(FOUND, name, benchmark)
        base = self._items(against, name, benchmark)
        return found.assign(value=found["value"] - base["value"])

    def _check(self, condition: Condition, name: str, benchmark: str) -> None:
        held = tuple(dict.fromkeys(self.frame["condition"]))
        if condition not in held:
            raise unknown("condition", condition, held)
        if condition != UNMODIFIED and name not in self.names:
            raise unknown("set of neurons", name, self.names)
        if benchmark not in self.benchmarks:
            raise unknown("benchmark", benchmark, self.benchmarks)

    def tests(
        self, against: Condition = UNMODIFIED, *, correction: Correction = "holm"
    ) -> pd.DataFrame:
        """Test every cell of found neurons: sign flips of whole question groups, two-sided.

        Returns:
            One row per name and benchmark: change, p, corrected p, and whether the corrected p is
            at most 0.05.

        Raises:
            InputError: Nothing to compare with, or an unknown correction.

        Example:
            ``suite.tests("random")``
        """
        import pandas as pd

        rows = []
        for name in self.names:
            for benchmark in self.benchmarks:
                moved = self._moved(name, benchmark, against)
                sums = moved.groupby("group", sort=True)["value"].sum().to_numpy(dtype=float)
                p, _, _ = weighted_p(np.stack([sums, -sums], axis=1))
                change = self.change(name, benchmark, against)
                rows.append({"name": name, "benchmark": benchmark, "change": change, "p": p})
        table = pd.DataFrame(rows)
        table["corrected_p"] = corrected(table["p"].to_numpy(dtype=float), correction)
        return table.assign(significant=table["corrected_p"] <= ALPHA)

    def table(self, *, correction: Correction = "holm") -> pd.DataFrame:
        """Give the table as text: conditions x benchmarks, each cell with its interval.

        A star marks found neurons whose change against the unmodified model is significant, two
        stars those that differ significantly from random ones as well. The correction is over all
        cells.
        """
        import pandas as pd

        known = set(self.frame["condition"])
        starred: dict[tuple[str, str], int] = {}
        against: Condition
        for against in (UNMODIFIED, RANDOM):
            if against in known:
                for row in self.tests(against, correction=correction).itertuples():
                    at = (row.name, row.benchmark)
                    starred[at] = starred.get(at, 0) + int(row.significant)
        rows: dict[str, dict[str, str]] = {
            UNMODIFIED: {b: str(self.score(UNMODIFIED, "", b)) for b in self.benchmarks}
        }
        condition: Condition
        for name in self.names:
            for condition in (FOUND, RANDOM):
                if condition not in known:
                    continue
                label = name if condition == FOUND else f"random as {name}"
                rows[label] = {
                    benchmark: f"{self.score(condition, name, benchmark)}"
                    + "*" * (starred.get((name, benchmark), 0) if condition == FOUND else 0)
                    for benchmark in self.benchmarks
                }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(self.benchmarks))

    def wordings(self) -> pd.DataFrame:
        """Score every wording by itself: how much a result depends on the wording.

        Returns:
            One row per condition, name and benchmark: the mean value in each wording, and ``sd``,
            their standard deviation (NaN where there is one wording).
        """
        import pandas as pd

        rows = []
        for (condition, name, benchmark), part in self.frame.groupby(
            ["condition", "name", "benchmark"], sort=False
        ):
            means = part.groupby("wording", sort=True)["value"].mean()
            named = {f"wording {wording}": value for wording, value in means.items()}
            rows.append(
                {
                    "condition": condition,
                    "name": name,
                    "benchmark": benchmark,
                    **named,
                    "sd": means.std(),
                }
            )
        return pd.DataFrame(rows)
