"""Predict the effects of ablating any number of sets of neurons from gradients of an objective.

To first order, multiplying the neurons S by a factor f changes an objective F, such as the
probability of the right answer (``attribution.objectives``), by

    (f - 1) sum over n in S, tokens t of s_t      s_t = n_t dF / dn_t       f = 0: ablated

over the tokens of the prompt and, by likelihood, of the options behind it. One backward pass serves
all sets. On a path (``attribution.paths``) s_t are integrated gradients from 0 to n_t. The path of
a set scales all neurons of its sites, at all layers or at one after another, whatever other sets
there are. Ablating all of them is then predicted exactly, up to the number of points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from culture_lens.attribution.passes import Met, PassResult, value_at
from culture_lens.attribution.points import along, check_path
from culture_lens.attribution.settings import Attribution
from culture_lens.engine.places import numbered_places
from culture_lens.engine.results import run_shards
from culture_lens.engine.shards import Pass, Shard, cut
from culture_lens.errors import InputError
from culture_lens.evaluation.answering import asked_of
from culture_lens.interventions.hooks import described
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.hooks import check_inside
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import labelled
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.storage.finished import read_frame, write_frame
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.attribution.objectives import ObjectiveName
    from culture_lens.attribution.paths import PathName
    from culture_lens.attribution.scoring import AttributionScoring
else:  # a wrong name reaches the check that lists the right ones
    ObjectiveName = PathName = AttributionScoring = str

Masks = Mapping[str, Bool[Tensor, "layer neuron set"]]
"""Per site, the neurons of each set."""


class PredictionOptions(RunningOptions, total=False):
    """The fields of ``Prediction`` and ``Running`` as keyword arguments."""

    objective: ObjectiveName
    scoring: AttributionScoring
    path: PathName
    points: int


@dataclass(frozen=True)
class Prediction:
    """What is predicted, and from which gradients.

    Attributes:
        objective: What changes: ``"probability"`` (of the right answer), ``"log_probability"`` or
            ``"logit_difference"``.
        scoring: How options are read: ``"letter"`` or ``"option_likelihood"``.
        path: ``"none"``, ``"integrated"``, ``"integrated_layerwise"``, ``"inputs"`` or
            ``"relp"``.
        points: Points of a path.

    Raises:
        InputError: An unknown name, or a path without points.

    Example:
        >>> Prediction("logit_difference", path="integrated").attribution.way.points
        6
    """

    objective: ObjectiveName = "probability"
    scoring: AttributionScoring = "letter"
    path: PathName = "none"
    points: int = 6

    def __post_init__(self) -> None:
        """Check names and number."""
        _ = self.attribution

    @property
    def attribution(self) -> Attribution:
        """The attribution that it rests on: summed over tokens, from a baseline of 0."""
        return Attribution(self.objective, self.scoring, self.path, self.points, aggregation="sum")


@dataclass(frozen=True, eq=False)
class Effects:
    """Predicted effects of each set on each item, float64.

    Attributes:
        p_gold: P(gold) of the unmodified model.
        value: The objective of the unmodified model.
        changes: The predicted change of the objective.
    """

    p_gold: Float[Tensor, " item"]
    value: Float[Tensor, " item"]
    changes: Float[Tensor, "item set"]


# ------------------------------------------------------------------ one batch


def set_effects(
    model: LensModel, batch: Batch, sets: Sequence[Neurons], how: Attribution
) -> tuple[PassResult, Float[Tensor, "item set"]]:
    """Sum s_t over each set's neurons and all tokens, for each item of a batch.

    Returns:
        The results of the unmodified model, and the sums, in float64.
    """
    effects = torch.zeros(len(batch.prompts), len(sets), dtype=torch.float64)
    for members in on_one_path(sets, how):
        done, effects[:, members] = sums_on_path(model, batch, [sets[at] for at in members], how)
    if how.way.moves:
        done = value_at(model, batch, [], how.reads.scores, how.explains)
    return done, effects


def on_one_path(sets: Sequence[Neurons], how: Attribution) -> list[list[int]]:
    """Give the indices of sets that share a path: those of the same sites, or all without a path.

    Sets without neurons have no path.
    """
    if not how.way.moves:
        return [list(range(len(sets)))]
    groups: dict[frozenset[str], list[int]] = {}
    for at, neurons in enumerate(sets):
        if len(neurons):
            groups.setdefault(frozenset(sites_of(neurons)), []).append(at)
    return list(groups.values())


def sites_of(neurons: Neurons) -> list[str]:
    """Give the sites at which a set has neurons."""
    return [site for site, places in neurons.places.items() if len(places)]


def sums_on_path(
    model: LensModel, batch: Batch, sets: Sequence[Neurons], how: Attribution
) -> tuple[PassResult, Float[Tensor, "item set"]]:
    """Sum s_t of sets that share a path."""
    masks: Masks = {
        site: torch.stack([row.mask(site, model.shape(site)) for row in sets], 2)
        for site in dict.fromkeys(site for row in sets for site in sites_of(row))
    }
    used = [
        (site, layer)
        for site, mask in masks.items()
        for layer in mask.any(2).any(1).nonzero()[:, 0].tolist()
    ]
    scaled = model.places(masks)
    sums = torch.zeros(len(batch.prompts), len(sets), dtype=torch.float64)
    for part in how.way.parts(scaled if how.way.moves else used):
        if not set(part) & set(used):
            continue
        done = along(model, batch, part, partial(add_products, sums, masks), how)
    return done, sums


def add_products(
    sums: Float[Tensor, "item set"], masks: Masks, met: Met, weight: float = 1.0
) -> None:
    """Add the products of activation and gradient of one place at one point, of so much weight."""
    mask = masks[met.site][met.layer]
    used = mask.any(1).nonzero()[:, 0]
    if not len(used):
        return
    here = used.to(met.values.device)
    products = wide(met.values[..., here]) * wide(met.gradient[..., here])
    products[:, : met.padding.shape[1]].masked_fill_(met.padding[..., None], 0)
    rows = products.sum(1, dtype=torch.float64).cpu() @ mask[used].double()
    rows *= weight * met.unit.cpu()[:, None]
    if met.rows is None:
        sums.add_(rows)
    else:
        sums.index_add_(0, met.rows.cpu(), rows)


# ------------------------------------------------------------------ all prompts


def predicted_effects(
    model: LensModel,
    prompts: Sequence[Prompt],
    sets: Sequence[Neurons],
    *,
    factor: float = 0.0,
    prediction: Prediction = Prediction(),
    running: Running = Running(),
) -> Effects:
    """Predict from gradients how an objective would change if each set were scaled.

    Args:
        model: The model.
        prompts: Prompts in the style of the scoring.
        sets: Sets of neurons, at any site.
        factor: What the neurons would be multiplied by: 0 ablates, 2 doubles.
        prediction: The objective, and how its gradients are taken.
        running: Batch size, progress, run folder.

    Returns:
        P(gold) and the objective of the unmodified model, and the predicted change of each set, in
        the order of the prompts.

    Raises:
        InputError: No set has a neuron, a neuron is outside the model, prompts of another style,
            or a path with a factor other than 0.

    Example:
        ``predicted_effects(model, prompts, [found["Japan"]]).changes``
    """
    how = prediction.attribution
    if not any(len(row) for row in sets):
        raise InputError("none of the sets has a neuron, so there is no effect to predict.")
    if how.way.moves and factor != 0:
        raise InputError(
            f"factor={factor}: a path leads to ablated neurons; give factor=0, or path='none'."
        )
    check_inside(model, sets)
    check_path(model, [site for row in sets for site in sites_of(row)], how.way)
    if not prompts or any(prompt.style != how.style for prompt in prompts):
        raise InputError(
            f"predictions by {how.scoring} need at least one prompt, all of style {how.style!r}."
        )
    prompts = labelled(prompts, model.processor) if how.style == "choices" else prompts

    import pandas as pd

    shards = cut(prompts)
    work = Pass(
        label="predicting effects",
        run=Predicting(tuple(sets), prediction, running.rows()),
        places=effects_places(model, prompts, sets, prediction, running.folder, shards),
        load=read_frame,
        save=write_frame,
    )
    frames = [part for (part,) in run_shards(model, work, shards, running)]
    found = torch.tensor(pd.concat(frames).to_numpy(dtype=float))
    return Effects(found[:, 0], found[:, 1], found[:, 2:] * (factor - 1))


@dataclass(frozen=True, eq=False)
class Predicting:
    """Predicts the effects of each set on a shard's items; the same in every process."""

    sets: tuple[Neurons, ...]
    prediction: Prediction
    batch_size: int

    def __call__(self, model: LensModel, shard: Shard, progress: bool) -> list[pd.DataFrame]:
        """Give P(gold), the objective, and the sum of each set's products, item by item."""
        import pandas as pd

        rows: dict[str, list[float]] = {}
        how = self.prediction.attribution
        for batch, (done, effects) in run_batches(
            batches(shard.items, self.batch_size, model.pad_id, tokens=model.unit_tokens()),
            lambda batch: set_effects(model, batch, self.sets, how),
            pad_id=model.pad_id,
            progress=progress,
            label="predicting effects",
        ):
            known = zip(done.p_gold.tolist(), done.value.tolist(), effects.tolist(), strict=True)
            for prompt, (p_gold, value, row) in zip(batch.prompts, known, strict=True):
                rows[prompt.question.id] = [p_gold, value, *row]
        columns = ["p_gold", "value", *(f"set {number}" for number in range(len(self.sets)))]
        ordered = [rows[prompt.question.id] for prompt in shard.items]
        return [pd.DataFrame(ordered, columns=columns)]


def effects_places(
    model: LensModel,
    prompts: Sequence[Prompt],
    sets: Sequence[Neurons],
    prediction: Prediction,
    run: Run | None,
    shards: Sequence[Shard],
) -> Callable[[Shard], list[Path]] | None:
    """Say where the predicted effects of each shard are kept; None without a run folder."""
    if run is None:
        return None
    chosen = [described(neurons, "zero") for neurons in sets]
    asked, told = asked_of(prompts), asdict(prediction)
    facts = (asked, chosen, told)
    kind = ("effects", ".parquet")
    return numbered_places(model, run, *kind, shards, *facts, data=asked, options=told)


def item_frame(prompts: Sequence[Prompt], effects: Effects) -> pd.DataFrame:
    """Give id, culture, group, P(gold) and the objective of every item of the unmodified model."""
    import pandas as pd

    rows = [(p.question.id, p.question.culture, p.question.group) for p in prompts]
    frame = pd.DataFrame(rows, columns=["id", "culture", "group"])
    return frame.assign(p_gold=effects.p_gold.numpy(), value=effects.value.numpy())
