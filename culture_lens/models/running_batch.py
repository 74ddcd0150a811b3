"""Which batch a forward runs, for hooks that need to know more than their activation.

Edges are cut by the roles of tokens, which are known of prompts. While a ``LensModel`` runs a
batch, hooks find it here; a forward of bare token ids has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from culture_lens.prompts.prompt import Batch


@dataclass(frozen=True, eq=False)
class RunningBatch:
    """A batch that is run.

    Attributes:
        batch: The batch.
        ends: Whether its last column is the end of its prompts; not of shared prefixes.
    """

    batch: Batch
    ends: bool = True


_BATCH: ContextVar[RunningBatch | None] = ContextVar("batch", default=None)


@contextmanager
def forward_of(batch: Batch, *, ends: bool = True) -> Iterator[None]:
    """Name the batch that is run within the block, exceptions included.

    Example:
        ``with forward_of(batch): model.bridge(batch.input_ids)``
    """
    token = _BATCH.set(RunningBatch(batch, ends))
    try:
        yield
    finally:
        _BATCH.reset(token)


def batch_running() -> RunningBatch | None:
    """Give the batch that is run at this moment; None where none is.

    Example:
        >>> batch_running() is None
        True
    """
    return _BATCH.get()


__all__ = ["RunningBatch", "batch_running", "forward_of"]
