"""UnitsComparison: what kinds of units do to their own culture and to others, at one size."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from culture_lens.checks import text
from culture_lens.errors import unknown
from culture_lens.experiments.conditions import FOUND, RANDOM, UNMODIFIED
from culture_lens.experiments.matrix import AblationMatrix, check_metric
from culture_lens.neurons.neurons import Neurons
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Condition, Metric

TABLE_METRICS: tuple[Metric, ...] = ("self", "cross", "gap")


class UnitsComparison(ResultRecord):
    """The answers under every edit, and the metrics of each kind of units.

    Attributes:
        frame: One record per item and edit: ``condition``, ``units`` (the kind), ``mask`` (the
            culture), ``seed``, and the columns of an Evaluation without gold and scores.
        metadata: Model, benchmark, scoring; ``equal``, ``k`` and ``reference``; ``methods``, the
            selector of each kind; and ``edits``, one record for each with its size and places.

    Example:
        ``print(compare_units(model, questions, {"neurons": ("act", "conact")}).table())``
    """

    what = "a comparison of units"
    needs = ("units", *AblationMatrix.needs)

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of units, in the given order."""
        return tuple(dict.fromkeys(edit["units"] for edit in self.metadata["edits"]))

    @cached_property
    def _matrices(self) -> dict[str, AblationMatrix]:
        base = self.frame["condition"] == UNMODIFIED
        return {
            kind: AblationMatrix(
                self.frame[base | (self.frame["units"] == kind)], {**self.metadata, "units": kind}
            )
            for kind in self.kinds
        }

    def matrix(self, kind: str) -> AblationMatrix:
        """Give the ablation matrix of one kind, with its random units.

        Raises:
            InputError: No such kind.

        Example:
            ``compared.matrix("features").table("change")``
        """
        if text("kind", kind) not in self.kinds:
            raise unknown("kind of units", kind, self.kinds)
        return self._matrices[kind]

    def estimate(self, kind: str, metric: Metric = "gap", condition: Condition = FOUND) -> Estimate:
        """Give the mean of a metric over cultures, with its interval clustered by question group.

        Raises:
            InputError: No such kind or metric.

        Example:
            ``compared.estimate("neurons", "self", "random")``
        """
        return self.matrix(kind).overall(metric, condition)

    def difference(self, kind: str, other: str, metric: Metric = "gap") -> Estimate:
        """Give a metric of one kind minus that of another, paired by question.

        Raises:
            InputError: No such kind or metric.

        Example:
            ``compared.difference("neurons", "features", "self")``
        """
        check_metric(metric)
        mine, theirs = (self.matrix(one).mean_metric(metric) for one in (kind, other))
        return mine.minus(theirs).estimate()

    def edits(self) -> pd.DataFrame:
        """List every edit: condition, units, mask (the culture), seed, number, scale and norm.

        ``scale`` is how often a direction was subtracted; NaN of one that was projected out, and
        of units that were ablated. ``norm`` is a share of the length of the residual stream.

        Example:
            ``compared.edits().groupby("units")["number"].describe()``
        """
        import pandas as pd

        return pd.DataFrame(self.metadata["edits"]).drop(columns="places").astype({"scale": float})

    def neurons(self, kind: str) -> dict[str, Neurons]:
        """Give the units of a kind that were ablated for each culture; none of directions.

        Raises:
            InputError: No such kind.

        Example:
            ``compared.neurons("features")["Japan"]``
        """
        self.matrix(kind)  # refuses an unknown kind
        found = {}
        for edit in self.metadata["edits"]:
            if (edit["units"], edit["condition"]) == (kind, FOUND) and edit["places"]:
                places: dict[str, list[tuple[int, int]]] = {}
                for site, layer, index in edit["places"]:
                    places.setdefault(site, []).append((layer, index))
                found[edit["mask"]] = Neurons.of(places)
        return found

    def table(self) -> pd.DataFrame:
        """Give a row per kind: number, norm, self, cross and gap, beside random units.

        ``norm`` is how far the residual stream is moved after the last layer, as a share of its
        length. Numbers and norms are means over cultures; columns with ``_low`` and ``_high``
        have intervals clustered by question group. ``beyond_random`` is self minus that of random
        units, paired, with the variance of random sets.

        Example:
            ``compared.table()[["units", "self", "self_low", "self_high"]]``
        """
        import pandas as pd

        sizes = self.edits().groupby(["condition", "units"])[["number", "norm"]].mean()
        rows = []
        for kind in self.kinds:
            row: dict[str, object] = {"units": kind, "selector": self.metadata["methods"][kind]}
            row |= sizes.loc[FOUND, kind].to_dict()
            row |= {metric: self.estimate(kind, metric) for metric in TABLE_METRICS}
            if self.matrix(kind).has_random:
                random = sizes.loc[RANDOM, kind].to_dict()
                row |= {f"random_{name}": value for name, value in random.items()}
                for metric in TABLE_METRICS:
                    row[f"random_{metric}"] = self.estimate(kind, metric, RANDOM)
                row["beyond_random"] = self.matrix(kind).beyond_random()
            rows.append(row)
        return numeric(pd.DataFrame(rows))

    def _main_table(self) -> pd.DataFrame:
        return self.table().set_index("units")


__all__ = ["UnitsComparison"]
