"""CULNIG, culture-specific neurons: needed for the questions of one culture.

The steps for a culture c (CULNIG, arXiv 2510.08284, section 3, and its published code):
1. Score of a neuron: c's task sum minus c's control sum, each divided by the number of all items.
2. Top ``share`` of the gate, q, k and v neurons together.
3. Minus the neurons in the top ``countryrc_share`` by c's own CountryRC score. Their places are
   not filled again.
4. Of these, the neurons with z >= ``z``, z the standard score of c among all cultures of the task,
   with the population standard deviation (0 where that is 0).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.errors import InputError
from culture_lens.models.sites import PROJECTIONS, sites_reading
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.neurons.scores import pooled_top


def standard_scores(
    scores: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Standardise over cultures with the population standard deviation; 0 where that is 0.

    Example:
        >>> standard_scores(torch.tensor([[[1.0, 2.0]], [[3.0, 2.0]]])).flatten().tolist()
        [-1.0, 0.0, 1.0, 0.0]
    """
    centred = scores - scores.mean(0)
    deviation = centred.square().mean(0).sqrt()
    # Of equal scores the mean may differ in its last bit, and the deviation is then not quite 0.
    alike = (scores == scores[0]).all(0) | (deviation == 0)
    return torch.where(alike, 0, centred / deviation)


def culnig_specific(
    scores: CulnigScores,
    *,
    share: float = 0.003,
    countryrc_share: float = 0.01,
    z: float | None = 0.5,
) -> NeuronSet:
    """Choose the culture-specific neurons of each culture in CountryRC (CULNIG, section 3).

    Args:
        scores: The three scorings.
        share: Share of the gate, q, k and v neurons, taken together.
        countryrc_share: Neurons in this top share of the culture's own CountryRC score are left
            out; 0 leaves none out.
        z: Smallest standard score among cultures; ``None`` keeps all.

    Returns:
        Culture -> neurons; scores are task minus control per item.

    Raises:
        InputError: A share outside its range or that chooses no neuron, or none of the sites gate,
            q, k, v was scored.

    Example:
        ``culnig_specific(scores, z=1.0)["Japan"]``
    """
    every = scores.contrast()
    contrast = {site: every[site] for site in sites_reading(PROJECTIONS, every)}
    if not contrast:
        raise InputError(
            f"culture-specific neurons are chosen at gate, q, k, v; not {scores.sites}."
        )
    reading = scores.countryrc
    standing = {site: standard_scores(values) for site, values in contrast.items()}
    neurons: dict[str, Neurons] = {}
    for named, culture in enumerate(reading.cultures):
        own = scores.task.cultures.index(culture)
        best = pooled_top({site: values[own] for site, values in contrast.items()}, share)
        if countryrc_share:
            read = {site: reading.scores[site][named] for site in contrast}
            best -= pooled_top(read, countryrc_share)
        if z is not None:
            high = {site: (values[own] >= z).nonzero() for site, values in standing.items()}
            best &= Neurons(high)
        neurons[culture] = best
    shapes = {site: (values.shape[1], values.shape[2]) for site, values in contrast.items()}
    return NeuronSet(neurons, shapes)
