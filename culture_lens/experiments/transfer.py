"""TransferMatrix: neurons found on one benchmark and ablated on another, such as text and images.

For benchmarks s and t, N_s(c) the neurons of culture c found on s, and A[s,t][m,e] the accuracy on
the questions of culture e in t with N_s(m) ablated:

    self(s,t)  = mean over c of A[s,t][c,c] - base[t][c]
    gap(s,t)   = self(s,t) - mean over c, e != c of A[s,t][c,e] - base[t][e]

The same metrics are given for as many random neurons in each layer. On the diagonal, neurons are
tested on held-out questions of their own benchmark. Off the diagonal, a loss of accuracy shows that
the neurons carry knowledge that both benchmarks ask for. The metrics are those of ConAct's paper
(arXiv 2510.24942, section 4); the table of benchmarks is our own.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from culture_lens.errors import unknown
from culture_lens.experiments.conditions import BEYOND, FOUND
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.conditions import Metric, TransferCondition


class TransferMatrix(ResultRecord):
    """The ablation matrix of every pair of benchmarks, and the metrics of all of them.

    Attributes:
        frame: The columns of an ``AblationMatrix``, with ``source`` (where the neurons were found)
            and ``target`` (what was asked) before them.
        metadata: Model, selector, cultures, the overlaps, and ``pairs``: the metadata of the
            matrix of each source and target.

    Example:
        ``transfer_matrix(model, {"text": texts, "images": pictured}).table("gap")``
    """

    what = "a transfer table"
    needs = ("source", "target", *AblationMatrix.needs)

    @property
    def names(self) -> tuple[str, ...]:
        """The benchmarks, in the given order."""
        return tuple(self.metadata["benchmarks"])

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that all benchmarks have."""
        return tuple(self.metadata["cultures"])

    @cached_property
    def _matrices(self) -> dict[tuple[str, str], AblationMatrix]:
        return {
            (source, target): AblationMatrix(
                part.drop(columns=["source", "target"]).reset_index(drop=True),
                self.metadata["pairs"][source][target],
            )
            for (source, target), part in self.frame.groupby(["source", "target"], sort=False)
        }

    def matrix(self, source: str, target: str) -> AblationMatrix:
        """Give the ablation matrix of the neurons of one benchmark on another's questions.

        Raises:
            InputError: No such benchmark.

        Example:
            ``result.matrix("text", "images").summary()``
        """
        for name in (source, target):
            if name not in self.names:
                raise unknown("benchmark", name, self.names)
        return self._matrices[source, target]

    def cell(
        self,
        source: str,
        target: str,
        metric: Metric = "self",
        condition: TransferCondition = FOUND,
    ) -> Estimate:
        """Give the mean of a metric over cultures, with its interval.

        Args:
            source: Where the neurons were found.
            target: What was asked.
            metric: ``"base"``, ``"self"``, ``"cross"``, ``"gap"`` or ``"flips"``; see
                ``AblationMatrix.overall``.
            condition: ``"found"``, ``"random"``, or ``"beyond"`` for the difference of the two.

        Example:
            ``result.cell("text", "images", "gap")``
        """
        matrix = self.matrix(source, target)
        if condition == BEYOND:
            return matrix.beyond_random(metric)
        return matrix.overall(metric, condition)

    def table(self, metric: Metric = "self", condition: TransferCondition = FOUND) -> pd.DataFrame:
        """Give a metric for every source (rows) and target, with the ends of its interval.

        Example:
            ``result.table("self", condition="beyond")``
        """
        import pandas as pd

        rows = [[self.cell(s, t, metric, condition) for t in self.names] for s in self.names]
        return numeric(pd.DataFrame(rows, index=list(self.names), columns=list(self.names)))

    def _main_table(self) -> pd.DataFrame:
        return self.table()

    def overlap(self) -> pd.DataFrame:
        """Compare the neurons of each culture between benchmarks.

        Returns:
            One row per pair of benchmarks and culture: ``jaccard``, ``shared`` (neurons in both)
            and ``by_chance`` (how many two random sets of these sizes would share).
        """
        import pandas as pd

        return pd.DataFrame(self.metadata["overlap"])
