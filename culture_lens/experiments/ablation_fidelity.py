"""fidelity: compare predicted with measured effects of ablation, of units and whole matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from typing_extensions import Unpack

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.checks import SEED, check_arguments, each, instance, mapping, optional, whole
from culture_lens.errors import InputError, warn
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.experiments.conditions import FOUND, UNMODIFIED
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.fidelity_units import (
    CELL,
    check_scores_of,
    list_units,
    overall_scores,
)
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.experiments.measured_values import objective_values
from culture_lens.experiments.predicted_effects import (
    Prediction,
    PredictionOptions,
    item_frame,
    predicted_effects,
)
from culture_lens.experiments.predicted_matrix import PredictedMatrix
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import NEURONS, Neurons
from culture_lens.neurons.scores import NeuronScores, check_share
from culture_lens.prompts.running import Running, read_options
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen


def comparable(predicted: PredictedMatrix, matrix: AblationMatrix) -> bool:
    """Say whether a matrix measured what is predicted: the same scoring, neurons set to zero."""
    scoring = predicted.metadata.get("scoring", "letter")
    return matrix.metadata.get("scoring") == scoring and matrix.metadata.get("value") == "zero"


@check_arguments(
    predicted=instance(PredictedMatrix, remedy="what predicted_ablation_matrix gives"),
    matrix=MATRIX,
)
def matrix_fidelity(predicted: PredictedMatrix, matrix: AblationMatrix) -> Fidelity:
    """Compare every predicted cell of a matrix with the measured one.

    Args:
        predicted: The prediction, from ``predicted_ablation_matrix``.
        matrix: The matrix of the same neurons and questions, of the same scoring.

    Raises:
        InputError: The matrix has another scoring, model, neurons or questions, or answers for
            which the objective has no finite value.

    Example:
        ``matrix_fidelity(predicted, matrix).correlation("cell")``
    """
    objective, scoring = (
        predicted.metadata.get(fact, default)
        for fact, default in (("objective", "probability"), ("scoring", "letter"))
    )
    if not comparable(predicted, matrix):
        raise InputError(
            f"the prediction is of the answer's {objective} with scoring={scoring!r} and neurons "
            f"set to zero, this matrix has scoring={matrix.metadata.get('scoring')!r}, "
            f"value={matrix.metadata.get('value')!r}: make it with ablation_matrix(..., "
            f"scoring={scoring!r})."
        )
    answers = matrix.frame[matrix.frame["condition"].isin((UNMODIFIED, FOUND))]
    answers = answers.assign(value=objective_values(answers, objective))
    base = answers[answers["condition"] == UNMODIFIED].set_index("id")["value"]
    found = answers.loc[answers["condition"] == FOUND, ["mask", "id", "value"]]
    found = found.assign(measured=found["value"] - found["id"].map(base))
    frame = predicted.frame.merge(found[["mask", "id", "measured"]], on=["mask", "id"])
    for fact in ("model", "neurons"):
        mine, theirs = predicted.metadata.get(fact), matrix.metadata.get(fact)
        if mine != theirs:
            raise InputError(
                f"prediction and matrix differ in {fact} ({mine} and {theirs}): make both with one "
                "model and the same neurons."
            )
    sets = {result.metadata.get(NEURON_SET) for result in (predicted, matrix)} - {None}
    if len(sets) > 1:
        raise InputError(
            "prediction and matrix are of other neurons, though of as many: make both of one set."
        )
    if len(frame) != len(predicted.frame):
        raise InputError(
            f"only {len(frame)} of {len(predicted.frame)} predicted records have a measured one: "
            "make both on the same questions."
        )
    frame = frame.assign(
        unit=frame["mask"] + " on " + frame["culture"],
        kind=CELL,
        size=frame["mask"].map(predicted.metadata["neurons"]),
        score=np.nan,
    )
    return Fidelity(frame.drop(columns="mask"), {**predicted.metadata})


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    scores=instance(NeuronScores, CulnigScores, remedy="what attribute or culnig_scores gives"),
    neurons=whole(0),
    shares=each(lambda _, value: check_share(value)),
    sets=optional(mapping(NEURONS)),
    seed=SEED,
)
def fidelity(
    model: LensModel,
    questions: Sequence[Question],
    scores: NeuronScores | CulnigScores,
    *,
    neurons: int = 30,
    shares: Sequence[float] = (0.0001, 0.001, 0.003, 0.01),
    sets: Mapping[str, Neurons] | None = None,
    seed: int = 0,
    seen: bool = False,
    **options: Unpack[PredictionOptions],
) -> Fidelity:
    """Compare predicted with measured effects of ablating single neurons and whole sets.

    Single neurons are a sample: half at ranks of their score spread evenly on a log scale, half
    random. Sets are the best neurons by score at several shares, random sets of the same sizes,
    and any given sets. Each unit costs one pass over the questions. By default the change of the
    right letter's probability is predicted, from one backward pass.

    Args:
        model: The model.
        questions: What to ask. Questions that were given to make the scores are left out, with
            their groups; see ``unseen``.
        scores: Attribution scores; see ``attribute`` and ``culnig_scores``.
        neurons: How many single neurons.
        shares: Shares of all scored neurons that make the sets; shares that choose no neuron are
            left out.
        sets: Further sets by name, such as ``found.neurons``.
        seed: Seed of the random neurons.
        seen: Ask the questions that made the scores too, with a warning.
        **options: ``objective``, ``scoring``, ``path`` and ``points`` of the gradients, see
            ``attribute``; batch size, progress, run folder and prompts that are too long, see
            ``Running``.

    Returns:
        A record for every unit and item, with ``correlation``, ``slope`` and
        ``score_correlation``.

    Raises:
        InputError: Scores of another model, every question made the scores, labels that are not
            single tokens, or an unknown option.

    Example:
        ``fidelity(model, held_out, scores, objective="logit_difference").correlation("neuron")``
    """
    import pandas as pd

    prediction, how = read_options(options, Prediction, Running)
    tables = overall_scores(scores)
    check_scores_of(model, tables)
    made = scores.task if isinstance(scores, CulnigScores) else scores
    NeuronSet({}, {}, made.metadata).check_model(model)
    warn_of_precision(model)
    units = list_units(tables, neurons, shares, sets or {}, seed)
    asked = unseen(scores, questions, seen)
    prompts, scoring = prepare(model, asked, prediction.scoring, how)
    effects = predicted_effects(
        model, prompts, [u.neurons for u in units], prediction=prediction, running=how
    )
    base, *ablated = answer_masks(
        model,
        prompts,
        scoring,
        [(UNMODIFIED, None), *((unit.name, unit.neurons) for unit in units)],
        label="ablating",
        running=how,
    )
    items = item_frame(prompts, effects)
    before = objective_values(base, prediction.objective)
    frames = [
        items.assign(
            unit=unit.name,
            kind=unit.kind,
            size=len(unit.neurons),
            score=unit.score,
            predicted=effects.changes[:, position].numpy(),
            measured=objective_values(frame, prediction.objective) - before,
        )
        for position, (unit, frame) in enumerate(zip(units, ablated, strict=True))
    ]
    metadata = {
        "model": model.name,
        "benchmark": benchmarks_of(asked),
        "items": len(prompts),
        "seed": seed,
        "seen": seen,
        **asdict(prediction),
    }
    return Fidelity(pd.concat(frames, ignore_index=True), metadata)


def warn_of_precision(model: LensModel) -> None:
    """Warn of a dtype whose rounding error is larger than the effect of a single neuron."""
    if model.dtype.itemsize < torch.float32.itemsize:
        warn(
            f"{model.name!r} is loaded in {model.dtype}, in which the measured effect of a single "
            "neuron drowns in rounding: read low agreement of single neurons as noise, or load "
            "the model in float32."
        )
