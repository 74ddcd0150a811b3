"""MAD, mean activation difference: a culture's mean minus the mean of the other cultures.

Which of two interpretations ConAct's paper used could not be verified, so both exist:
interpretation (i) takes mean activations (``mad``), interpretation (ii) activation probabilities
(``mad_probability``).
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.neurons.scores import NeuronScores


def against_others(
    values: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Subtract from each culture's value the mean of the other cultures, all with equal weight.

    Example:
        >>> import torch
        >>> against_others(torch.tensor([[[3.0]], [[1.0]], [[2.0]]])).flatten().tolist()
        [1.5, -1.5, 0.0]
    """
    others = (values.sum(0, keepdim=True) - values) / (len(values) - 1)
    return values - others


def mad(summary: ActivationSummary) -> NeuronScores:
    """Score by the mean activation of c minus the mean of the other cultures' mean activations.

    This is interpretation (i). The other cultures have equal weight, whatever their number of
    tokens.

    Raises:
        InputError: The summary was recorded without magnitudes.

    Example:
        ``mad(summary).top(share=0.005)``
    """
    scores = {site: against_others(summary.mean(site)) for site in summary.sites}
    return NeuronScores(summary.cultures, scores, metadata=summary.metadata)


def mad_probability(summary: ActivationSummary) -> NeuronScores:
    """Score by P[c] minus the mean P of the other cultures: interpretation (ii) of MAD.

    Example:
        ``mad_probability(summary).top(share=0.005)``
    """
    scores = {site: against_others(summary.probability(site)) for site in summary.sites}
    return NeuronScores(summary.cultures, scores, metadata=summary.metadata)
