"""Finished work in a run folder: loaded from its place where it exists, else made and saved.

Without a place nothing is saved. What is damaged, or is another piece than its name says, is made
again, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from culture_lens.errors import InputError, warn
from culture_lens.storage.files import load_table, save_table
from culture_lens.storage.parts import check_place

if TYPE_CHECKING:
    import pandas as pd

Work = TypeVar("Work")
SHARD = 64
"""Items per shard: what an interruption can cost."""
PIECE, PIECES = "piece", "pieces"
"""Kind of a table that is a piece and entry of the metadata with a piece's key; the folder."""


def finished(
    place: Path | None,
    make: Callable[[], Work],
    *,
    load: Callable[[Path], Work],
    save: Callable[[Path, Work], object],
) -> Work:
    """Load work from its place where it was finished before; else make it and keep it there.

    Args:
        place: Where it is or will be kept; nowhere if None.
        make: Does the work.
        load: Reads it; raises ``InputError`` of what is damaged, which is then made again.
        save: Writes it.

    Raises:
        InputError: Nothing can be written to the place.

    Example:
        >>> finished(None, lambda: 3, load=int, save=print)
        3
    """
    if place is None:
        return make()
    if place.exists():
        try:
            return load(place)
        except InputError as error:
            say_made_again(error)
    check_place(place)
    work = make()
    save(place, work)
    return work


def say_made_again(error: InputError) -> None:
    """Warn of a piece that cannot be used."""
    warn(f"{error} This piece of the run is made again.")


def finished_frame(place: Path | None, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Load a table from its place where it was finished before; else make it and keep it there.

    Example:
        ``finished_frame(run.piece("records", key, ".parquet"), lambda: frame)``
    """
    return finished(place, make, load=read_frame, save=write_frame)


def piece_key(place: Path) -> str:
    """Give the key of a piece: the name of its file, and of a shard that of its folder too.

    Example:
        >>> piece_key(Path("first/pieces/records-1a.parquet"))
        'records-1a.parquet'
        >>> piece_key(Path("first/pieces/answers-1a/3.parquet"))
        'answers-1a/3.parquet'
    """
    folder = place.parent
    return f"{folder.name}/{place.name}" if folder.parent.name == PIECES else place.name


def write_frame(
    place: Path, frame: pd.DataFrame, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Write a table whole, with the key of its place and, of a shard, its ``shard_facts``."""
    return save_table(place, frame, metadata or {}, kind=PIECE, key=piece_key(place))


def read_frame(place: Path) -> pd.DataFrame:
    """Read what ``write_frame`` wrote.

    Raises:
        InputError: It is damaged, or another piece than its name says.
    """
    return load_table(place, "a piece of a run", kind=PIECE, key=piece_key(place))[0]


def keyed(place: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Add the key of a piece to the metadata that are saved with it.

    Example:
        >>> keyed(Path("pieces/statistics-1a.safetensors"), {"done": 4})
        {'done': 4, 'piece': 'statistics-1a.safetensors'}
    """
    return {**metadata, PIECE: piece_key(place)}


def check_key(place: Path, metadata: Mapping[str, Any]) -> None:
    """Refuse a piece that was saved in another place.

    Raises:
        InputError: Its metadata have another key, or none.
    """
    if (found := metadata.get(PIECE)) != (key := piece_key(place)):
        raise InputError(f"{place} was saved as {found or 'no piece'!r}, not as {key!r}.")
