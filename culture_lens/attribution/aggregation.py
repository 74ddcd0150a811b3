"""From one product per token to one score per item.

=========  =====================================  ============================================
name       score of an item                       it
=========  =====================================  ============================================
maximum    highest s_t                            finds neurons that act at few tokens (CULNIG)
largest    largest absolute value of s_t          finds those that act against the answer too
sum        sum of s_t                             is minus the first-order effect of ablation
last       s at the prompt's last token           is where the answer is written
=========  =====================================  ============================================

An item's tokens are those of its prompt and, by likelihood, of its options behind it, each without
its last token, which predicts nothing that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.errors import unknown

if TYPE_CHECKING:  # at run time ``check_aggregation`` refuses other names, with the nearest one
    Aggregation = Literal["maximum", "largest", "sum", "last"]

Products = Float[Tensor, "row pos neuron"]
Padding = Bool[Tensor, "row column"]


def maximum(products: Products, padding: Padding) -> Float[Tensor, "row neuron"]:
    """Take the highest s_t over a row's tokens (CULNIG); changes the products.

    Example:
        >>> s = torch.tensor([[[9.0], [-2.0], [-1.0]]])
        >>> maximum(s, torch.tensor([[True]])).item()
        -1.0
    """
    products[:, : padding.shape[1]].masked_fill_(padding[..., None], float("-inf"))
    return products.amax(1)


def largest(products: Products, padding: Padding) -> Float[Tensor, "row neuron"]:
    """Take the largest absolute value of s_t; changes the products.

    Example:
        >>> s = torch.tensor([[[9.0], [-2.0], [-1.0]]])
        >>> largest(s, torch.tensor([[True]])).item()
        2.0
    """
    products[:, : padding.shape[1]].masked_fill_(padding[..., None], 0)
    return products.abs_().amax(1)


def total(products: Products, padding: Padding) -> Float[Tensor, "row neuron"]:
    """Sum s_t over a row's tokens; changes the products.

    Example:
        >>> s = torch.tensor([[[9.0], [-2.0], [-1.0]]])
        >>> total(s, torch.tensor([[True]])).item()
        -3.0
    """
    products[:, : padding.shape[1]].masked_fill_(padding[..., None], 0)
    return products.sum(1)


def last(products: Products, padding: Padding) -> Float[Tensor, "row neuron"]:
    """Take s_t at the last token.

    Example:
        >>> s = torch.tensor([[[9.0], [-2.0], [-1.0]]])
        >>> last(s, torch.tensor([[True]])).item()
        -1.0
    """
    return products[:, -1]


def padded_columns(mask: Int[Tensor, "row pos"]) -> Padding:
    """Mark the tokens that are padding, up to the last column that has any.

    Padding of prompts is on the left, so only its own columns need to be masked.
    """
    padding = mask == 0
    columns = padding.any(0).nonzero()
    return padding[:, : int(columns[-1]) + 1 if len(columns) else 0]


@dataclass(frozen=True)
class Joining:
    """How tokens are joined: within the rows of a forward, and rows to items.

    Attributes:
        tokens: From ``row pos neuron`` to ``row neuron``.
        rows: How rows of one item are joined: ``"amax"`` or ``"sum"``.
        options: Whether the tokens of options count.
    """

    tokens: Callable[[Products, Padding], Tensor]
    rows: str
    options: bool = True

    def to_items(
        self, held: Float[Tensor, "item neuron"] | None, rows: Tensor, at: Tensor | None, items: int
    ) -> Float[Tensor, "item neuron"]:
        """Join rows of a forward with what is held of their items.

        Args:
            held: What earlier forwards gave; None for the first.
            rows: ``row neuron``.
            at: The item of each row; None where each item has one, in order.
            items: Number of items.
        """
        if at is None and held is None:
            return rows
        if at is None:
            at = torch.arange(items)
        at = at.to(rows.device)
        if held is None:
            nothing = 0.0 if self.rows == "sum" else float("-inf")
            held = torch.full((items, rows.shape[1]), nothing, dtype=rows.dtype, device=rows.device)
        if self.rows == "sum":
            return held.index_add(0, at, rows)
        return held.scatter_reduce(0, at[:, None].expand_as(rows), rows, self.rows)


AGGREGATIONS: Mapping[Aggregation, Joining] = {
    "maximum": Joining(maximum, "amax"),
    "largest": Joining(largest, "amax"),
    "sum": Joining(total, "sum"),
    "last": Joining(last, "sum", options=False),
}


def check_aggregation(aggregation: str) -> None:
    """Refuse an unknown aggregation.

    Raises:
        InputError: Names the nearest one and all of them.

    Example:
        >>> check_aggregation("sum")
    """
    if aggregation not in AGGREGATIONS:
        raise unknown("aggregation", aggregation, AGGREGATIONS)
