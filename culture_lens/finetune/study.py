"""ForgettingStudy: every item before and after trainings of several strategies and seeds.

Intervals of a mean over seeds are Student's t over seeds; those of one training are clustered by
question group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from culture_lens.checks import check_arguments, text
from culture_lens.errors import InputError, unknown
from culture_lens.finetune.changes import (
    CHANGE_METRICS,
    CULTURE_SET,
    Forgetting,
)
from culture_lens.statistics.estimates import Estimate, t_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd


class ForgettingStudy(ResultRecord):
    """Every item before and after every training.

    Attributes:
        frame: The columns of ``Forgetting`` with strategy, seed and trained_share before them.
        metadata: Model, task, settings, versions.

    Example:
        ``study.summary()``, ``study.against("bottom", "random")``
    """

    what = "a study of forgetting"

    @property
    def strategies(self) -> tuple[str, ...]:
        """The strategies, in order."""
        return tuple(dict.fromkeys(self.frame["strategy"]))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, in order."""
        return tuple(int(seed) for seed in dict.fromkeys(self.frame["seed"]))

    def one(self, strategy: str, seed: int) -> Forgetting:
        """Give what one training did.

        Raises:
            InputError: There was no such training.
        """
        frame = self.frame[(self.frame["strategy"] == strategy) & (self.frame["seed"] == seed)]
        if frame.empty:
            raise InputError(
                f"no training {strategy!r} with seed {seed}: there are the strategies "
                f"{', '.join(self.strategies)} and the seeds {', '.join(map(str, self.seeds))}."
            )
        return Forgetting(frame.reset_index(drop=True), self.metadata)

    @check_arguments(strategy=text, asked=text, metric=text)
    def per_seed(
        self, strategy: str, asked: str = CULTURE_SET, metric: str = "change"
    ) -> dict[int, float]:
        """Give the mean of a metric over items, seed by seed."""
        if strategy not in self.strategies:
            raise unknown("strategy", strategy, self.strategies)
        if metric not in CHANGE_METRICS:
            raise unknown("metric", metric, CHANGE_METRICS)
        sets = tuple(dict.fromkeys(self.frame["asked"]))
        if asked not in sets:
            raise unknown("set of questions", asked, sets)
        column, base = CHANGE_METRICS[metric]
        frame = self.frame[(self.frame["strategy"] == strategy) & (self.frame["asked"] == asked)]
        values = frame[column].astype(float)
        if base is not None:
            values = values - frame[base].astype(float)
        means = values.groupby(frame["seed"]).mean()
        return {int(seed): float(mean) for seed, mean in means.items()}

    def estimate(self, strategy: str, asked: str = CULTURE_SET, metric: str = "change") -> Estimate:
        """Estimate a metric's mean over seeds, with an interval over seeds.

        Raises:
            InputError: No such strategy.

        Example:
            ``study.estimate("bottom", "task")``
        """
        return t_estimate(list(self.per_seed(strategy, asked, metric).values()))

    def against(
        self, strategy: str, other: str, asked: str = CULTURE_SET, metric: str = "change"
    ) -> Estimate:
        """Estimate the difference of two strategies, paired by seed.

        Raises:
            InputError: No such strategy.

        Example:
            ``study.against("bottom", "top")``
        """
        one, two = (self.per_seed(name, asked, metric) for name in (strategy, other))
        return t_estimate([one[seed] - two[seed] for seed in one if seed in two])

    def summary(self, metric: str = "change") -> pd.DataFrame:
        """Lay out what every strategy gained on the task and did to culture.

        Returns:
            Strategies x trained_share, then each set of questions, with intervals over seeds.
        """
        import pandas as pd

        asked = tuple(dict.fromkeys(self.frame["asked"]))
        shares = self.frame.groupby("strategy")["trained_share"].mean()
        rows = {
            name: {
                "trained_share": float(shares[name]),
                **{a: self.estimate(name, a, metric) for a in asked},
            }
            for name in self.strategies
        }
        return numeric(pd.DataFrame.from_dict(rows, orient="index"))

    def _main_table(self) -> pd.DataFrame:
        return self.summary()


def joined(studies: Sequence[ForgettingStudy]) -> ForgettingStudy:
    """Join studies of other seeds into one; the first one's metadata are kept.

    Raises:
        InputError: No studies.
    """
    import pandas as pd

    if not studies:
        raise InputError("there are no studies to join.")
    frames = [study.frame for study in studies]
    return ForgettingStudy(pd.concat(frames, ignore_index=True), studies[0].metadata)
