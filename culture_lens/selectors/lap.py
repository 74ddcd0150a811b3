"""LAP, probability: how often a neuron is positive on a culture's tokens."""

from __future__ import annotations

from culture_lens.activations.statistics import ActivationSummary
from culture_lens.neurons.scores import NeuronScores


def lap(summary: ActivationSummary) -> NeuronScores:
    """Score by s[c,l,n] = P[c,l,n] (ConAct's paper, section 3).

    Neurons that are positive everywhere score high for every culture, so expect large overlaps.

    Example:
        ``lap(summary).top(share=0.005)``
    """
    scores = {site: summary.probability(site) for site in summary.sites}
    return NeuronScores(summary.cultures, scores)
