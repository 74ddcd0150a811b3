"""The log-probability of the right option.

F = log P(gold)
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.objectives.option_scores import OptionScores


def log_probability(options: OptionScores) -> Float[Tensor, " item"]:
    """Give log P of the right option.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[1.0, 1.0]])
        >>> gold = torch.tensor([0])
        >>> options = OptionScores(scores, scores.logsumexp(1), gold, gold)
        >>> round(log_probability(options).item(), 3)
        -0.693
    """
    return options.of_gold - options.normaliser
