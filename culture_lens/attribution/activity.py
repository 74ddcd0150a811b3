"""How active each neuron is on an item: the largest absolute activation over its prompt's tokens.

    A = max over t of |n_t|        t: all tokens of the prompt but padding

Summed over the items of each culture in float64, and likewise A^2: 1 - mean(A)^2 / mean(A^2) is the
share of a neuron's activity that differs between items. It is near 0 for a neuron that is equally
active on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.aggregation import largest, padded_columns
from culture_lens.attribution.gradients import prepared, sum_in_shards
from culture_lens.attribution.item_scores import ItemScores
from culture_lens.attribution.passes import hooks_at
from culture_lens.attribution.settings import Attribution
from culture_lens.models.checks import check_logits
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.prompt import Batch
from culture_lens.prompts.running import BATCH_SIZE, Running
from culture_lens.questions.question import Question

SQUARES = "squares of "
"""Before a site: the table of squares of its activity."""


def item_activity(
    model: LensModel, batch: Batch, sites: Sequence[str]
) -> dict[str, Float[Tensor, "item layer neuron"]]:
    """Give the largest absolute activation of every neuron on each item of a batch, float64.

    Raises:
        InputError: The model gives NaN or infinite logits.

    Example:
        ``item_activity(model, batch, ["act"])["act"].shape``
    """
    paddings = {site: padded_columns(model.token_mask(batch, site)) for site in sites}
    found: dict[tuple[str, int], Tensor] = {}

    def keep(activation: Tensor, hook: Any, *, site: str, layer: int) -> Tensor:
        padding = paddings[site].to(activation.device)
        rows = largest(wide(activation.detach().flatten(2)).clone(), padding)
        found[site, layer] = rows.to(model.device)
        return activation

    places = model.places(sites)
    with model.hooks(hooks_at(model, places, keep)):
        check_logits(model.logits(batch), batch)

    def rows_at(site: str, layer: int) -> Tensor:
        if (site, layer) in found:
            return found[site, layer]
        return torch.zeros(len(batch.prompts), model.shape(site)[1], device=model.device)

    return {
        site: torch.stack([rows_at(site, n) for n in range(model.layers(site))], 1).double().cpu()
        for site in sites
    }


def activity_sums(
    model: LensModel,
    questions: Sequence[Question],
    sites: Sequence[str],
    attribution: Attribution,
    how: Running,
) -> NeuronScores:
    """Sum activity and its squares per culture, one forward per batch.

    Args:
        model: The model.
        questions: The questions.
        sites: The sites.
        attribution: Whose prompts are run.
        how: Batch size, progress, run folder, prompts that are too long.

    Returns:
        Under each site its activity, and under ``SQUARES`` and the site the squares.
    """
    prompts = prepared(model, questions, attribution, how)
    settings = {
        "of": "activity",
        "model": model.name,
        "weights": model.fingerprint,
        **model.units_facts(sites),
        "sites": list(sites),
        "style": attribution.style,
    }

    def step(batch: Batch) -> ItemScores:
        rows = item_activity(model, batch, sites)
        squares = {SQUARES + site: values**2 for site, values in rows.items()}
        items = torch.zeros(len(batch.prompts), dtype=torch.float64)
        return ItemScores(items, items.bool(), {**rows, **squares})

    label = "recording activity"
    sums = sum_in_shards(model, prompts, step, settings, how, BATCH_SIZE, label)
    return sums.scores(settings)
