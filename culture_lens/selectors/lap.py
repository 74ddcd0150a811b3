"""LAP, activation probability: the share of a culture's tokens on which a neuron is positive."""

from __future__ import annotations

from culture_lens.activations.summary import ActivationSummary
from culture_lens.neurons.scores import NeuronScores


def lap(summary: ActivationSummary) -> NeuronScores:
    """Score by s[c,l,n] = P[c,l,n] (ConAct's paper, section 3).

    Neurons that are positive on most tokens score high for every culture: expect large overlaps.

    Example:
        ``lap(summary).top(share=0.005)``
    """
    scores = {site: summary.probability(site) for site in summary.sites}
    return NeuronScores(summary.cultures, scores, metadata=summary.metadata)
