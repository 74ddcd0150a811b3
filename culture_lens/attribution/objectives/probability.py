"""The probability of the right option (CULNIG, arXiv 2510.08284, section 3).

    F = P(gold)

It saturates: where a model is sure of an answer, no neuron changes P by much.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.objectives.option_scores import OptionScores


def probability(options: OptionScores) -> Float[Tensor, " item"]:
    """Give P of the right option.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[1.0, 1.0]])
        >>> gold = torch.tensor([0])
        >>> options = OptionScores(scores, scores.logsumexp(1), gold, gold)
        >>> round(probability(options).item(), 3)
        0.5
    """
    return options.p_gold
