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
from culture_lens.attribution.objectives.option_scores import OptionScores
from culture_lens.attribution.passes import Met, PassResult, attribution_pass
from culture_lens.attribution.scoring import ATTRIBUTION_SCORINGS
from culture_lens.cards.places import Place
from culture_lens.cards.tokens import TokenActivations, columns_of, tokens_of
from culture_lens.evaluation.evaluate import prepare
from culture_lens.evaluation.scoring import Answer
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Batch
from culture_lens.prompts.running import Running
from culture_lens.questions.question import Question

Columns = Mapping[tuple[str, int], Sequence[tuple[int, int]]]


def can_predict(scoring: str) -> bool:
    """Say whether gradients of a scoring's log-odds are known."""
    return scoring in ATTRIBUTION_SCORINGS


def tokens_and_changes(
    model: LensModel,
    places: Sequence[Place],
    questions: Sequence[Question],
    scoring: str,
    roles: str | Sequence[int],
    running: Running,
) -> tuple[TokenActivations, Float[np.ndarray, "item neuron 2"]]:
    """Record tokens and answers as ``token_activations`` does, and predict in the same forward.

    Args:
        model: The model.
        places: The neurons.
        questions: What to ask.
        scoring: A scoring that ``can_predict`` accepts.
        roles: Tokens that count.
        running: Batch size, progress.

    Returns:
        The tokens; and the change of every item's log-odds under each neuron's ablation, from
        tokens on which the neuron is positive and from the others.

    Raises:
        InputError: As ``token_activations``.
    """
    prompts, _ = prepare(model, questions, scoring, running)
    columns = columns_of(places)
    found: dict[str, np.ndarray] = {}

    def answer(batch: Batch) -> list[Answer]:
        changes, done = changes_of_batch(model, columns, len(places), scoring, batch)
        ids = [prompt.question.id for prompt in batch.prompts]
        found.update(zip(ids, changes.numpy(), strict=True))
        return answers_of(done.options, batch)

    rows, limit = running.rows(GRADIENT_BATCH_SIZE), model.unit_tokens()
    work = batches(prompts, rows, model.pad_id, tokens=limit)
    tokens = tokens_of(model, places, prompts, work, answer, roles, progress=running.progress)
    return tokens, np.stack([found[item.question.id] for item in tokens.items])


def changes_of_batch(
    model: LensModel, columns: Columns, neurons: int, scoring: str, batch: Batch
) -> tuple[Float[Tensor, "item neuron 2"], PassResult]:
    """Run one forward and one backward of a batch."""
    sums = torch.zeros(len(batch.prompts), neurons, 2, dtype=torch.float64)
    take, scores = partial(add_products, sums, columns), ATTRIBUTION_SCORINGS[scoring].scores
    done = attribution_pass(model, batch, columns, take, scores, logit_difference)
    return -sums * done.unit.cpu()[:, None, None], done


def answers_of(options: OptionScores, batch: Batch) -> list[Answer]:
    """Make the answers of what was scored with gradients."""
    read = zip(
        batch.prompts,
        options.scores.tolist(),
        options.prediction.tolist(),
        options.p_gold.tolist(),
        strict=True,
    )
    return [
        Answer(prediction, p_gold, tuple(scores[: len(prompt.question.options)]))
        for prompt, scores, prediction, p_gold in read
    ]


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
