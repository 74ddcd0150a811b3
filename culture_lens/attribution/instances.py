"""The share of items on which the neurons that a selector chose score positive.

A score summed over items can come from few of them. CULNIG (arXiv 2510.08284) therefore looks at
single items: a neuron's attribution score P(y|x) max_t n_t dP(y|x)/dn_t (see ``item_scores``) is
positive where ablating it at some token would, to first order, make the right answer less
probable. The paper reports that its top neurons score positive on about 29% of items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int
from typing_extensions import Unpack

from culture_lens.attribution.aggregation import check_aggregation
from culture_lens.attribution.gradients import GRADIENT_BATCH_SIZE, prepared
from culture_lens.attribution.item_scores import CULNIG, ItemScores, item_scores
from culture_lens.attribution.settings import Attribution
from culture_lens.checks import check_arguments, text
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.prompts.batches import batches
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import QUESTIONS, Question, check_questions
from culture_lens.questions.unseen import unseen
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.attribution.aggregation import Aggregation


@dataclass(frozen=True, eq=False, repr=False)
class InstanceShares(Shown):
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

    def _overview(self) -> pd.DataFrame:
        return self.summary()

    def to_pandas(self) -> pd.DataFrame:
        """Copy the counts of items: one row per neurons' culture and item."""
        return self.items.copy()

    def summary(self) -> pd.DataFrame:
        """Give the mean share of items on which a neuron scores positive.

        Returns:
            Per culture: ``own`` and ``others``, over its own questions and those of the other
            cultures (with intervals clustered by question group; NaN where there are none), and
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
        return numeric(pd.DataFrame.from_dict(rows, orient="index"))


def mean_share(items: pd.DataFrame) -> Estimate:
    """Estimate the mean share of neurons that score positive on an item; NaN of no items."""
    if not len(items):
        return Estimate(float("nan"), float("nan"), float("nan"))
    shares = items["positive"] / items["neurons"]
    return mean_estimate(shares.tolist(), items["group"].tolist())


@check_arguments(model=MODEL, questions=QUESTIONS, found=FOUND_SET, aggregation=text)
def instance_share(
    model: LensModel,
    questions: Sequence[Question],
    found: NeuronSet,
    *,
    aggregation: Aggregation = "maximum",
    seen: bool = False,
    **running: Unpack[RunningOptions],
) -> InstanceShares:
    """Count the items on which each found neuron's attribution score is positive (CULNIG).

    One forward and one backward per batch, as in ``attribute``; scores are not kept. The mean over
    neurons of their share of items equals the mean over items of the share of neurons, so one
    interval serves both. With ``aggregation="maximum"`` a score is the highest over an item's
    tokens, so that unimportant neurons are often positive too: compare with
    ``matched_random(found)``.

    Args:
        model: The model that the neurons were found on; it must be able to answer by letter.
        questions: What to ask. Questions that were given to find the neurons are left out, with
            their groups, since they make shares too large; see ``unseen``.
        found: The neurons, of every culture that has some.
        aggregation: How an item's tokens are joined: ``"maximum"`` (CULNIG),
            ``"largest"``, ``"sum"`` or ``"last"``.
        seen: Ask the questions that found the neurons too, with a warning.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: No neurons, no question that did not find them, neurons of another model, an
            unknown aggregation, or a label that is not a single token.

    Example:
        ``instance_share(model, held_out, found).summary()``
    """
    import pandas as pd

    how = Running.of(running)
    check_aggregation(aggregation)
    found.check_model(model)
    places = found.to_pandas().drop(columns="score").rename(columns={"culture": "neurons_of"})
    if not len(places):
        raise InputError("these sets hold no neurons, so none of them can score.")
    prompts = asked(model, unseen(found, questions, seen), how)
    step = partial(
        item_scores,
        model,
        sites=tuple(dict.fromkeys(places["site"])),
        how=Attribution(aggregation=aggregation),
    )
    owners, owner = np.unique(places["neurons_of"].to_numpy(dtype=str), return_inverse=True)
    by_id = dict[str, np.ndarray]()
    own, other = np.zeros(len(places), dtype=int), np.zeros(len(places), dtype=int)
    for batch, rows in run_batches(
        batches(prompts, how.rows(GRADIENT_BATCH_SIZE), model.pad_id, tokens=model.unit_tokens()),
        step,
        pad_id=model.pad_id,
        progress=how.progress,
        label="scoring items",
    ):
        for prompt, hits in zip(batch.prompts, positive(rows, places), strict=True):
            mine = owners[owner] == prompt.question.culture
            own += hits * mine
            other += hits * ~mine
            by_id[prompt.question.id] = np.bincount(owner, weights=hits, minlength=len(owners))
    sizes = np.bincount(owner, minlength=len(owners))
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


def asked(model: LensModel, questions: Sequence[Question], running: Running) -> Sequence[Prompt]:
    """Build the prompts of the questions.

    Raises:
        InputError: No questions, or none that fits the model's context.
    """
    check_questions(questions, min_cultures=1)
    prompts = prepared(model, questions, CULNIG, running)
    if not prompts:
        raise InputError("every question was too long for the model's context and left out.")
    return prompts


def positive(rows: ItemScores, places: pd.DataFrame) -> Int[np.ndarray, "item place"]:
    """Mark which of some neurons score above 0 on each item of a batch."""
    marked = np.zeros((len(rows.p_gold), len(places)), dtype=int)
    for site, scores in rows.scores.items():
        here = (places["site"] == site).to_numpy()
        layer, index = (places.loc[here, name].tolist() for name in ("layer", "index"))
        marked[:, here] = (scores[:, layer, index] > 0).cpu().numpy()
    return marked
