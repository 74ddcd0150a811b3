"""Comparison: the effects of ablating each selector's neurons, and their layers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.checks import real, text
from culture_lens.errors import InputError, unknown
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.matrix import AblationMatrix, check_metric
from culture_lens.experiments.means import Means, beyond_sets
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Metric

KEPT_COLUMNS = ("id", "culture", "group", "category", "prediction", "correct", "p_gold")
"""The columns of an Evaluation that are kept."""
TABLE_METRICS: tuple[Metric, ...] = ("self", "cross", "gap", "flips")


class Comparison(ResultRecord):
    """The answers under every selector's masks, and the metrics at each share.

    Attributes:
        frame: One record per item and mask: ``condition`` (``"unmodified"`` or ``"found"``),
            ``selector``, ``share``, ``mask`` (the culture ablated), ``seed`` (of random neurons),
            and the columns of an Evaluation without gold and scores.
        metadata: Model, benchmark, scoring; ``numbers``, the neurons that each share is; and
            ``layers``, one record per selector, share, mask and seed with the number of neurons
            in each layer.

    Example:
        ``print(compare_selectors(model, questions).table())``
    """

    what = "a comparison of selectors"
    needs = ("selector", "share", *AblationMatrix.needs)

    @cached_property
    def selectors(self) -> tuple[str, ...]:
        """The selectors, in the given order."""
        return tuple(dict.fromkeys(self.frame.loc[self.frame["condition"] == FOUND, "selector"]))

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """The shares, smallest first."""
        return tuple(sorted(set(self.frame.loc[self.frame["condition"] == FOUND, "share"])))

    def number(self, share: float) -> int:
        """Give the number of neurons of each culture at a share."""
        self._check(share=share)
        return int(self.metadata["numbers"][self.shares.index(share)])

    def taken(self, selector: str, share: float) -> float:
        """Give the number of neurons that a selector took, mean over cultures.

        Fewer than asked for where its ranking has no more, as after LAPE's filters.
        """
        self._check(selector, share)
        return float(np.mean([sum(record["counts"]) for record in self._layers(selector, share)]))

    def _layers(self, selector: str, share: float) -> list[dict[str, Any]]:
        return [
            record
            for record in self.metadata["layers"]
            if (record["selector"], record["share"]) == (selector, share)
        ]

    def _check(self, selector: str | None = None, share: float | None = None) -> None:
        if selector is not None and text("selector", selector) not in self.selectors:
            raise unknown("selector", selector, self.selectors)
        if share is not None and real("share", share) not in self.shares:
            raise InputError(f"no share {share}: there are {', '.join(map(str, self.shares))}.")

    @cached_property
    def _matrices(self) -> dict[tuple[str, float], AblationMatrix]:
        base = self.frame["condition"] == UNMODIFIED
        return {
            (selector, share): AblationMatrix(
                self.frame[
                    base | ((self.frame["selector"] == selector) & (self.frame["share"] == share))
                ],
                {**self.metadata, "selector": selector, "share": share},
            )
            for selector in self.selectors
            for share in self.shares
        }

    def matrix(self, selector: str, share: float) -> AblationMatrix:
        """Give the ablation matrix of one selector at one share.

        Raises:
            InputError: No such selector or share.

        Example:
            ``comparison.matrix("conact", 0.003).table("change")``
        """
        self._check(selector, share)
        return self._matrices[selector, share]

    def estimate(self, selector: str, share: float, metric: Metric = "gap") -> Estimate:
        """Give the mean of a metric over cultures, with its interval.

        Raises:
            InputError: No such selector, share or metric.

        Example:
            ``comparison.estimate("conact", 0.003, "self")``
        """
        return self.matrix(selector, share).overall(metric)

    def difference(
        self, selector: str, other: str, share: float, metric: Metric = "gap"
    ) -> Estimate:
        """Give a metric of one selector minus that of another at one share, paired.

        Against ``"random"`` the interval carries the variance of random sets too, as
        ``AblationMatrix.beyond_random``.

        Raises:
            InputError: No such selector, share or metric.

        Example:
            ``comparison.difference("culnig_specific", "conact", 0.003)``
        """
        check_metric(metric)
        mine, theirs = (self._mean(name, share, metric) for name in (selector, other))
        if other != RANDOM:
            return mine.minus(theirs).estimate()
        frame = self.matrix(other, share).frame
        seeds = sorted(frame.loc[frame["condition"] == FOUND, "seed"].unique())
        sets = [self._mean(other, share, metric, int(seed)) for seed in seeds]
        value, spread = beyond_sets(mine, sets)
        return spread.estimate(value)

    def _mean(self, selector: str, share: float, metric: Metric, seed: int | None = None) -> Means:
        """Average a metric over cultures."""
        return self.matrix(selector, share).mean_metric(metric, seed=seed)

    def table(self) -> pd.DataFrame:
        """Give every selector at every share: numbers, and self, cross, gap, flips with intervals.

        Where random neurons were compared too, ``beyond_random`` is self minus theirs, paired; it
        is missing in their own rows.

        Example:
            ``comparison.table()``
        """
        import pandas as pd

        rows = []
        for selector in self.selectors:
            for share in self.shares:
                row: dict[str, Any] = {"selector": selector, "share": share}
                row |= {"asked": self.number(share), "taken": self.taken(selector, share)}
                row |= {name: self.estimate(selector, share, name) for name in TABLE_METRICS}
                if RANDOM in self.selectors and selector != RANDOM:
                    row["beyond_random"] = self.difference(selector, RANDOM, share, "self")
                rows.append(row)
        return numeric(pd.DataFrame(rows))

    def _main_table(self) -> pd.DataFrame:
        return self.table().set_index("selector")

    def layer_profiles(self, share: float | None = None) -> pd.DataFrame:
        """Give the share of neurons in each layer, selectors x layers, mean over cultures.

        Args:
            share: At which share; the largest by default.

        Raises:
            InputError: No such share.

        Example:
            ``comparison.layer_profiles().idxmax(axis=1)``
        """
        import pandas as pd

        at = self.shares[-1] if share is None else share
        self._check(share=at)
        profiles = {}
        for selector in self.selectors:
            counts = np.array([record["counts"] for record in self._layers(selector, at)], float)
            held = counts[counts.sum(1) > 0]
            shares = held / held.sum(1, keepdims=True)
            profiles[selector] = shares.mean(0) if len(held) else np.full(counts.shape[1], np.nan)
        return pd.DataFrame.from_dict(profiles, orient="index")


__all__ = ["Comparison"]
