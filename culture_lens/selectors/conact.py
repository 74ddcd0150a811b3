"""ConAct, contrastive activation: the margin of the highest culture over the second."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.neurons.scores import NEVER, NeuronScores


def margins(
    probability: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Subtract from each culture's P the highest P of the others.

    Example:
        >>> margins(torch.tensor([[[0.75]], [[0.0]], [[0.25]]])).flatten().tolist()
        [0.5, -0.75, -0.5]
    """
    top = probability.topk(2, dim=0)
    cultures = torch.arange(len(probability))[:, None, None]
    rival = torch.where(cultures == top.indices[0], top.values[1], top.values[0])
    return probability - rival


def conact(summary: ActivationSummary) -> NeuronScores:
    """Score by s[c,l,n] = P1 - P2 where culture c attains the highest P1, else 0 (ConAct's paper).

    P1 and P2 are the highest and second highest P[c,l,n] over cultures. A neuron scores for one
    culture only; a score of 0 is never selected, so sets of different cultures are disjoint.

    Example:
        ``conact(summary).top(share=0.005)``
    """
    scores = {}
    for site in summary.sites:
        margin = margins(summary.probability(site))
        scores[site] = torch.where(margin > 0, margin, NEVER)
    return NeuronScores(summary.cultures, scores, metadata=summary.metadata)
