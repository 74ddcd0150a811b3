"""Make edits of different kinds equally large: how many units, or how often a direction.

    norm = E over items of |x' - x|  /  E over items of |x|

x being the residual stream after the last layer, averaged over an item's content tokens, x' the
same under the edit (see ``change_norm``). It grows with the number of units, so the number that
comes nearest to a norm is found by bisection. It is nearly proportional to the scale of a
direction that is added, so s <- s norm / norm(s) finds the scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from culture_lens.errors import InputError
from culture_lens.interventions.change_norm import item_changes
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import part_of
from culture_lens.models.transformer_lens import HookList
from culture_lens.prompts.running import Running
from culture_lens.questions.question import Question

CLOSE, MOST_STEPS = 0.01, 12
"""How near a scale comes to a norm, as a share of it, and after how many steps at the latest."""


@dataclass(frozen=True, eq=False)
class ChangeOfStream:
    """Measures how far edits move the residual stream after the last layer.

    Attributes:
        model: The model; of an encoder-decoder the stack of its default site.
        questions: What is read, by culture.
        running: Batch size, prompts that are too long.
    """

    model: LensModel
    questions: Mapping[str, Sequence[Question]]
    running: Running

    @cached_property
    def lengths(self) -> dict[str, float]:
        """E |x| of every culture's questions: what setting x to 0 changes."""
        site, layer = self._place
        zero = [(self.model.hook_name(site, layer), set_to_zero)]
        return {culture: self._change(zero, culture) for culture in self.questions}

    @property
    def _place(self) -> tuple[str, int]:
        site = self.model.default_site
        stream = site[: -len(part_of(site))] + "resid"
        return stream, self.model.layers(stream) - 1

    def _change(self, hooks: HookList, culture: str) -> float:
        site, layer = self._place
        options: dict[str, Any] = {**vars(self.running), "progress": False}
        values, _ = item_changes(
            self.model, hooks, self.questions[culture], layer=layer, site=site, **options
        )
        return sum(values) / len(values)

    def norm(self, hooks: HookList, culture: str) -> float:
        """Give the change that hooks make on a culture's questions, as a share of E |x|."""
        return self._change(hooks, culture) / self.lengths[culture]


def set_to_zero(activation: torch.Tensor, hook: Any) -> torch.Tensor:
    """Give zeros in the place of an activation."""
    return torch.zeros_like(activation)


def matched_number(norm_of: Callable[[int], float], norm: float, most: int) -> int:
    """Find the number of units whose norm is nearest: at least one, at most all.

    Args:
        norm_of: The norm of the first so many units; it should not fall.
        norm: The norm to come near to.
        most: How many units there are.

    Example:
        >>> matched_number(lambda number: 0.1 * number, 0.33, 20)
        3
    """
    low, high = 0, 1
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
