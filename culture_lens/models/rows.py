"""Which rows of a batch a forward runs, for edits that differ from row to row.

A forward runs the rows of its batch, each once and in order, so that an edit with values for each
row needs to know no more than its activation. The one exception is the options of cloze prompts:
they run after copies of their rows' caches, in an order of their own. For such a
forward, ``running`` records which row of the batch each of them belongs to, and its tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class OptionRows:
    """The rows of a forward of options.

    Attributes:
        rows: The row of the batch that each option belongs to.
        mask: 1 on tokens and 0 on padding, ``option pos``; None where nobody asks for it.
    """

    rows: Int[Tensor, " option"]
    mask: Int[Tensor, "option pos"] | None = None


_OPTIONS: ContextVar[OptionRows | None] = ContextVar("options", default=None)


@contextmanager
def running(
    rows: Int[Tensor, " row"], mask: Int[Tensor, "row pos"] | None = None
) -> Iterator[None]:
    """Run these rows of a batch for the time of the block, exceptions included.

    Example:
        ``with running(torch.tensor([2, 0, 2])): ...`` is a forward of three rows.
    """
    token = _OPTIONS.set(OptionRows(rows, mask))
    try:
        yield
    finally:
        _OPTIONS.reset(token)


def options_running() -> OptionRows | None:
    """Give the options that are run at this moment; None where prompts are run.

    Example:
        >>> options_running() is None
        True
    """
    return _OPTIONS.get()


def of_rows(values: Tensor) -> Tensor:
    """Choose the values of the rows that are run, of a tensor with one value for each row.

    Example:
        >>> import torch
        >>> with running(torch.tensor([2, 0, 2])):
        ...     of_rows(torch.tensor([5, 6, 7])).tolist()
        [7, 5, 7]
    """
    options = _OPTIONS.get()
    return values if options is None else values[options.rows.to(values.device)]
