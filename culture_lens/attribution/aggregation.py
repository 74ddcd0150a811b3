"""From one product per token to one score per item: maximum, sum or last token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.errors import unknown

if TYPE_CHECKING:  # at run time ``check_aggregation`` refuses other names, with the nearest one
    Aggregation = Literal["maximum", "sum", "last"]

Products = Float[Tensor, "item pos neuron"]
Padding = Bool[Tensor, "item column"]


def maximum(products: Products, padding: Padding) -> Float[Tensor, "item neuron"]:
    """Take the highest s_t over an item's tokens (CULNIG); changes the products.

    Example:
        >>> import torch
        >>> s = torch.tensor([[[9.0], [-2.0], [-1.0]]])
        >>> maximum(s, torch.tensor([[True]])).item()
        -1.0
    """
    products[:, : padding.shape[1]].masked_fill_(padding[..., None], float("-inf"))
    return products.amax(1)


def total(products: Products, padding: Padding) -> Float[Tensor, "item neuron"]:
    """Sum s_t over an item's tokens (= -first-order ablation effect); changes the products.

    Example:
        >>> import torch
        >>> total(torch.tensor([[[9.0], [-2.0], [-1.0]]]), torch.tensor([[True]])).item()
        -3.0
    """
    products[:, : padding.shape[1]].masked_fill_(padding[..., None], 0)
    return products.sum(1)


def last(products: Products, padding: Padding) -> Float[Tensor, "item neuron"]:
    """Take s_t at the last token, where the answer is written.

    Example:
        >>> import torch
        >>> last(torch.tensor([[[9.0], [-2.0], [-1.0]]]), torch.tensor([[True]])).item()
        -1.0
    """
    return products[:, -1]


def padded_columns(mask: Int[Tensor, "item pos"]) -> Padding:
    """Mark the tokens that are padding, up to the last column that has any.

    Padding is on the left, so only its own columns need to be masked.
    """
    padding = mask == 0
    columns = padding.any(0).nonzero()
    return padding[:, : int(columns[-1]) + 1 if len(columns) else 0]


AGGREGATIONS: Mapping[Aggregation, Callable[[Products, Padding], Tensor]] = {
    "maximum": maximum,
    "sum": total,
    "last": last,
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
