"""knowledge: neurons that carry what a model knows of a culture. The selector of this package.

    score = (G - w R) * (1 - G2 / G) * V * (G / Gmax)        minus infinity unless all are above 0

* G: the culture's mean contribution to the log-odds of the right option, of an item's strongest
  token. It **finds**: along a path of integrated gradients it sees what redundancy hides. In deep
  models it is the gradient at the model as it is, by default; see ``knowledge_scores``.
* R: the same on CountryRC, of weight w = 1/2. It **refuses** neurons that name the country.
* G2: G of the second highest other culture, at least 0. It refuses what works for every culture.
  The second and not the highest: two cultures may share a neuron. Of two cultures it is the other.
  ``contrast=`` takes the highest other or the mean of the others instead, with a weight.
* Gmax: G of the culture that it is highest for. It refuses neurons of another culture, which leak
  a little.
* V: the share of the neuron's activity that differs between the culture's items, see
  ``attribution.activity``. It refuses neurons that fire for the culture whatever is asked, such as
  those for its style: they mark it, and tell no answer from another.

The settings were chosen on two model organisms, whose neurons are known; docs/methods/knowledge
says how, and what they find in others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.knowledge import KnowledgeScores, per_item
from culture_lens.checks import real, text
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.neurons.with_units import of_units

if TYPE_CHECKING:
    Contrast = Literal["second", "highest", "mean"]
else:
    Contrast = str  # a wrong name reaches the check that lists the right ones

COUNTRY_WEIGHT = 0.5
AGREEMENT_SHARE = 0.005
"""The share of the neurons on whose choice two halves of the questions are compared."""


def check_weights(
    *,
    country_weight: float = COUNTRY_WEIGHT,
    contrast: Contrast = "second",
    contrast_weight: float = 1.0,
) -> None:
    """Refuse a weight that is below 0 or infinite, and an unknown contrast.

    Raises:
        InputError: Names it.

    Example:
        >>> check_weights(country_weight=0.5)
    """
    given = {"country_weight": country_weight, "contrast_weight": contrast_weight}
    for name, weight in given.items():
        if not 0 <= real(name, weight) < float("inf"):
            raise InputError(f"{name}={weight}: give 0 or more, and not infinity.")
    if text("contrast", contrast) not in CONTRASTS:
        raise unknown("contrast", contrast, CONTRASTS)


def knowledge(
    scores: KnowledgeScores,
    *,
    country_weight: float = COUNTRY_WEIGHT,
    contrast: Contrast = "second",
    contrast_weight: float = 1.0,
) -> NeuronScores:
    """Score every neuron for every culture; see the module for the equation.

    Args:
        scores: What ``knowledge_scores`` gives.
        country_weight: Weight of CountryRC's contributions.
        contrast: G2: that of the ``"second"`` highest other culture, of the ``"highest"``, or the
            ``"mean"`` of the others.
        contrast_weight: Weight of G2.

    Returns:
        Scores ``culture layer neuron`` at every site; minus infinity where a score is not above 0.
        The metadata hold ``agreement``: for each culture the share of its top 0.5% that two halves
        of the questions have in common; a neuron without a score is in no top.

    Raises:
        InputError: Fewer than two cultures, a weight below 0, or an unknown contrast.

    Example:
        ``knowledge(knowledge_scores(model, questions)).top(share=0.005)``
    """
    check_weights(country_weight=country_weight, contrast=contrast, contrast_weight=contrast_weight)
    if len(scores.cultures) < 2:
        raise InputError(
            f"only {', '.join(scores.cultures)} was scored: a culture's neurons are found by "
            "comparison, so at least two cultures are needed."
        )
    rate = partial(
        score,
        scores,
        country_weight=country_weight,
        others=lambda table: contrast_weight * CONTRASTS[contrast](table),
    )
    tables = {site: rate(site, scores.contributions(site)) for site in scores.sites}
    metadata = {**scores.metadata, "agreement": agreement(scores, rate)}
    return NeuronScores(scores.cultures, tables, metadata=metadata)


def score(
    scores: KnowledgeScores,
    site: str,
    contributions: Float[Tensor, "culture layer neuron"],
    *,
    country_weight: float,
    others: Callable[[Tensor], Tensor],
) -> Float[Tensor, "culture layer neuron"]:
    """Score the neurons of a site from contributions of all items, or of a half of them."""
    own = contributions.clamp(min=0)
    beside = torch.where(own > 0, 1 - others(contributions).clamp(min=0) / own, 0)
    highest = own / own.amax(0, keepdim=True).clamp(min=torch.finfo(own.dtype).tiny)
    net = contributions - country_weight * scores.of_the_country(site)
    found = net.clamp(min=0) * beside.clamp(min=0) * scores.varying(site) * highest
    return torch.where(found > 0, found, NEVER)


def other_cultures(
    table: Float[Tensor, "culture layer neuron"],
) -> list[Float[Tensor, "other layer neuron"]]:
    """Give for each culture the values of all others."""
    return [torch.cat([table[:row], table[row + 1 :]]) for row in range(len(table))]


def second_other(
    table: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Give the second highest value of the other cultures; of one other, that.

    Example:
        >>> second_other(torch.tensor([5.0, 4.0, 1.0]).view(3, 1, 1)).flatten().tolist()
        [1.0, 1.0, 4.0]
    """
    rank = min(2, len(table) - 1)
    return torch.stack([rows.topk(rank, 0).values[rank - 1] for rows in other_cultures(table)])


def highest_other(
    table: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Give the highest value of the other cultures.

    Example:
        >>> highest_other(torch.tensor([5.0, 4.0, 1.0]).view(3, 1, 1)).flatten().tolist()
        [4.0, 5.0, 5.0]
    """
    return torch.stack([rows.amax(0) for rows in other_cultures(table)])


def mean_other(
    table: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Give the mean of the other cultures.

    Example:
        >>> mean_other(torch.tensor([5.0, 4.0, 1.0]).view(3, 1, 1)).flatten().tolist()
        [2.5, 3.0, 4.5]
    """
    return torch.stack([rows.mean(0) for rows in other_cultures(table)])


CONTRASTS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "second": second_other,
    "highest": highest_other,
    "mean": mean_other,
}


def agreement(scores: KnowledgeScores, rate: Callable[..., Tensor]) -> Mapping[str, Any]:
    """Give the share of each culture's top neurons that two halves of the questions agree on."""
    if not scores.halves:
        return {}
    tops = []
    for half in scores.halves:
        rated = {site: rate(site, per_item(half, site)) for site in scores.sites}
        tables = [of_units(table, scores.metadata, site) for site, table in rated.items()]
        flat = torch.cat([table.flatten(1) for table in tables], 1)
        number = max(1, int(AGREEMENT_SHARE * flat.shape[1]))
        best = [row.topk(number) for row in flat]
        tops.append([set(top.indices[top.values > NEVER].tolist()) for top in best])
    return {
        culture: len(one & other) / number
        for culture, one, other in zip(scores.cultures, *tops, strict=True)
    }
