"""Attribution answers for itself: predicted effects of ablating beside measured ones.

The prediction (``prediction.py``) follows the tangent of P(gold) at the model as it is; the change
is measured by running the model again with the neurons ablated. Where the two agree, attribution
may be trusted to rank neurons and to look at whole matrices cheaply; where they part, the model is
not linear over the edit, and only ablation counts. At the gate they part even for the faintest
effect: ablating moves act(n) to act(0), which is not where the tangent at n leads.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.experiments.matrix import FOUND, UNMODIFIED, AblationMatrix
from culture_lens.experiments.predicted_matrix import PredictedMatrix, item_frame, predicted_effects
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NeuronScores, pooled_top
from culture_lens.questions.question import Question, benchmarks_of
from culture_lens.selectors.random import generator
from culture_lens.statistics.estimates import (
    Estimate,
    correlation,
    interval,
    ranks,
    value_and_draws,
)
from culture_lens.storage.records import ResultRecord
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    import pandas as pd

NEURON, SET, CELL = "neuron", "set", "cell"
METHODS = ("pearson", "spearman")


class Fidelity(ResultRecord):
    """Predicted and measured changes of P(gold), one record per unit and item.

    A unit is something that was ablated: a single neuron, a set of neurons, or a cell of an
    ablation matrix (the neurons of one culture, on the questions of another).

    Attributes:
        frame: Columns unit, kind (``"neuron"``, ``"set"`` or ``"cell"``), size (neurons), score
            (the attribution score of a single neuron, else NaN), id, culture, group, p_gold (of
            the unmodified model), predicted, measured.
        metadata: Model, benchmark, and number of items.

    Example:
        ``print(fidelity(model, questions, scores).correlation("neuron"))``
    """

    what = "a fidelity record"

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of units there are."""
        return tuple(dict.fromkeys(self.frame["kind"]))

    @cached_property
    def _draws(self) -> dict[str, dict[str, Float[np.ndarray, "draw unit"]]]:
        """Mean of predicted and measured per unit: the value first, then its bootstrap draws."""
        groups = {name: i for i, name in enumerate(sorted(self.frame["group"].unique()))}
        weights = value_and_draws(len(groups))
        found: dict[str, dict[str, np.ndarray]] = {}
        for kind in self.kinds:
            part = self.frame[self.frame["kind"] == kind]
            units = {name: i for i, name in enumerate(dict.fromkeys(part["unit"]))}
            where = (part["group"].map(groups), part["unit"].map(units))
            sizes = np.zeros((len(groups), len(units)))
            np.add.at(sizes, where, 1.0)
            found[kind] = {}
            for column in ("predicted", "measured"):
                sums = np.zeros_like(sizes)
                np.add.at(sums, where, part[column].to_numpy(dtype=float))
                with np.errstate(invalid="ignore", divide="ignore"):
                    found[kind][column] = (weights @ sums) / (weights @ sizes)
        return found

    def draws(self, kind: str, column: str) -> Float[np.ndarray, "draw unit"]:
        """Give the mean of a column over each unit's items, with draws, the value first.

        Raises:
            InputError: No such kind of units.
        """
        if kind not in self._draws:
            raise unknown("kind of unit", kind, self._draws)
        return self._draws[kind][column]

    def units(self, kind: str) -> pd.DataFrame:
        """List units: size, score, and the mean predicted and measured change, as Estimates.

        Example:
            ``fidelity(model, questions, scores).units("set")``
        """
        part = self.frame[self.frame["kind"] == kind]
        table = part.drop_duplicates("unit").set_index("unit")[["size", "score"]]
        for column in ("predicted", "measured"):
            values = self.draws(kind, column)
            table[column] = [interval(v[0], v[1:]) for v in values.T]
        return table

    def correlation(self, kind: str, method: str = "pearson") -> Estimate:
        """Correlate predicted with measured over units, interval clustered by question group.

        The interval says how far the correlation over these units hangs on the items.

        Args:
            kind: ``"neuron"``, ``"set"`` or ``"cell"``.
            method: ``"pearson"``, or ``"spearman"`` for ranks.

        Raises:
            InputError: An unknown kind or method, or fewer than three units.
        """
        if method not in METHODS:
            raise unknown("correlation", method, METHODS)
        predicted, measured = self._pair(kind)
        if method == "spearman":
            predicted, measured = ranks(predicted), ranks(measured)
        values = correlation(predicted, measured)
        return interval(values[0], values[1:])

    def score_correlation(self) -> Estimate:
        """Rank correlation of single neurons' attribution score with what ablating them costs.

        The score takes the maximum over tokens and a weight, so it is no prediction of an effect;
        this says whether it ranks neurons by their effect all the same.

        Raises:
            InputError: Fewer than three single neurons.
        """
        _, measured = self._pair(NEURON)
        scores = self.units(NEURON)["score"].to_numpy(dtype=float)
        values = correlation(ranks(np.broadcast_to(scores, measured.shape)), ranks(-measured))
        return interval(values[0], values[1:])

    def slope(self, kind: str) -> Estimate:
        """Give the slope through the origin of measured on predicted; 1 where they agree.

        Example:
            ``fidelity(model, questions, scores).slope("set")``
        """
        predicted, measured = self._pair(kind)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = (predicted * measured).sum(1) / (predicted**2).sum(1)
        return interval(values[0], values[1:])

    def _pair(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        predicted, measured = self.draws(kind, "predicted"), self.draws(kind, "measured")
        if predicted.shape[1] < 3:
            raise InputError(
                f"only {predicted.shape[1]} units of kind {kind!r}: at least three are needed to "
                "compare predicted with measured effects."
            )
        return predicted, measured


def comparable(matrix: AblationMatrix) -> bool:
    """Say whether a matrix measured what is predicted: P of the letter, neurons set to zero."""
    return matrix.metadata.get("scoring") == "letter" and matrix.metadata.get("value") == "zero"


def matrix_fidelity(predicted: PredictedMatrix, matrix: AblationMatrix) -> Fidelity:
    """Set every predicted cell of a matrix beside the measured one.

    Args:
        predicted: What ``predicted_ablation_matrix`` gave.
        matrix: The matrix of the same neurons and questions, scored by letter.

    Raises:
        InputError: The matrix was scored in another way, or on none of the same items.

    Example:
        ``matrix_fidelity(predicted, matrix).correlation("cell")``
    """
    if not comparable(matrix):
        raise InputError(
            "the prediction is of the letter's probability over the whole vocabulary with "
            "neurons set to zero, this matrix has scoring="
            f"{matrix.metadata.get('scoring')!r}, value={matrix.metadata.get('value')!r}: make "
            "it with ablation_matrix(..., scoring='letter')."
        )
    kinds = matrix.frame["condition"]
    base = matrix.frame[kinds == UNMODIFIED].set_index("id")["p_gold"]
    found = matrix.frame.loc[kinds == FOUND, ["mask", "id", "p_gold"]]
    found = found.assign(measured=found["p_gold"] - found["id"].map(base))
    frame = predicted.frame.merge(found[["mask", "id", "measured"]], on=["mask", "id"])
    for fact in ("model", "neurons"):
        mine, theirs = predicted.metadata.get(fact), matrix.metadata.get(fact)
        if mine != theirs:
            raise InputError(
                f"prediction and matrix differ in {fact} ({mine} and {theirs}): make both with one "
                "model and the same neurons."
            )
    if len(frame) != len(predicted.frame):
        raise InputError(
            f"only {len(frame)} of {len(predicted.frame)} predicted records have a measured one: "
            "make both on the same questions."
        )
    sizes = predicted.metadata["neurons"]
    frame = frame.assign(
        unit=frame["mask"] + " on " + frame["culture"],
        kind=CELL,
        size=frame["mask"].map(sizes),
        score=np.nan,
    )
    return Fidelity(frame.drop(columns="mask"), {**predicted.metadata})


def overall_scores(scores: NeuronScores | CulnigScores) -> dict[str, Tensor]:
    """Give one score per neuron, over all cultures: task minus control for CULNIG."""
    tables = scores.contrast() if isinstance(scores, CulnigScores) else scores.scores
    return {site: values.sum(0) for site, values in tables.items()}


def sample_neurons(
    scores: Mapping[str, Float[Tensor, "layer neuron"]], number: int, seed: int
) -> dict[tuple[str, int, int], float]:
    """Sample single neurons: one half at ranks spread evenly on a log scale, the rest at random.

    Effects of most neurons are next to nothing, so random ones alone would compare noise with
    noise; the best alone would hide what happens to the others.

    Returns:
        ``(site, layer, index)`` -> score.
    """
    flat = torch.cat([values.flatten() for values in scores.values()])
    order = torch.sort(flat, descending=True, stable=True).indices
    number = min(number, len(flat))
    if number < 1:
        return {}
    spread = np.unique(np.geomspace(1, len(flat), max(1, number - number // 2)).astype(int)) - 1
    drawn = torch.randperm(len(flat), generator=generator(seed, "fidelity")).tolist()
    chosen = dict.fromkeys(order[spread].tolist())
    for place in drawn:
        if len(chosen) >= number:
            break
        chosen.setdefault(place)
    found = {}
    for place in chosen:
        rest = place
        for site, values in scores.items():
            if rest < values.numel():
                width = values.shape[1]
                found[site, rest // width, rest % width] = float(flat[place])
                break
            rest -= values.numel()
    return found


@dataclass(frozen=True, eq=False)
class Unit:
    """Something to ablate: one neuron with its score, or a set."""

    name: str
    kind: str
    neurons: Neurons
    score: float = float("nan")


def list_units(
    tables: Mapping[str, Float[Tensor, "layer neuron"]],
    neurons: int,
    shares: Sequence[float],
    sets: Mapping[str, Neurons],
    seed: int,
) -> list[Unit]:
    """List what ``fidelity`` ablates: single neurons, best and random sets, and given ones."""
    units = [
        Unit(f"{site} {layer}.{index}", NEURON, Neurons.of({site: [(layer, index)]}), score)
        for (site, layer, index), score in sample_neurons(tables, neurons, seed).items()
    ]
    noise = {
        site: torch.rand(values.shape, generator=generator(seed, "fidelity sets", site))
        for site, values in tables.items()
    }
    total = sum(values.numel() for values in tables.values())
    for share in shares:
        if int(share * total) >= 1:
            units.append(Unit(f"top {100 * share:.6g}%", SET, pooled_top(tables, share)))
            units.append(Unit(f"random {100 * share:.6g}%", SET, pooled_top(noise, share)))
    units += [Unit(name, SET, chosen) for name, chosen in sets.items() if len(chosen)]
    names = [unit.name for unit in units]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two units would be called {name!r}: give shares and sets once each.")
    return units


def fidelity(
    model: LensModel,
    questions: Sequence[Question],
    scores: NeuronScores | CulnigScores,
    *,
    neurons: int = 30,
    shares: Sequence[float] = (0.0001, 0.001, 0.003, 0.01),
    sets: Mapping[str, Neurons] | None = None,
    seed: int = 0,
    too_long: str = "error",
    batch_size: int = 16,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> Fidelity:
    """Compare predicted with measured effects of ablating, for single neurons and whole sets.

    Single neurons are a sample: half at ranks of their score spread evenly on a log scale, half
    random. Sets are the best neurons by score at several shares, random sets of the same sizes,
    and any that are given. Each costs one pass over the questions.

    Args:
        model: The model.
        questions: What to ask, by letter.
        scores: Attribution scores; see ``attribute`` and ``culnig_scores``.
        neurons: How many single neurons.
        shares: Shares of all scored neurons that make the sets; shares that choose no neuron are
            left out.
        sets: Further sets by name, such as ``found.neurons``.
        seed: Seed of the random neurons.
        too_long: What to do with prompts longer than the context.
        batch_size: Questions per pass.
        progress: Show progress bars.
        run: A run folder; finished units are kept and found again.

    Returns:
        Records of every unit and item; ``correlation``, ``slope`` and ``score_correlation`` read
        them.

    Raises:
        InputError: Scores of another model, or labels that are not single tokens.

    Example:
        ``fidelity(model, held_out, scores).correlation("neuron", "spearman")``
    """
    import pandas as pd

    tables = overall_scores(scores)
    check_scores_of(model, tables)
    if model.dtype.itemsize < torch.float32.itemsize:
        warnings.warn(
            f"{model.name!r} is loaded in {model.dtype}, in which the measured effect of a single "
            "neuron drowns in rounding: read low agreement of single neurons as noise, or load "
            "the model in float32.",
            CultureLensWarning,
            stacklevel=2,
        )
    units = list_units(tables, neurons, shares, sets or {}, seed)
    prompts, way = prepare(model, questions, "letter", too_long=too_long, progress=progress)
    p_gold, changes = predicted_effects(
        model, prompts, [u.neurons for u in units], batch_size=batch_size, progress=progress
    )
    items = item_frame(prompts, p_gold)
    folder = Run.open(run) if run is not None else None

    base, *ablated = answer_masks(
        model,
        prompts,
        way,
        [("unmodified", None), *((unit.name, unit.neurons) for unit in units)],
        batch_size=batch_size,
        progress=progress,
        label="ablating",
        run=folder,
    )
    frames = [
        items.assign(
            unit=unit.name,
            kind=unit.kind,
            size=len(unit.neurons),
            score=unit.score,
            predicted=changes[:, position].numpy(),
            measured=(frame["p_gold"] - base["p_gold"]).to_numpy(),
        )
        for position, (unit, frame) in enumerate(zip(units, ablated, strict=True))
    ]
    metadata = {
        "model": model.name,
        "benchmark": benchmarks_of(questions),
        "items": len(prompts),
        "seed": seed,
    }
    return Fidelity(pd.concat(frames, ignore_index=True), metadata)


def check_scores_of(model: LensModel, tables: Mapping[str, Tensor]) -> None:
    """Refuse scores whose shape is not that of the model.

    Raises:
        InputError: Names the site and the shapes.
    """
    for site, values in tables.items():
        have = model.shape(site)
        if tuple(values.shape) != have:
            raise InputError(
                f"these scores have {tuple(values.shape)} neurons (layer neuron) at site {site!r}, "
                f"{model.name!r} has {have}: use the model they were made on."
            )
