"""The logit of the right option over those of the others.

    F = s_gold - log sum over the other options o of exp(s_o)

s is a label's logit, or an option's mean log-probability. It is the log-odds of the right option
among all options. It does not saturate, and what raises all options alike cancels.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from culture_lens.attribution.objectives.option_scores import OptionScores


def logit_difference(options: OptionScores) -> Float[Tensor, " item"]:
    """Give the score of the right option over that of all others together.

    Example:
        >>> import torch
        >>> scores = torch.tensor([[3.0, 1.0]])
        >>> gold = torch.tensor([0])
        >>> options = OptionScores(scores, scores.logsumexp(1), gold, gold)
        >>> logit_difference(options).item()
        2.0
    """
    return options.of_gold - options.of_others.logsumexp(1)
