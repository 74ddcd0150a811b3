"""Finished work in a run folder: loaded from its place where it exists, else made and saved.

``finished`` is for work that is saved once, when it is done; ``shards`` for work that grows item by
item, with a snapshot after each shard. Without a place nothing is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from culture_lens.storage.files import read_parquet, write_whole

if TYPE_CHECKING:
    import pandas as pd

Work = TypeVar("Work")
SHARD = 64
"""Items per shard: what an interruption can cost."""


def finished(
    place: Path | None,
    make: Callable[[], Work],
    *,
    load: Callable[[Path], Work],
    save: Callable[[Path, Work], object],
) -> Work:
    """Load work from its place where it was finished before; else make it and keep it there.

    Example:
        >>> finished(None, lambda: 3, load=int, save=print)
        3
    """
    if place is not None and place.exists():
        return load(place)
    work = make()
    if place is not None:
        save(place, work)
    return work


def finished_frame(place: Path | None, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Load a table from its place where it was finished before; else make it and keep it there.

    Example:
        ``finished_frame(run.piece("records", key, ".parquet"), lambda: frame)``
    """
    return finished(place, make, load=read_parquet, save=write_frame)


def write_frame(place: Path, frame: pd.DataFrame) -> Path:
    """Write a table whole."""
    return write_whole(place, lambda part: frame.to_parquet(part, index=False))


def shards(
    place: Path | None,
    total: int,
    *,
    resume: Callable[[Path], int],
    save: Callable[[Path, int], object],
    size: int | None = None,
) -> Iterator[slice]:
    """Go through the items that are not done yet, and keep a snapshot after each shard.

    Args:
        place: Where the snapshot is or will be; without it all items are one shard.
        total: How many items there are.
        resume: Loads a snapshot and returns how many items it covers.
        save: Writes a snapshot, given its place and how many items it covers.
        size: Items per shard; ``SHARD`` by default.

    Yields:
        The items of each shard. Its snapshot is written when the next one is asked for.

    Example:
        >>> [part.stop for part in shards(None, 5, resume=len, save=print)]
        [5]
    """
    done = resume(place) if place is not None and place.exists() else 0
    size = (size or SHARD) if place is not None else max(total, 1)
    for start in range(done, total, size):
        stop = min(start + size, total)
        yield slice(start, stop)
        if place is not None:
            save(place, stop)
