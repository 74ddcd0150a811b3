"""LAPE, entropy of the activation probability over cultures (Tang et al. 2024).

The steps, as in its published code:
1. p = P / sum over cultures of P, and H = - sum p log p.
2. A neuron is left out where none of its P exceeds the ``percentile_filter`` of all P.
3. The share of all neurons with the lowest H is selected.
4. A selected neuron belongs to every culture whose P exceeds the ``percentile_membership``.

A percentile q of N values is the round(q N)-th smallest, as in that code; layers without units do
not count. The number selected is int(share * number), as everywhere in this package; that code
rounds, which can differ by one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import real
from culture_lens.errors import InputError
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.neurons.with_units import of_units

PERCENTILE = 0.95
"""Both percentiles of the published code."""


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


def check_percentiles(
    *, percentile_filter: float = PERCENTILE, percentile_membership: float = PERCENTILE
) -> None:
    """Refuse percentiles outside (0, 1].

    Raises:
        InputError: Names the option.

    Example:
        >>> check_percentiles(percentile_filter=0.9)
    """
    for name, value in (
        ("percentile_filter", percentile_filter),
        ("percentile_membership", percentile_membership),
    ):
        if not 0 < real(name, value) <= 1:
            raise InputError(f"{name}={value} is outside (0, 1]: 0.95 is the 95th percentile.")


def order_statistic(values: Tensor, percentile: float) -> float:
    """Give the round(percentile * N)-th smallest of N values.

    Example:
        >>> order_statistic(torch.tensor([3.0, 1.0, 2.0, 4.0]), 0.5)
        2.0
    """
    flat = values.flatten()
    rank = min(max(round(percentile * len(flat)), 1), len(flat))
    return float(flat.kthvalue(rank).values)


def lape(
    summary: ActivationSummary,
    *,
    percentile_filter: float = PERCENTILE,
    percentile_membership: float = PERCENTILE,
) -> NeuronScores:
    """Score by low entropy of P over cultures, H = - sum p log p (Tang et al. 2024).

    Args:
        summary: What a recording pass counted.
        percentile_filter: A neuron is left out where none of its P exceeds this percentile.
        percentile_membership: A selected neuron belongs to the cultures whose P exceeds this one.

    Returns:
        Scores -H where a culture may have the neuron, with a ranking over all cultures, so that
        ``top(share=0.01)`` selects the 1% lowest entropies.

    Raises:
        InputError: A percentile outside (0, 1].

    Example:
        ``lape(summary, percentile_filter=0.95).top(share=0.01)``
    """
    check_percentiles(
        percentile_filter=percentile_filter, percentile_membership=percentile_membership
    )
    scores, ranking = {}, {}
    for site in summary.sites:
        probability = summary.probability(site)
        low = -entropy(probability)
        have = of_units(probability, summary.metadata, site)
        enough = (probability > order_statistic(have, percentile_filter)).any(0)
        member = probability > order_statistic(have, percentile_membership)
        ranking[site] = torch.where(enough, low, NEVER)
        scores[site] = torch.where(member, low, NEVER)
    return NeuronScores(summary.cultures, scores, ranking, summary.metadata)
