"""Files of results: safetensors and parquet with JSON metadata, and JSON, written atomically.

Nothing here runs code from a file (no pickle), and contents are checked before they are used.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from culture_lens.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

LARGEST_JSON = 100_000_000
"""Bytes of the largest JSON file that is read."""
NOTE, KIND = b"culture_lens", b"culture_lens.kind"
"""Keys in a parquet file: of the metadata, and of the kind of result."""


def write_whole(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Write a file under another name, then rename it, so that no half-written file is ever found.

    Example:
        ``write_whole("a.txt", lambda p: p.write_text("whole"))``
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        write(part)
        os.chmod(part, 0o644)
        part.replace(target)
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
        InputError: The file is missing, no ordinary file or too large, or it is not JSON (the
            place is named).
    """
    # A pipe or a device would be waited for; a folder cannot be read.
    if not Path(path).is_file():
        there = Path(path).exists()
        raise InputError(f"{path} is no ordinary file." if there else f"no such file: {path}")
    if Path(path).stat().st_size > LARGEST_JSON:
        raise InputError(f"{path} has more than {LARGEST_JSON:,} bytes: it is no file of ours.")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    # RecursionError: brackets nested a thousand deep; ValueError: also numbers of 4300 digits.
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON ({error}); it is damaged, make it again."
        ) from None


def read_parquet(path: str | Path) -> pd.DataFrame:
    """Read a table from a parquet file.

    Raises:
        InputError: The file is missing, damaged or truncated.
    """
    import pandas as pd
    import pyarrow as pa

    if not Path(path).is_file():
        raise InputError(f"no such file: {path}")
    try:
        return pd.read_parquet(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged or truncated ({error}); delete it and make it again."
        ) from None


def save_table(
    path: str | Path, frame: pd.DataFrame, metadata: Mapping[str, Any], *, kind: str
) -> Path:
    """Write records, their metadata and their kind into one parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    note = {NOTE: json.dumps(dict(metadata), default=str).encode(), KIND: kind.encode()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **note})
    return write_whole(path, lambda part: pq.write_table(table, part))


def load_table(path: str | Path, what: str, *, kind: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read records and metadata that ``save_table`` wrote.

    Args:
        path: The file.
        what: Name of the expected result in messages, such as ``"an ablation matrix"``.
        kind: The kind that it was saved as.

    Raises:
        InputError: The file is missing, damaged, of another kind, or has no metadata.
    """
    import pyarrow.parquet as pq

    frame = read_parquet(path)
    notes = pq.read_schema(path).metadata or {}
    if NOTE not in notes or KIND not in notes:
        raise InputError(f"{path} is not {what}: its metadata are missing.")
    if (found := notes[KIND].decode()) != kind:
        raise InputError(f"{path} is not {what}: it holds a {found}.")
    metadata: dict[str, Any] = json.loads(notes[NOTE])
    return frame, metadata


def content_hash(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Hash names, shapes, dtypes, values and metadata with SHA-256.

    Example:
        >>> len(content_hash({}, {}))
        64
    """
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous().cpu()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_tensors(
    path: str | Path, kind: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> Path:
    """Write tensors and metadata into one safetensors file, with a hash of the content."""
    from safetensors.torch import save_file

    plain = json.loads(json.dumps(dict(metadata), default=str))
    held = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    header = {
        "kind": kind,
        "metadata": json.dumps(plain, sort_keys=True),
        "hash": content_hash(held, plain),
    }
    return write_whole(path, lambda part: save_file(held, part, metadata=header))


def load_tensors(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_tensors`` wrote, and check it.

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
    if found != kind:
        raise InputError(f"{path} holds {found or 'something else'!r}, not a {kind}.")
    if content_hash(tensors, metadata) != header.get("hash"):
        raise InputError(
            f"{path} was changed after it was written (its hash differs); make it again."
        )
    return tensors, metadata
