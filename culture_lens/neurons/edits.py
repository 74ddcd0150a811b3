"""Edits of an activation: replace or scale some neurons, as functions and as a hook function.

A mask over neurons has one row for all items, or one row per item of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.rows import of_rows

Edit = Callable[[Tensor, Tensor, Tensor], Tensor]


def replaced(
    activation: Float[Tensor, "batch pos neuron"],
    mask: Bool[Tensor, "rows neuron"],
    value: Float[Tensor, "rows neuron"],
) -> Float[Tensor, "batch pos neuron"]:
    """Replace the masked neurons by a value.

    Example:
        >>> mask = torch.tensor([[True, False]])
        >>> replaced(torch.ones(1, 1, 2), mask, torch.zeros(1, 2)).tolist()
        [[[0.0, 1.0]]]
    """
    return torch.where(mask[:, None], value[:, None].to(activation.dtype), activation)


def scaled(
    activation: Float[Tensor, "batch pos neuron"],
    mask: Bool[Tensor, "rows neuron"],
    factor: Float[Tensor, "rows neuron"],
) -> Float[Tensor, "batch pos neuron"]:
    """Multiply the masked neurons by a factor.

    Example:
        >>> mask = torch.tensor([[True, False]])
        >>> scaled(torch.ones(1, 1, 2), mask, torch.full((1, 2), 1.5)).tolist()
        [[[1.5, 1.0]]]
    """
    return torch.where(mask[:, None], activation * factor[:, None].to(activation.dtype), activation)


def edit_hook(
    edit: Edit, mask: Tensor, value: Tensor, times: Callable[[], Tensor] | None = None
) -> Callable[..., Tensor]:
    """Make a hook function of an edit; it returns a new tensor of the activation's shape.

    Args:
        edit: ``replaced`` or ``scaled``.
        mask: One row for all rows of a batch, or one for each.
        value: Likewise.
        times: Gives an activation by which the edited one has been multiplied; see
            ``neurons.hooks``.
    """

    def run(activation: Tensor, hook: Any) -> Tensor:
        device = activation.device
        masks, values = mask.to(device), value.to(device)
        if len(masks) > 1:
            masks, values = of_rows(masks), of_rows(values)
        if len(masks) not in (1, len(activation)):
            raise InputError(
                f"neurons were given for {len(mask)} rows, but {len(activation)} rows are run: "
                "give one set for all rows, or one for each. Rows that share their prefixes "
                "cannot differ: make such a batch with collate(prompts, pad_id), without "
                "prefix_lengths."
            )
        edited = edit(activation.flatten(2), masks, values)
        if times is not None:
            edited = torch.where(masks[:, None], edited * times().flatten(2), edited)
        return edited.reshape(activation.shape)

    return run
