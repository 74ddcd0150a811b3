"""Make edits of different kinds equally large: how many units, or how often a direction.

    norm = E over items of |x' - x|  /  E over items of |x|

x being the residual stream after the last layer, averaged over an item's content tokens, x' the
same under the edit (see ``change_norm``). It grows with the number of units, so the number that
comes nearest to a norm is found by halving. It is nearly proportional to the scale of a direction
that is added, so s <- s norm / norm(s) finds the scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float

from culture_lens.errors import InputError
from culture_lens.interventions.change_norm import counted_activations
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import part_of
from culture_lens.models.transformer_lens import HookList
from culture_lens.prompts.prompt import Prompt

CLOSE, MOST_STEPS = 0.01, 12
"""How near a scale comes to a norm, as a share of it, and after how many steps at the latest."""


@dataclass(frozen=True, eq=False)
class ChangeOfStream:
    """Measures how far edits move the residual stream after the last layer.

    Attributes:
        model: The model; of an encoder-decoder the stack of its default site.
        prompts: What is read; the stream of their content tokens is kept.
        rows: Prompts per forward.
    """

    model: LensModel
    prompts: Sequence[Prompt]
    rows: int

    @cached_property
    def before(self) -> list[Float[torch.Tensor, "_ d_model"]]:
        """The stream of each item's content tokens, as the model is."""
        return self._stream([])

    @cached_property
    def length(self) -> float:
        """E |x|: what setting x to 0 changes."""
        return mean_length(self.before)

    def _stream(self, hooks: HookList) -> list[Float[torch.Tensor, "_ d_model"]]:
        site = self.model.default_site
        stream = site[: -len(part_of(site))] + "resid"
        layer = self.model.layers(stream) - 1
        return counted_activations(
            self.model, hooks, self.prompts, layer=layer, site=stream, rows=self.rows
        )

    def norm(self, hooks: HookList) -> float:
        """Give the change that hooks make, as a share of E |x|."""
        pairs = zip(self._stream(hooks), self.before, strict=True)
        return (
            mean_length([after.double() - before.double() for after, before in pairs]) / self.length
        )


def mean_length(vectors: Sequence[Float[torch.Tensor, "_ d_model"]]) -> float:
    """Give the mean over items of the mean length of an item's vectors.

    Example:
        >>> mean_length([torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.5]])])
        2.0
    """
    return sum(float(one.double().norm(dim=1).mean()) for one in vectors) / len(vectors)


def matched_number(norm_of: Callable[[int], float], norm: float, most: int, first: int = 1) -> int:
    """Find the number of units whose norm is nearest: at least one, at most all.

    Args:
        norm_of: The norm of the first so many units; it should not fall.
        norm: The norm to come near to.
        most: How many units there are.
        first: The number that is tried first, such as one that is expected.

    Example:
        >>> matched_number(lambda number: 0.1 * number, 0.33, 20)
        3
    """
    low, high = 0, max(1, min(first, most))
    if norm_of(high) == norm:  # the kind whose norm it is
        return high
    while high < most and norm_of(high) < norm:
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if norm_of(middle) < norm else (low, middle)
    if low and norm - norm_of(low) <= norm_of(high) - norm:
        return low
    return high


def matched_factor(norm_of: Callable[[float], float], norm: float) -> float:
    """Find the scale whose norm is the given one, to 1%.

    Args:
        norm_of: The norm at a scale, 0 at 0.
        norm: The norm to reach.

    Raises:
        InputError: At a scale of 1 nothing changes.

    Example:
        >>> matched_factor(lambda scale: 2 * scale, 0.5)
        0.25
    """
    scale = 1.0
    for _ in range(MOST_STEPS):
        reached = norm_of(scale)
        if reached == 0:
            raise InputError(
                "a direction changes nothing after the last layer, so it cannot be made as large "
                "as the other units: fit it in the stack that they are in."
            )
        if abs(reached / norm - 1) <= CLOSE:
            break
        scale *= norm / reached
    return scale


__all__ = ["ChangeOfStream", "matched_factor", "matched_number"]
