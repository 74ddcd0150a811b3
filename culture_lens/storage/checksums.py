"""Which files of a run folder are damaged: every checksum is read and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from culture_lens.errors import InputError
from culture_lens.storage.files import CHANGED, NOTE, load_json, load_tensors
from culture_lens.storage.finished import PIECES, check_key, read_frame
from culture_lens.storage.hashing import is_sealed, json_hash

SUFFIXES = (".json", ".parquet", ".safetensors")
"""Files that hold a hash of their content."""


def damaged_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Find the files below a folder that are damaged, truncated, empty or in the place of others.

    Files that hold no hash, as those of other programs, cannot be checked and are passed over.

    Yields:
        The file, and what is wrong with it.

    Example:
        ``list(damaged_files(Path("runs/first")))``
    """
    for path in sorted(folder.rglob("[!.]*")):
        if path.suffix in SUFFIXES and path.is_file():
            try:
                check_file(path, piece=PIECES in path.relative_to(folder).parts[:1])
            except InputError as error:
                yield path, str(error)


def check_file(path: Path, *, piece: bool = False) -> None:
    """Compare the content of a file with the hash in it, and a piece's key with its name.

    Raises:
        InputError: The file is damaged, truncated or empty, or a piece that was saved elsewhere.
    """
    if path.suffix == ".json":
        check_json(load_json(path), path)
    elif path.suffix == ".safetensors":
        metadata = load_tensors(path)[1]
        if piece:
            check_key(path, own_metadata(metadata))
    elif piece:
        read_frame(path)
    else:
        check_table(path)


def own_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give what a result was saved with, which summaries and scores hold among their own facts.

    Example:
        >>> own_metadata({"cultures": ["Peru"], "metadata": {"items": 5}})
        {'items': 5}
        >>> own_metadata({"items": 5})
        {'items': 5}
    """
    within = metadata.get("metadata")
    return within if isinstance(within, Mapping) else metadata


def check_json(held: Any, path: Path) -> None:
    """Compare the hash of JSON, if it has one, with all the rest of it."""
    told = held.pop("hash", None) if isinstance(held, dict) else None
    if told is not None and told != json_hash(held):
        raise InputError(f"{path} {CHANGED}")


def check_table(path: Path) -> None:
    """Compare a table with its seal; one of another program must only be readable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = path.read_bytes()
        sealed = is_sealed(content)
        notes = pq.read_metadata(pa.BufferReader(content)).metadata or {}
        json.loads(notes.get(NOTE, b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or truncated ({error}).") from None
    if sealed is False:
        raise InputError(f"{path} {CHANGED}")
