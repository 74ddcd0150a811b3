"""Files of results: safetensors and parquet with JSON metadata, and JSON, written atomically.

Nothing here runs code from a file (no pickle), and contents are checked before they are used: every
file holds a hash of its content, its kind, and, where it is a piece of a run, its own key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from culture_lens.checks import said
from culture_lens.errors import InputError, warn
from culture_lens.storage.hashing import (
    content_hash,
    is_sealed,
    json_hash,
    open_seal,
    order_header,
    seal,
)
from culture_lens.storage.parts import check_place, clear_once, new_part, to_disk, writing

if TYPE_CHECKING:
    import pandas as pd

LARGEST_JSON = 100_000_000
"""Bytes of the largest JSON file that is read."""
NOTE, KIND, KEY, HASH = (b"culture_lens" + end for end in (b"", b".kind", b".key", b".hash"))
"""Keys in a parquet file: of the metadata, the kind of result, the piece's key, and the hash."""
CHANGED = (
    "is damaged or was changed after it was written (its hash differs); make it again or copy it "
    "again."
)


def write_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Write a file under another name, then rename it, so that no half-written file is ever found.

    The content is on the disk before the name is, and the name before the call returns: neither a
    killed process nor a machine that loses its power leaves less than a whole file. What a process
    that died has left half-written in the same folder is deleted.

    Raises:
        InputError: The disk is full, the folder cannot be written to, or something is in the way.

    Example:
        ``write_whole("a.txt", lambda p: p.write_text("whole"))``
    """
    target = Path(path)
    check_place(target)
    clear_once(target.parent)
    with writing(target):
        part = new_part(target)
        try:
            write(part)
            os.chmod(part, 0o644)
            to_disk(part)
            part.replace(target)
            to_disk(target.parent)
        finally:
            part.unlink(missing_ok=True)
    return target


def save_json(path: str | Path, value: Any) -> Path:
    """Write JSON, indented, UTF-8."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    return write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def load_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        InputError: The file is missing, no ordinary file, too large or not readable, or it is not
            JSON (the place is named).
    """
    # A pipe or a device would be waited for; a folder cannot be read.
    if not Path(path).is_file():
        there = Path(path).exists()
        raise InputError(f"{path} is no ordinary file." if there else f"no such file: {path}")
    if Path(path).stat().st_size > LARGEST_JSON:
        raise InputError(f"{path} has more than {LARGEST_JSON:,} bytes: it is no file of ours.")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from None
    # RecursionError: brackets nested a thousand deep; ValueError: also numbers of 4300 digits.
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON ({error}); it is damaged, make it again."
        ) from None


def save_hashed_json(path: str | Path, kind: str, value: Mapping[str, Any]) -> Path:
    """Write JSON as ``save_json`` does, with its kind and a hash of all the rest."""
    plain = json.loads(json.dumps({**value, "kind": kind}, default=str))
    return save_json(path, {**plain, "hash": json_hash(plain)})


def load_hashed_json(path: str | Path, kind: str) -> dict[str, Any]:
    """Read what ``save_hashed_json`` wrote, without kind and hash, and check it.

    A file without a hash, as version 0.1.0 wrote them, is read with a warning.

    Raises:
        InputError: The file is missing, damaged, changed or of another kind, or holds no names
            with values.
    """
    held = load_json(path)
    if not isinstance(held, dict):
        raise InputError(f"{path} holds {said(held)}, and not names with values.")
    told = held.pop("hash", None)
    if told is None:
        say_unchecked(path)
    elif told != json_hash(held):
        raise InputError(f"{path} {CHANGED}")
    if (found := held.pop("kind", kind if told is None else None)) != kind:
        raise InputError(f"{path} holds {found or 'something else'!r}, not a {kind}.")
    return held


def say_unchecked(path: str | Path) -> None:
    """Warn of a file in which no damage would show."""
    warn(
        f"{path} holds no hash of its content, as files of version 0.1.0: whether it is as it was "
        "written cannot be checked."
    )


def save_table(
    path: str | Path, frame: pd.DataFrame, metadata: Mapping[str, Any], *, kind: str, key: str = ""
) -> Path:
    """Write records, metadata, kind and, of a piece, its key into one sealed parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    opened = open_seal()
    notes = {
        NOTE: json.dumps(dict(metadata), default=str).encode(),
        KIND: kind.encode(),
        KEY: key.encode(),
        HASH: opened,
    }

    def write(part: Path) -> None:
        with pq.ParquetWriter(part, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(notes)
        seal(part, opened)

    return write_whole(path, write)


def load_table(
    path: str | Path, what: str, *, kind: str, key: str = ""
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read records and metadata that ``save_table`` wrote, and check them.

    Args:
        path: The file.
        what: Name of the expected result in messages, such as ``"an ablation matrix"``.
        kind: The kind that it was saved as.
        key: The key that it was saved with.

    Raises:
        InputError: The file is missing, damaged, changed, of another kind or key, or has no
            metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = Path(path)
    if not file.is_file():
        raise InputError(f"no such file: {path}")
    try:
        content = file.read_bytes()  # what is hashed is what is used
        sealed = is_sealed(content)
        if sealed is False:
            raise InputError(f"{path} {CHANGED}")
        table = pq.ParquetFile(pa.BufferReader(content))
        notes = table.metadata.metadata or {}
        frame = table.read().to_pandas()
        metadata: dict[str, Any] = json.loads(notes.get(NOTE, b"{}"))
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged or truncated ({error}); delete it and make it again."
        ) from None
    if NOTE not in notes or KIND not in notes:
        raise InputError(f"{path} is not {what}: its metadata are missing.")
    if (found := notes[KIND].decode()) != kind:
        raise InputError(f"{path} is not {what}: it holds a {found}.")
    if (found := notes.get(KEY, b"").decode()) != key:
        raise InputError(f"{path} is not {what} under {key!r}: it was saved under {found!r}.")
    if sealed is None and key:
        raise InputError(f"{path} holds no hash of its content, which every piece has.")
    if sealed is None:
        say_unchecked(path)
    return frame, metadata


def save_tensors(
    path: str | Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> Path:
    """Write tensors and metadata into one safetensors file, with a hash of the content."""
    from safetensors.torch import save_file

    plain = json.loads(json.dumps(dict(metadata), default=str))
    held = unshared({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})
    header = {
        "kind": kind,
        "metadata": json.dumps(plain, sort_keys=True),
        "hash": content_hash(held, plain),
    }

    def write(part: Path) -> None:
        save_file(held, part, metadata=header)
        order_header(part)  # the same content is the same bytes

    return write_whole(path, write)


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy those tensors that share memory with an earlier one, which safetensors cannot write."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return apart


def load_tensors(
    path: str | Path, kind: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_tensors`` wrote, of one kind or of any, and check it.

    Raises:
        InputError: The file is missing, damaged, truncated, changed, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise InputError(f"no such file: {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = header.get("kind")
        metadata = json.loads(header.get("metadata", "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is damaged or truncated ({error}); make it again or copy it again."
        ) from None
    if kind is not None and found != kind:
        raise InputError(f"{path} holds {found or 'something else'!r}, not a {kind}.")
    if kind is None and not {"kind", "metadata", "hash"} & header.keys():
        return tensors, metadata  # of another program
    if content_hash(tensors, metadata) != header.get("hash"):
        raise InputError(f"{path} {CHANGED}")
    return tensors, metadata
