"""Run a step over batches, with smaller ones where memory runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from culture_lens.errors import warn
from culture_lens.prompts.batches import Batches, collate
from culture_lens.prompts.prompt import Batch
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from culture_lens.storage.progress import progress_bar

Result = TypeVar("Result")


def run_batches(
    work: Batches | Iterable[Batch],
    step: Callable[[Batch], Result],
    *,
    pad_id: int,
    progress: bool = True,
    label: str = "",
) -> Iterator[tuple[Batch, Result]]:
    """Run a step over batches; where memory runs out, warn, halve the batch and go on.

    Args:
        work: The batches; each is asked for when the one before has run.
        step: What to do with each batch. It may be run again on smaller batches, so it must change
            nothing before it returns.
        pad_id: Token id of the padding, for the smaller batches.
        progress: Show a progress bar over items.
        label: Its label.

    Yields:
        Each batch that ran, with the step's result.

    Raises:
        RuntimeError: Memory runs out even for a single row.

    Example:
        ``for batch, logits in run_batches(work, model.logits, pad_id=model.pad_id): ...``
    """
    total = work.items if isinstance(work, Batches) else None
    waiting, stack, limit = iter(work), list[Batch](), math.inf
    with progress_bar(total=total, desc=label, unit="item", progress=progress, leave=False) as bar:
        while batch := stack.pop() if stack else next(waiting, None):
            rows = len(batch.prompts)
            if rows > limit:
                stack += reversed(halves(batch, pad_id))
                continue
            failed = False
            try:
                result = step(batch)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or rows == 1:
                    raise
                failed = True  # leave the handler first: the traceback holds the tensors
            if failed:
                limit = (rows + 1) // 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                warn(
                    f"out of memory at {rows} rows of {batch.input_ids.shape[1]} tokens: going on "
                    f"with {limit} rows a batch."
                )
                stack.append(batch)
                continue
            bar.update(rows)
            yield batch, result


def halves(batch: Batch, pad_id: int) -> tuple[Batch, Batch]:
    """Split a batch into two, each padded to its own longest prompt."""
    middle = (len(batch.prompts) + 1) // 2
    parts = (batch.prompts[:middle], batch.prompts[middle:])
    share_prefix = batch.prefixes is not None
    one, other = (
        collate(some, pad_id, shared_prefix_lengths(some) if share_prefix else ()) for some in parts
    )
    return one, other


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    text = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError)
        and any(sign in text for sign in ("out of memory", "can't allocate memory"))
    )
