"""Predict a whole ablation matrix, masks x cultures, at the cost of attributing its questions once.

``fidelity`` measures how well these predictions hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from typing_extensions import Unpack

from culture_lens.checks import check_arguments, flag
from culture_lens.evaluation.evaluate import prepare
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.experiments.predicted_effects import (
    Prediction,
    PredictionOptions,
    item_frame,
    predicted_effects,
)
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.prompts.running import Running, read_options
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.records import ResultRecord

if TYPE_CHECKING:
    import pandas as pd


class PredictedMatrix(ResultRecord):
    """The predicted change of an objective on every culture's questions under every culture's mask.

    Attributes:
        frame: Columns mask (whose neurons), id, culture, group, p_gold and value (P(gold) and the
            objective of the unmodified model), predicted.
        metadata: Model, benchmark, selector, number of neurons per mask and of items, objective,
            scoring, path and its points.

    Example:
        ``predicted_ablation_matrix(model, found, questions).table()``
    """

    what = "a predicted matrix"
    needs = ("mask", "id", "culture", "group", "predicted")

    @property
    def masks(self) -> tuple[str, ...]:
        """The cultures whose neurons would be ablated."""
        return tuple(sorted(self.frame["mask"].unique()))

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures whose questions would be asked."""
        return tuple(sorted(self.frame["culture"].unique()))

    def table(self) -> pd.DataFrame:
        """Mean predicted change of the objective, masks x evaluated cultures."""
        means = self.frame.groupby(["mask", "culture"])["predicted"].mean()
        table: pd.DataFrame = means.unstack()
        return table

    def _main_table(self) -> pd.DataFrame:
        return self.table()


@check_arguments(
    model=MODEL,
    found=FOUND_SET,
    questions=QUESTIONS,
    seen=flag,
)
def predicted_ablation_matrix(
    model: LensModel,
    found: NeuronSet,
    questions: Sequence[Question],
    *,
    seen: bool = False,
    **options: Unpack[PredictionOptions],
) -> PredictedMatrix:
    """Predict the whole matrix, masks x cultures, from gradients at the questions.

    By default the change of the right letter's probability, from one backward pass.

    Args:
        model: The model that the neurons were found on.
        found: The neurons.
        questions: What to ask. Questions that were given to find the neurons are left out, with
            their groups; see ``unseen``.
        seen: Ask the questions that found the neurons too, with a warning.
        **options: ``objective``, ``scoring``, ``path`` and ``points`` of the gradients, see
            ``attribute``; batch size, progress, run folder and prompts that are too long, see
            ``Running``.

    Raises:
        InputError: The neurons are of another model, every question identified them, or an unknown
            option.

    Example:
        ``predicted_ablation_matrix(model, found, questions, objective="logit_difference").table()``
    """
    import pandas as pd

    prediction, how = read_options(options, Prediction, Running)
    found.check_model(model)
    asked = unseen(found, questions, seen)
    content = found.content
    found = align_cultures(found, asked)
    prompts, _ = prepare(model, asked, prediction.scoring, how)
    effects = predicted_effects(
        model, prompts, list(found.neurons.values()), prediction=prediction, running=how
    )
    items = item_frame(prompts, effects)
    frame = pd.concat(
        [
            items.assign(mask=culture, predicted=effects.changes[:, position].numpy())
            for position, culture in enumerate(found)
        ],
        ignore_index=True,
    )
    metadata = {
        "model": model.name,
        "weights": model.fingerprint,
        NEURON_SET: content,
        "benchmark": benchmarks_of(asked),
        "selector": found.method,
        "neurons": {culture: len(found[culture]) for culture in found},
        "items": len(prompts),
        "seen": seen,
        **asdict(prediction),
    }
    return PredictedMatrix(frame, metadata)
