"""Fidelity: how well predicted effects of ablation agree with measured ones.

The prediction (see ``predicted_effects``) follows the gradient of an objective, such as P(gold), at
the unmodified model, where it is linear in the edit, or along a path to ablated neurons. The
measured change of the objective comes from running the model with the neurons ablated. Where the
two agree, attribution can rank neurons and predict whole matrices cheaply; where they differ, only
ablation counts. Without a path they differ at the gate even for the smallest effects, because
ablation moves act(n) to act(0), which the gradient at n does not predict.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from culture_lens.errors import InputError, unknown
from culture_lens.experiments.fidelity_units import NEURON
from culture_lens.experiments.means import cell_means, means_of
from culture_lens.statistics.bootstrap import (
    CORRELATION_BOUNDS,
    correlation,
    interval,
    ranks,
    value_and_draws,
)
from culture_lens.statistics.estimates import UNBOUNDED, Estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.experiments.fidelity_units import UnitKind

CORRELATIONS = ("pearson", "spearman")


class Fidelity(ResultRecord):
    """Predicted and measured changes of an objective, one record per unit and item.

    A unit is something that was ablated: a single neuron, a set of neurons, or a cell of an
    ablation matrix (the neurons of one culture, on the questions of another).

    Attributes:
        frame: Columns unit, kind (``"neuron"``, ``"set"`` or ``"cell"``), size (neurons), score
            (the attribution score of a single neuron, else NaN), id, culture, group, p_gold and
            value (P(gold) and the objective of the unmodified model), predicted, measured.
        metadata: Model, benchmark, number of items, objective, scoring, path and its points.

    Example:
        ``print(fidelity(model, questions, scores).correlation("neuron"))``
    """

    what = "a fidelity record"
    needs = ("unit", "kind", "size", "score", "group", "predicted", "measured")

    @property
    def kinds(self) -> tuple[UnitKind, ...]:
        """The kinds of its units."""
        return tuple(dict.fromkeys(self.frame["kind"]))

    @cached_property
    def _groups(self) -> list[str]:
        return sorted(self.frame["group"].unique())

    @cached_property
    def _draws(self) -> dict[str, dict[str, Float[np.ndarray, "draw unit"]]]:
        """Mean of predicted and measured per unit: the value first, then its bootstrap draws."""
        weights = value_and_draws(len(self._groups))
        found: dict[str, dict[str, np.ndarray]] = {}
        for kind in self.kinds:
            part = self.frame[self.frame["kind"] == kind]
            axes = {"unit": list(dict.fromkeys(part["unit"]))}
            found[kind] = {
                column: cell_means(part, column, axes, self._groups, weights)
                for column in ("predicted", "measured")
            }
        return found

    def draws(self, kind: UnitKind, column: str) -> Float[np.ndarray, "draw unit"]:
        """Give the mean of a column over each unit's items, with draws, the value first.

        Raises:
            InputError: No such kind of units.
        """
        if kind not in self._draws:
            raise unknown("kind of unit", kind, self._draws)
        return self._draws[kind][column]

    def units(self, kind: UnitKind) -> pd.DataFrame:
        """List units: size, score, and the mean predicted and measured change, with intervals.

        Raises:
            InputError: No such kind of units.

        Example:
            ``fidelity(model, questions, scores).units("set")``
        """
        if kind not in self.kinds:
            raise unknown("kind of unit", kind, self.kinds)
        part = self.frame[self.frame["kind"] == kind]
        table = part.drop_duplicates("unit").set_index("unit")[["size", "score"]]
        for column in ("predicted", "measured"):
            means = means_of(part, column, {"unit": list(table.index)}, self._groups, UNBOUNDED)
            table[column] = means.estimates()
        return numeric(table)

    def _main_table(self) -> pd.DataFrame:
        return self.units(self.kinds[0])

    def correlation(self, kind: UnitKind, method: str = "pearson") -> Estimate:
        """Correlate predicted with measured over units, interval clustered by question group.

        The interval says how much the correlation over these units depends on the items.

        Args:
            kind: ``"neuron"``, ``"set"`` or ``"cell"``.
            method: ``"pearson"``, or ``"spearman"`` for ranks.

        Raises:
            InputError: An unknown kind or method, or fewer than three units.
        """
        if method not in CORRELATIONS:
            raise unknown("correlation", method, CORRELATIONS)
        predicted, measured = self._pair(kind)
        if method == "spearman":
            predicted, measured = ranks(predicted), ranks(measured)
        values = correlation(predicted, measured)
        return interval(values[0], values[1:], len(self._groups), CORRELATION_BOUNDS)

    def score_correlation(self) -> Estimate:
        """Rank correlation of single neurons' attribution score with the loss under ablation.

        The score is a weighted maximum over tokens and so does not predict an effect; this says
        whether it still ranks neurons by their effect.

        Raises:
            InputError: Fewer than three single neurons.
        """
        _, measured = self._pair(NEURON)
        scores = self.units(NEURON)["score"].to_numpy(dtype=float)
        values = correlation(ranks(np.broadcast_to(scores, measured.shape)), ranks(-measured))
        return interval(values[0], values[1:], len(self._groups), CORRELATION_BOUNDS)

    def slope(self, kind: UnitKind) -> Estimate:
        """Give the slope through the origin of measured on predicted; 1 where they agree.

        Example:
            ``fidelity(model, questions, scores).slope("set")``
        """
        predicted, measured = self._pair(kind)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = (predicted * measured).sum(1) / (predicted**2).sum(1)
        return interval(values[0], values[1:], len(self._groups))

    def _pair(self, kind: UnitKind) -> tuple[np.ndarray, np.ndarray]:
        predicted, measured = self.draws(kind, "predicted"), self.draws(kind, "measured")
        if predicted.shape[1] < 3:
            raise InputError(
                f"only {predicted.shape[1]} units of kind {kind!r}: at least three are needed to "
                "compare predicted with measured effects."
            )
        return predicted, measured
