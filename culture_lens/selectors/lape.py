"""LAPE, entropy of the activation probability over cultures (Tang et al. 2024).

The steps, as in its published code:
1. p = P / sum over cultures of P, and H = - sum p log p.
2. A neuron none of whose P exceeds the ``percentile_filter`` of all P is out.
3. The share of all neurons with the lowest H is selected.
4. A selected neuron belongs to every culture whose P exceeds the ``percentile_membership``.

A percentile q of N values is the round(q N)-th smallest, as in that code. The number selected is
int(share * number), as everywhere in this package; that code rounds, a difference of one neuron.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.statistics import ActivationSummary
from culture_lens.neurons.scores import NEVER, NeuronScores, check_share


def entropy(
    probability: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "layer neuron"]:
    """Entropy over cultures, in nats, of P normalised to sum to one; 0 where all P are 0.

    Example:
        >>> entropy(torch.tensor([[[0.5]], [[0.5]]])).item()
        0.6931471824645996
    """
    share = probability / probability.sum(0).clamp(min=torch.finfo(probability.dtype).tiny)
    summed: Tensor = torch.special.entr(share).sum(0)
    return summed


def order_statistic(values: Tensor, percentile: float) -> float:
    """Give the round(percentile * N)-th smallest of N values.

    Example:
        >>> order_statistic(torch.tensor([3.0, 1.0, 2.0, 4.0]), 0.5)
        2.0
    """
    flat = values.flatten()
    rank = min(max(round(check_share(percentile) * len(flat)), 1), len(flat))
    return float(flat.kthvalue(rank).values)


def lape(
    summary: ActivationSummary,
    *,
    percentile_filter: float = 0.95,
    percentile_membership: float = 0.95,
) -> NeuronScores:
    """Score by low entropy of P over cultures, H = - sum p log p (Tang et al. 2024).

    Args:
        summary: What a recording pass counted.
        percentile_filter: Neurons none of whose P exceeds this percentile are out.
        percentile_membership: A selected neuron belongs to cultures whose P exceeds this one.

    Returns:
        Scores -H where a culture may have the neuron, with a ranking over all cultures, so that
        ``top(share=0.01)`` selects the 1% lowest entropies.

    Raises:
        InputError: A percentile outside (0, 1].

    Example:
        ``lape(summary, percentile_filter=0.95).top(share=0.01)``
    """
    scores, ranking = {}, {}
    for site in summary.sites:
        probability = summary.probability(site)
        low = -entropy(probability)
        enough = (probability > order_statistic(probability, percentile_filter)).any(0)
        member = probability > order_statistic(probability, percentile_membership)
        ranking[site] = torch.where(enough, low, NEVER)
        scores[site] = torch.where(member, low, NEVER)
    return NeuronScores(summary.cultures, scores, ranking)
