"""What ablating each of some neurons alone would do to the log-odds, predicted from one backward.

With F the log-odds of the right option among the options (``objectives.logit_difference``), which
do not saturate as P(gold) does, the change is to first order - sum over tokens of n_t dF/dn_t, over
the tokens of the prompt and, by likelihood, of the options behind it; see
``experiments.predicted_effects``. Here the sum is kept apart for tokens on which the neuron is
positive and those on which it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.gradients import GRADIENT_BATCH_SIZE
from culture_lens.attribution.objectives import logit_difference
from culture_lens.attribution.passes import Met, attribution_pass
from culture_lens.attribution.scoring import ATTRIBUTION_SCORINGS
from culture_lens.cards.places import Place
from culture_lens.cards.tokens import columns_of
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running

Columns = Mapping[tuple[str, int], Sequence[tuple[int, int]]]


def can_predict(scoring: str) -> bool:
    """Say whether gradients of a scoring's log-odds are known."""
    return scoring in ATTRIBUTION_SCORINGS


def predicted_changes(
    model: LensModel,
    prompts: Sequence[Prompt],
    places: Sequence[Place],
    scoring: str,
    running: Running,
) -> Float[np.ndarray, "item neuron 2"]:
    """Predict the change of the log-odds of every item under each neuron's ablation.

    Args:
        model: The model.
        prompts: Prompts in the style of the scoring, with their labels.
        places: The neurons.
        scoring: A scoring that ``can_predict`` accepts.
        running: Batch size, progress.

    Returns:
        The change from tokens on which the neuron is positive, and that from the others.
    """
    found: dict[str, np.ndarray] = {}
    for batch, rows in run_batches(
        batches(prompts, running.rows(GRADIENT_BATCH_SIZE), model.pad_id),
        partial(changes_of_batch, model, places, scoring),
        pad_id=model.pad_id,
        progress=running.progress,
        label="predicting effects",
    ):
        ids = [prompt.question.id for prompt in batch.prompts]
        found.update(zip(ids, rows.numpy(), strict=True))
    return np.stack([found[prompt.question.id] for prompt in prompts])


def changes_of_batch(
    model: LensModel, places: Sequence[Place], scoring: str, batch: Batch
) -> Float[Tensor, "item neuron 2"]:
    """Run one forward and one backward of a batch."""
    columns = columns_of(places)
    sums = torch.zeros(len(batch.prompts), len(places), 2, dtype=torch.float64)
    take, scores = partial(add_products, sums, columns), ATTRIBUTION_SCORINGS[scoring].scores
    done = attribution_pass(model, batch, columns, take, scores, logit_difference)
    return -sums * done.unit.cpu()[:, None, None]


def add_products(sums: Float[Tensor, "item neuron 2"], columns: Columns, met: Met) -> None:
    """Add activation times gradient of one place, positive and other tokens apart."""
    indices, neurons = (list(pair) for pair in zip(*columns[met.site, met.layer], strict=True))
    values = wide(met.values[..., indices])
    products = values * wide(met.gradient[..., indices])
    products[:, : met.padding.shape[1]].masked_fill_(met.padding[..., None], 0)
    positive = torch.where(values > 0, products, 0).sum(1, dtype=torch.float64)
    both = torch.stack([positive, products.sum(1, dtype=torch.float64) - positive], 2).cpu()
    rows = torch.arange(len(both)) if met.rows is None else met.rows.cpu()
    sums.index_put_((rows[:, None], torch.tensor(neurons)[None]), both, accumulate=True)
