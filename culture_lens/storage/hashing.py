"""Hashes of content: of tensors, of JSON, and of a whole file that holds its own hash.

A seal is a text inside a file with the SHA-256 of the file, computed with zeros in the place of its
digits. Any changed bit of the file shows, wherever it is.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MARK, DIGITS = b"culture_lens sha256 ", 64
SEAL = re.compile(re.escape(MARK) + rb"[0-9a-f]{%d}" % DIGITS)


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


def json_hash(value: Any) -> str:
    """Hash a value that JSON can write, whatever the order of its keys.

    Example:
        >>> json_hash({"a": 1, "b": 2}) == json_hash({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def parts_hash(parts: Iterable[Any]) -> str:
    """Hash values as ``json.dumps`` writes their list, iterators among them as lists.

    The members of a list are written one by one, so that the facts of any number of items take the
    memory of one.

    Example:
        >>> parts_hash([1, iter("ab")]) == parts_hash([1, ["a", "b"]])
        True
    """
    digest = hashlib.sha256()
    for text in json_list(map(json_texts, parts)):
        digest.update(text.encode())
    return digest.hexdigest()


def json_list(members: Iterable[Iterable[str]]) -> Iterator[str]:
    """Write a list as ``json.dumps`` does, given the text of each member in pieces."""
    yield "["
    for at, texts in enumerate(members):
        yield ", " if at else ""
        yield from texts
    yield "]"


def json_texts(value: Any) -> Iterable[str]:
    """Write a value as ``json.dumps`` does, the members of a list one by one."""
    members = value if isinstance(value, (list, tuple, Iterator)) else [value]
    texts = (json.dumps(member, sort_keys=True, default=str) for member in members)
    return texts if members is not value else json_list([text] for text in texts)


def order_header(path: Path) -> None:
    """Sort the metadata in the header of a safetensors file, which writes them in any order.

    The file begins with the length of its header, 8 bytes, and the header, as JSON.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= length:
            file.seek(8)
            file.write(text.ljust(length))


def open_seal() -> bytes:
    """Give a seal with random digits, to be written into a file that ``seal`` then closes."""
    return MARK + secrets.token_hex(DIGITS // 2).encode()


def seal(path: Path, opened: bytes) -> None:
    """Put a file's hash in the place of its open seal."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        start = content.find(opened) + len(MARK)
        content[start : start + DIGITS] = digits_of(content, start)


def is_sealed(content: bytes) -> bool | None:
    """Say whether the content of a file is as it was sealed; None where it has no seal."""
    places = [found.end() - DIGITS for found in SEAL.finditer(content)]
    if not places:
        return None
    return any(content[at : at + DIGITS] == digits_of(content, at) for at in places)


def digits_of(content: bytes | mmap.mmap, start: int) -> bytes:
    """Hash a file's content with zeros in the place of the digits of its seal."""
    digest = hashlib.sha256()
    with memoryview(content) as view:
        for part in (view[:start], b"0" * DIGITS, view[start + DIGITS :]):
            digest.update(part)
            if isinstance(part, memoryview):
                part.release()
    return digest.hexdigest().encode()
