"""On how many items do the neurons that a selector chose score positive?

A score summed over items can come from few of them. CULNIG (arXiv 2510.08284) therefore looks at
single items: a neuron's attribution score P(y|x) max_t n_t dP(y|x)/dn_t (see ``attribution``) is
positive where ablating it would, to first order, make the right answer less probable at some
token. It reports that its top neurons score positive on about 29% of items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from culture_lens.attribution.gradients import AGGREGATIONS, BATCH_SIZE, gold_tokens, item_scores
from culture_lens.errors import InputError, unknown
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.prompts.batches import batches, build_prompts, run_batches
from culture_lens.questions.question import Question, check_questions
from culture_lens.statistics.estimates import Estimate, mean_estimate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class InstanceShares:
    """Which of each culture's neurons score positive on which items, counted both ways.

    Attributes:
        items: One row per neurons' culture and item: ``neurons_of``, ``id``, ``culture``,
            ``group``, ``positive`` (how many of these neurons score above 0) and ``neurons``.
        neurons: One row per neuron: ``neurons_of``, ``site``, ``layer``, ``index``, and how many
            ``own`` items (of that culture) and ``other`` items it scores above 0 on.

    Example:
        ``instance_share(model, questions, found).summary()``
    """

    items: pd.DataFrame
    neurons: pd.DataFrame

    def summary(self) -> pd.DataFrame:
        """Give the mean share of items on which a neuron scores positive.

        Returns:
            Per culture: ``own`` and ``others``, over its own questions and those of the other
            cultures (Estimates, clustered by question group; NaN where there are none), and
            ``neurons``.
        """
        import pandas as pd

        rows = {}
        for name, part in self.items.groupby("neurons_of", sort=False):
            own = part["culture"] == name
            rows[name] = {
                "own": mean_share(part[own]),
                "others": mean_share(part[~own]),
                "neurons": int(part["neurons"].iloc[0]),
            }
        return pd.DataFrame.from_dict(rows, orient="index")


def mean_share(items: pd.DataFrame) -> Estimate:
    """Estimate the mean share of neurons that score positive on an item; NaN of no items."""
    if not len(items):
        return Estimate(float("nan"), float("nan"), float("nan"))
    shares = items["positive"] / items["neurons"]
    return mean_estimate(shares.tolist(), items["group"].tolist())


def instance_share(
    model: LensModel,
    questions: Sequence[Question],
    found: NeuronSet,
    *,
    aggregation: str = "maximum",
    too_long: str = "error",
    batch_size: int = BATCH_SIZE,
    progress: bool = True,
) -> InstanceShares:
    """Count the items on which each found neuron's attribution score is positive (CULNIG).

    One forward and one backward per batch, as in ``attribute``; scores are not kept. The mean over
    neurons of their share of items is the mean over items of the share of neurons, so one interval
    is of both. With ``aggregation="maximum"`` a score is the highest over an item's tokens, so
    neurons that do nothing in particular can be positive often: compare with
    ``matched_random(found)``.

    Args:
        model: The model that the neurons were found on; it must be able to answer by letter.
        questions: What to ask; questions that found the neurons make shares too large.
        found: The neurons, of every culture that has some.
        aggregation: How an item's tokens are joined: ``"maximum"`` (CULNIG), ``"sum"`` or
            ``"last"``.
        too_long: What to do with prompts longer than the context.
        batch_size: Questions per forward and backward; halved where memory runs out.
        progress: Show a progress bar.

    Raises:
        InputError: No neurons, neurons of another model, an unknown aggregation, or a label that
            is not a single token.

    Example:
        ``instance_share(model, held_out, found).summary()``
    """
    import pandas as pd

    if aggregation not in AGGREGATIONS:
        raise unknown("aggregation", aggregation, AGGREGATIONS)
    found.check_model(model)
    check_questions(questions, min_cultures=1)
    places = found.to_pandas().drop(columns="score").rename(columns={"culture": "neurons_of"})
    if not len(places):
        raise InputError("these sets hold no neurons, so none of them can score.")
    prompts = build_prompts(
        questions, model.processor, context=model.context, too_long=too_long, progress=progress
    )
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    step = partial(
        item_scores,
        model,
        gold=gold_tokens(prompts, model.tokenizer),
        sites=tuple(dict.fromkeys(places["site"])),
        aggregation=aggregation,
    )
    owners, owner = np.unique(places["neurons_of"].to_numpy(dtype=str), return_inverse=True)
    by_id = dict[str, np.ndarray]()
    own, other = np.zeros(len(places), dtype=int), np.zeros(len(places), dtype=int)
    for batch, rows in run_batches(
        batches(prompts, batch_size, model.pad_id),
        step,
        pad_id=model.pad_id,
        progress=progress,
        label="scoring items",
    ):
        positive = np.zeros((len(batch.prompts), len(places)), dtype=int)
        for site, scores in rows.scores.items():
            here = (places["site"] == site).to_numpy()
            layer, index = (places.loc[here, name].tolist() for name in ("layer", "index"))
            positive[:, here] = (scores[:, layer, index] > 0).cpu().numpy()
        for prompt, hits in zip(batch.prompts, positive, strict=True):
            mine = owners[owner] == prompt.question.culture
            own += hits * mine
            other += hits * ~mine
            by_id[prompt.question.id] = np.bincount(owner, weights=hits, minlength=len(owners))
    sizes: Int[np.ndarray, " owner"] = np.bincount(owner, minlength=len(owners))
    items = [
        {
            "neurons_of": str(name),
            "id": prompt.question.id,
            "culture": prompt.question.culture,
            "group": prompt.question.group,
            "positive": int(by_id[prompt.question.id][position]),
            "neurons": int(sizes[position]),
        }
        for position, name in enumerate(owners)
        for prompt in prompts
    ]
    return InstanceShares(pd.DataFrame(items), places.assign(own=own, other=other))
