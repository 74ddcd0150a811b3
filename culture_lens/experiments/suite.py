"""Suite: several benchmarks under several conditions, the main table of CULNIG's paper.

Every cell has its interval, clustered by question group, and is compared item by item with the
unmodified model and with as many random neurons. The wordings of one question are items of one
group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.errors import unknown
from culture_lens.experiments.cell_tests import ALPHA
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.statistics.estimates import (
    CHANGES,
    SHARES,
    Estimate,
    Spread,
    mean_estimate,
    mean_spread,
)
from culture_lens.statistics.permutation import corrected, weighted_p
from culture_lens.statistics.random_sets import rank_among, with_sets
from culture_lens.statistics.tables import numeric
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
        return mean_estimate(
            items["value"].tolist(), items["group"].tolist(), bounds=SHARES, name=benchmark
        )

    def change(self, name: str, benchmark: str, against: Condition = UNMODIFIED) -> Estimate:
        """Mean change under ablation, paired by item, against another condition.

        Against random neurons the interval carries the variance of random sets too, see
        ``statistics.random_sets``; from a single set it is unknown.

        Raises:
            InputError: No such name or benchmark, or nothing to compare with.
        """
        mean, spread = self._spread(name, benchmark, against)
        return spread.estimate(mean)

    def _spread(self, name: str, benchmark: str, against: Condition) -> tuple[float, Spread]:
        moved = self._moved(name, benchmark, against)
        mean, spread = mean_spread(
            moved["value"].tolist(), moved["group"].tolist(), bounds=CHANGES, name=benchmark
        )
        if against == RANDOM:
            spread = with_sets(spread, list(self._sets(name, benchmark).values()))
        return mean, spread

    def _sets(self, name: str, benchmark: str) -> dict[int, float]:
        """Mean value under every set of random neurons."""
        part = self.frame[self.frame["condition"] == RANDOM]
        part = part[(part["name"] == name) & (part["benchmark"] == benchmark)]
        return {int(seed): float(own["value"].mean()) for seed, own in part.groupby("seed")}

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
        """Test every cell of found neurons, two-sided.

        Against the unmodified model whole question groups change their sign. Against random
        neurons p comes from the interval over questions and random sets, see ``change``.

        Returns:
            One row per name and benchmark: change with its interval, p, corrected p, and whether
            the corrected p is at most 0.05; against random neurons also ``rank`` among the random
            sets (1 where the found neurons lose most) and ``sets``, their number.

        Raises:
            InputError: Nothing to compare with, or an unknown correction.

        Example:
            ``suite.tests("random")``
        """
        import pandas as pd

        rows = []
        for name in self.names:
            for benchmark in self.benchmarks:
                row = {"name": name, "benchmark": benchmark}
                how = self._against_sets if against == RANDOM else self._sign_flips
                rows.append({**row, **how(name, benchmark, against)})
        table = pd.DataFrame(rows)
        table["corrected_p"] = corrected(table["p"].to_numpy(dtype=float), correction)
        return numeric(table.assign(significant=table["corrected_p"] <= ALPHA))

    def _sign_flips(self, name: str, benchmark: str, against: Condition) -> dict[str, Any]:
        moved = self._moved(name, benchmark, against)
        sums = moved.groupby("group", sort=True)["value"].sum().to_numpy(dtype=float)
        p, _, _ = weighted_p(np.stack([sums, -sums], axis=1))
        return {"change": self.change(name, benchmark, against), "p": p}

    def _against_sets(self, name: str, benchmark: str, against: Condition) -> dict[str, Any]:
        mean, spread = self._spread(name, benchmark, against)
        sets = list(self._sets(name, benchmark).values())
        found = float(self._items(FOUND, name, benchmark)["value"].mean())
        return {
            "change": spread.estimate(mean),
            "p": spread.p_of_zero(),
            "rank": rank_among(found, sets),
            "sets": len(sets),
        }

    def scores(self) -> pd.DataFrame:
        """Score every cell as numbers; ``table`` writes the same as text, with stars.

        Returns:
            One row per condition, name and benchmark: score with the ends of its interval.

        Example:
            ``suite.scores().pivot(index="name", columns="benchmark", values="score")``
        """
        import pandas as pd

        known = self.frame[["condition", "name", "benchmark"]].drop_duplicates()
        rows = [{**row, "score": self.score(**row)} for row in known.to_dict("records")]
        return numeric(pd.DataFrame(rows))

    def _main_table(self) -> pd.DataFrame:
        return self.scores().set_index(["condition", "name", "benchmark"])

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
