"""Predict the effects of ablating any number of sets of neurons from one backward pass.

To first order, multiplying the neurons S by a factor f changes the probability of the right answer
by

    (f - 1) sum over n in S, tokens t of n_t dP(y|x) / dn_t        f = 0: ablated

A whole ablation matrix, masks x cultures, costs as much as attributing its questions once.
``fidelity`` measures how well these predictions hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.attribution.passes import Met, attribution_pass
from culture_lens.attribution.scoring import by_letter
from culture_lens.checks import check_arguments, flag
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import asked_of, prepare
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.interventions.hooks import described
from culture_lens.models.checks import MODEL
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.models.pieces import piece_of
from culture_lens.neurons.align import align_cultures
from culture_lens.neurons.hooks import check_inside
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen
from culture_lens.storage.finished import finished_frame
from culture_lens.storage.records import ResultRecord
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    import pandas as pd


class PredictedMatrix(ResultRecord):
    """The predicted change of P(gold) on every culture's questions under every culture's mask.

    Attributes:
        frame: Columns mask (whose neurons), id, culture, group, p_gold, predicted.
        metadata: Model, benchmark, selector, number of neurons per mask and of items.

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
        """Mean predicted change of P(gold), masks x evaluated cultures."""
        means = self.frame.groupby(["mask", "culture"])["predicted"].mean()
        table: pd.DataFrame = means.unstack()
        return table


def set_effects(
    model: LensModel, batch: Batch, sets: Sequence[Neurons]
) -> tuple[Float[Tensor, " item"], Float[Tensor, "item set"]]:
    """Sum n_t dP/dn_t over each set's neurons and all tokens, for each item of a batch.

    Returns:
        P(gold), and the sums, in float64.
    """
    weights = {
        site: torch.stack([row.mask(site, model.shape(site)) for row in sets], 2)
        for site in dict.fromkeys(site for row in sets for site in row.places)
    }
    places = [
        (site, layer)
        for site, mask in weights.items()
        for layer in mask.any(2).any(1).nonzero()[:, 0].tolist()
    ]
    effects = torch.zeros(len(batch.prompts), len(sets), dtype=torch.float64)

    def take(met: Met) -> None:
        used = weights[met.site][met.layer].any(1).nonzero()[:, 0]
        here = used.to(met.values.device)
        products = wide(met.values[..., here]) * wide(met.gradient[..., here])
        products[:, : met.padding.shape[1]].masked_fill_(met.padding[..., None], 0)
        summed = products.sum(1, dtype=torch.float64).cpu()
        effects.add_(summed @ weights[met.site][met.layer][used].double())

    done = attribution_pass(model, batch, places, take, by_letter)
    return done.p_gold.double().cpu(), effects * done.unit.cpu()[:, None]


def predicted_effects(
    model: LensModel,
    prompts: Sequence[Prompt],
    sets: Sequence[Neurons],
    *,
    factor: float = 0.0,
    running: Running = Running(),
) -> tuple[Float[Tensor, " item"], Float[Tensor, "item set"]]:
    """Predict, from one backward pass, how P(gold) would change if each set were scaled.

    Args:
        model: The model.
        prompts: Prompts of style ``"choices"``.
        sets: Sets of neurons, at any site.
        factor: What the neurons would be multiplied by: 0 ablates, 2 doubles.
        running: Batch size, progress, run folder.

    Returns:
        P(gold) of the unmodified model, and the predicted change of each set, in the order of the
        prompts, float64.

    Raises:
        InputError: No set has a neuron, a neuron is outside the model, or prompts do not show the
            options.

    Example:
        ``p_gold, effects = predicted_effects(model, prompts, [found["Japan"]])``
    """
    if not any(len(row) for row in sets):
        raise InputError("none of the sets has a neuron, so there is no effect to predict.")
    check_inside(model, sets)
    if not prompts or any(prompt.style != "choices" for prompt in prompts):
        raise InputError("predictions need at least one prompt, all of style 'choices'.")
    prompts = labelled(prompts, model.processor)

    def predict() -> pd.DataFrame:
        import pandas as pd

        rows: dict[str, list[float]] = {}
        for batch, (p_gold, effects) in run_batches(
            batches(prompts, running.rows(), model.pad_id),
            lambda batch: set_effects(model, batch, sets),
            pad_id=model.pad_id,
            progress=running.progress,
            label="predicting effects",
        ):
            for prompt, p, row in zip(batch.prompts, p_gold, effects, strict=True):
                rows[prompt.question.id] = [float(p), *row.tolist()]
        columns = ["p_gold", *(f"set {number}" for number in range(len(sets)))]
        return pd.DataFrame([rows[prompt.question.id] for prompt in prompts], columns=columns)

    frame = finished_frame(effects_place(model, prompts, sets, running.folder), predict)
    found = torch.tensor(frame.to_numpy(dtype=float))
    return found[:, 0], found[:, 1:] * (factor - 1)


def effects_place(
    model: LensModel, prompts: Sequence[Prompt], sets: Sequence[Neurons], run: Run | None
) -> Path | None:
    """Give the file in the run folder for predicted effects; None without a run folder."""
    if run is None:
        return None
    chosen = [described(neurons, "zero") for neurons in sets]
    return piece_of(model, run, "effects", ".parquet", asked_of(prompts), chosen)


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
    **running: Unpack[RunningOptions],
) -> PredictedMatrix:
    """Predict the whole matrix, masks x cultures, from one backward pass over the questions.

    Args:
        model: The model that the neurons were found on.
        found: The neurons.
        questions: What to ask. Questions that were given to find the neurons are left out, with
            their groups; see ``unseen``.
        seen: Ask the questions that found the neurons too, with a warning.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: The neurons are of another model, every question identified them, or an unknown
            option.

    Example:
        ``predicted_ablation_matrix(model, found, questions).table()``
    """
    import pandas as pd

    how = Running.of(running)
    found.check_model(model)
    asked = unseen(found, questions, seen)
    content = found.content
    found = align_cultures(found, asked)
    prompts, _ = prepare(model, asked, "letter", how)
    p_gold, changes = predicted_effects(model, prompts, list(found.neurons.values()), running=how)
    items = item_frame(prompts, p_gold)
    frame = pd.concat(
        [
            items.assign(mask=culture, predicted=changes[:, position].numpy())
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
    }
    return PredictedMatrix(frame, metadata)


def item_frame(prompts: Sequence[Prompt], p_gold: Tensor) -> pd.DataFrame:
    """Give id, culture, group and P(gold) of every item of the unmodified model."""
    import pandas as pd

    rows = [(p.question.id, p.question.culture, p.question.group) for p in prompts]
    frame = pd.DataFrame(rows, columns=["id", "culture", "group"])
    return frame.assign(p_gold=p_gold.numpy())
