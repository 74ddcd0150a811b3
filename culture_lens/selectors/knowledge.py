"""knowledge: neurons that carry what a model knows of a culture. The selector of this package.

    score = (G - w R) * (1 - G2 / G) * V * (G / Gmax)        minus infinity unless all are above 0

* G: the culture's mean contribution to the log-odds of the right option, of an item's strongest
  token. It **finds**: along a path of integrated gradients it sees what redundancy hides. In deep
  models it is the gradient at the model as it is, by default; see ``knowledge_scores``.
* R: the same on CountryRC, of weight w = 1/2. It **refuses** neurons that name the country.
* G2: G of the second highest other culture, at least 0. It refuses what works for every culture.
  The second and not the highest: two cultures may share a neuron. Of two cultures it is the other.
* Gmax: G of the culture that it is highest for. It refuses neurons of another culture, which leak
  a little.
* V: the share of the neuron's activity that differs between the culture's items, see
  ``attribution.activity``. It refuses neurons that fire for the culture whatever is asked, such as
  those for its style: they mark it, and tell no answer from another.

The settings were chosen on two model organisms, whose neurons are known; docs/methods/knowledge
says how, and what they find in others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.knowledge import KnowledgeScores, per_item
from culture_lens.checks import real
from culture_lens.errors import InputError
from culture_lens.neurons.scores import NEVER, NeuronScores

COUNTRY_WEIGHT = 0.5
AGREEMENT_SHARE = 0.005
"""The share of the neurons on whose choice two halves of the questions are compared."""


def check_country_weight(*, country_weight: float = COUNTRY_WEIGHT) -> None:
    """Refuse a weight that is below 0 or infinite.

    Raises:
        InputError: It is, or it is no number.

    Example:
        >>> check_country_weight(country_weight=0.5)
    """
    if not 0 <= real("country_weight", country_weight) < float("inf"):
        raise InputError(f"country_weight={country_weight}: give 0 or more, and not infinity.")


def knowledge(scores: KnowledgeScores, *, country_weight: float = COUNTRY_WEIGHT) -> NeuronScores:
    """Score every neuron for every culture; see the module for the equation.

    Args:
        scores: What ``knowledge_scores`` gives.
        country_weight: Weight of CountryRC's contributions.

    Returns:
        Scores ``culture layer neuron`` at every site; minus infinity where a score is not above 0.
        The metadata hold ``agreement``: for each culture the share of its top 0.5% that two halves
        of the questions have in common; a neuron without a score is in no top.

    Raises:
        InputError: Fewer than two cultures, or a weight below 0.

    Example:
        ``knowledge(knowledge_scores(model, questions)).top(share=0.005)``
    """
    check_country_weight(country_weight=country_weight)
    if len(scores.cultures) < 2:
        raise InputError(
            f"only {', '.join(scores.cultures)} was scored: a culture's neurons are found by "
            "comparison, so at least two cultures are needed."
        )
    tables = {
        site: score(scores, site, scores.contributions(site), country_weight)
        for site in scores.sites
    }
    metadata = {**scores.metadata, "agreement": agreement(scores, country_weight)}
    return NeuronScores(scores.cultures, tables, metadata=metadata)


def score(
    scores: KnowledgeScores,
    site: str,
    contributions: Float[Tensor, "culture layer neuron"],
    country_weight: float,
) -> Float[Tensor, "culture layer neuron"]:
    """Score the neurons of a site from contributions of all items, or of a half of them."""
    own = contributions.clamp(min=0)
    beside = torch.where(own > 0, 1 - second_other(contributions).clamp(min=0) / own, 0)
    highest = own / own.amax(0, keepdim=True).clamp(min=torch.finfo(own.dtype).tiny)
    net = contributions - country_weight * scores.of_the_country(site)
    found = net.clamp(min=0) * beside.clamp(min=0) * scores.varying(site) * highest
    return torch.where(found > 0, found, NEVER)


def second_other(
    table: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Give the second highest value of the other cultures; of one other, that.

    Example:
        >>> second_other(torch.tensor([5.0, 4.0, 1.0]).view(3, 1, 1)).flatten().tolist()
        [1.0, 1.0, 4.0]
    """
    rank = min(2, len(table) - 1)
    others = [torch.cat([table[:row], table[row + 1 :]]) for row in range(len(table))]
    return torch.stack([rows.topk(rank, 0).values[rank - 1] for rows in others])


def agreement(scores: KnowledgeScores, country_weight: float) -> Mapping[str, Any]:
    """Give the share of each culture's top neurons that two halves of the questions agree on."""
    if not scores.halves:
        return {}
    tops = []
    for half in scores.halves:
        tables = [score(scores, s, per_item(half, s), country_weight) for s in scores.sites]
        flat = torch.cat([table.flatten(1) for table in tables], 1)
        number = max(1, int(AGREEMENT_SHARE * flat.shape[1]))
        best = [row.topk(number) for row in flat]
        tops.append([set(top.indices[top.values > NEVER].tolist()) for top in best])
    return {
        culture: len(one & other) / number
        for culture, one, other in zip(scores.cultures, *tops, strict=True)
    }
