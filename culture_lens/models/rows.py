"""Which rows of a batch a forward runs, for edits that differ from row to row.

A forward runs the rows of its batch, each once and in order, so that an edit with values for each
row needs to know no more than its activation. The one exception is the options of cloze prompts:
they run after copies of their rows' caches, in an order of their own. For such a
forward, ``running`` records which row of the batch each of them belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jaxtyping import Int
from torch import Tensor

_ROWS: ContextVar[Tensor | None] = ContextVar("rows", default=None)


@contextmanager
def running(rows: Int[Tensor, " row"]) -> Iterator[None]:
    """Run these rows of a batch for the time of the block, exceptions included.

    Example:
        ``with running(torch.tensor([2, 0, 2])): ...`` is a forward of three rows.
    """
    token = _ROWS.set(rows)
    try:
        yield
    finally:
        _ROWS.reset(token)


def of_rows(values: Tensor) -> Tensor:
    """Choose the values of the rows that are run, of a tensor with one value for each row.

    Example:
        >>> import torch
        >>> with running(torch.tensor([2, 0, 2])):
        ...     of_rows(torch.tensor([5, 6, 7])).tolist()
        [7, 5, 7]
    """
    rows = _ROWS.get()
    return values if rows is None else values[rows.to(values.device)]
