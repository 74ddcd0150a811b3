"""OptionScores: what a model says of each option of an item, with gradients; objectives read it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NO_SCORE = float("-inf")
"""The score of an option that an item does not have: items of a batch may differ in number."""


@dataclass(frozen=True, eq=False)
class OptionScores:
    """The scores of the options of a batch of items.

    Attributes:
        scores: By letter the logit of each option's label; by likelihood the mean log-probability
            of the option's tokens. ``item option``, ``NO_SCORE`` where an item has fewer.
        normaliser: What is subtracted from a score to give a log-probability: log sum exp of the
            logits of the whole vocabulary, or of the options' scores. ``item``.
        gold: The index of the right option, ``item``.
        prediction: The option that the model answers with; -1 where by letter its next token is no
            label of the item. ``item``
    """

    scores: Float[Tensor, "item option"]
    normaliser: Float[Tensor, " item"]
    gold: Int[Tensor, " item"]
    prediction: Int[Tensor, " item"]

    @property
    def right(self) -> Bool[Tensor, " item"]:
        """Whether the model answers with the right option."""
        return self.prediction == self.gold

    @property
    def of_gold(self) -> Float[Tensor, " item"]:
        """The score of the right option."""
        return self.scores.gather(1, self.gold[:, None])[:, 0]

    @property
    def of_others(self) -> Float[Tensor, "item option"]:
        """The scores of the other options; ``NO_SCORE`` in the place of the right one."""
        return self.scores.scatter(1, self.gold[:, None], NO_SCORE)

    @property
    def p_gold(self) -> Float[Tensor, " item"]:
        """The probability of the right option."""
        return torch.exp(self.of_gold - self.normaliser)

    def detached(self) -> OptionScores:
        """Give the same without a graph."""
        return replace(self, scores=self.scores.detach(), normaliser=self.normaliser.detach())
