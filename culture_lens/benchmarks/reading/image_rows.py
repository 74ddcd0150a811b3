"""Rows with an image each -> Questions, for all benchmarks with images.

Rows that cannot be used are dropped, with a warning that counts them by reason. Questions on one
image are one question group, so that no image is used both to identify neurons and to evaluate.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from culture_lens.benchmarks.reading.rows import cell_text, is_blank, say_dropped
from culture_lens.errors import InputError, warn
from culture_lens.questions.images import LazyImage, as_image
from culture_lens.questions.question import Question

WITHHELD = -1
WHOLE = re.compile(r"(-?\d+)(\.0+)?")


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A row of a benchmark with images: its cells are read, but not yet checked.

    Attributes:
        id: The published id, unique or not.
        culture: The group label.
        text: The question.
        options: Its options as published.
        label: Index of the right option; None where the cell holds no whole number.
        image: The cell with the image, or with its path.
        picture: Name of the image; rows with the same name have the same image.
        category: Topic.
        metadata: Anything else worth keeping.
    """

    id: str
    culture: str
    text: str
    options: tuple[str, ...]
    label: int | None
    image: Any
    picture: str
    category: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def image_questions(
    benchmark: str, rows: Sequence[ImageRow], *, root: str | Path | None, say_twice: bool = True
) -> list[Question]:
    """Make questions of the rows that can be used, in their order; no image is decoded.

    Args:
        benchmark: Name written into the questions.
        rows: The rows.
        root: The folder that relative image paths start from.
        say_twice: Warn of ids that occur more than once; off for a benchmark known for it.

    Raises:
        InputError: An image's file does not exist.

    Warns:
        CultureLensWarning: Rows were dropped, or ids that occur twice were numbered.

    Example:
        ``image_questions("cvqa", rows, root="cvqa")``
    """
    # Numbered before any is dropped, so that a question has the same id in every language.
    ids = numbered([row.id for row in rows])
    twice = sum(row.id != name for row, name in zip(rows, ids, strict=True))
    if twice and say_twice:
        first = next(n for row, n in zip(rows, ids, strict=True) if row.id != n)
        warn(
            f"{benchmark}: {twice} of {len(rows)} rows have an id that occurred before; they are "
            f"kept and numbered, the first as {first!r}."
        )
    reasons = Counter(reason for row in rows if (reason := unusable(row)))
    say_dropped(benchmark, len(rows), reasons)
    kept = [(name, row) for name, row in zip(ids, rows, strict=True) if not unusable(row)]
    images = [
        as_image(row.image, where=f"question {name!r} of {benchmark}", root=root)
        for name, row in kept
    ]
    groups = image_groups(images, [row.picture for _, row in kept])
    return [
        Question(
            id=name,
            culture=row.culture,
            text=row.text,
            options=row.options,
            answer=row.label or 0,
            category=row.category,
            group=group,
            image=image,
            benchmark=benchmark,
            metadata=row.metadata,
        )
        for (name, row), image, group in zip(kept, images, groups, strict=True)
    ]


def unusable(row: ImageRow) -> str:
    """Say why a row makes no question; an empty string where it does."""
    if no_image(row.image):
        return "without an image"
    if not row.text.strip():
        return "without a question"
    stripped = {option.strip() for option in row.options}
    if len(stripped) < max(2, len(row.options)) or "" in stripped:
        return "whose options are empty or collide"
    if row.label == WITHHELD:
        return f"whose answer is withheld (label {WITHHELD})"
    if row.label is None or not 0 <= row.label < len(row.options):
        return "whose label is out of range"
    return ""


def no_image(cell: Any) -> bool:
    """Say whether a cell has neither an image nor a path.

    Example:
        >>> no_image(None), no_image({"bytes": None, "path": ""}), no_image("5.jpg")
        (True, True, False)
    """
    if isinstance(cell, Mapping):
        return not (cell.get("bytes") or cell.get("path"))
    return is_blank(cell) or (isinstance(cell, bytes) and not cell)


def numbered(ids: Sequence[str]) -> list[str]:
    """Make ids unique by numbering those that occurred before, in order.

    Example:
        >>> numbered(["a", "b", "a", "a"])
        ['a', 'b', 'a/2', 'a/3']
    """
    taken, seen, made = set(ids), Counter[str](), []
    for name in ids:
        seen[name] += 1
        unique = name
        while seen[name] > 1 and (unique := f"{name}/{seen[name]}") in taken:
            seen[name] += 1
        taken.add(unique)
        made.append(unique)
    return made


def image_groups(images: Sequence[LazyImage], names: Sequence[str]) -> list[str]:
    """Group images by name, and join groups that hold the same image under the first's name.

    Images are the same where their bytes are. Only images whose number of bytes occurs under
    several names are read, so that this is cheap for any number of images. Images whose number of
    bytes is unknown without reading them (web addresses) are grouped by name alone.

    Args:
        images: The images.
        names: The name of each.

    Returns:
        The group of each image.

    Example:
        >>> a, b = (as_image(data, where="here") for data in (b"one picture", b"another"))
        >>> image_groups([a, b, a], ["x", "y", "z"])
        ['x', 'y', 'x']
    """
    order = {name: place for place, name in reversed(list(enumerate(names)))}
    parent = {name: name for name in names}

    def top(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    alike: dict[int, list[tuple[str, LazyImage]]] = defaultdict(list)
    for image, name in zip(images, names, strict=True):
        if image.n_bytes is not None:
            alike[image.n_bytes].append((name, image))
    for several in alike.values():
        if len({name for name, _ in several}) == 1:
            continue
        holder: dict[str, str] = {}
        for name, image in several:
            one, other = top(holder.setdefault(image.key, name)), top(name)
            first, second = sorted((one, other), key=order.__getitem__)
            parent[second] = first
    return [top(name) for name in names]


def listed(value: Any, column: str, where: str) -> tuple[str, ...]:
    """Read a cell of options: a list, or a list written in JSON or Python.

    Raises:
        InputError: It is no list.

    Example:
        >>> listed('["yen", "won"]', "Options", "row 1")
        ('yen', 'won')
    """
    if isinstance(value, str):
        value = literal(value)
    # Parquet gives arrays, which are neither lists nor tuples.
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)):
        return tuple(cell_text(option) for option in value)
    raise InputError(f"{where}: {column} does not hold a list; take the rows as published.")


def literal(text: str) -> Any:
    """Read a value written as JSON or as a Python literal; None where it is neither.

    Example:
        >>> literal("('Spanish', 'Mexico')"), literal("import os")
        (('Spanish', 'Mexico'), None)
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def whole_number(value: Any) -> int | None:
    """Read a cell that holds a whole number; None where it does not.

    Example:
        >>> whole_number(2), whole_number("2"), whole_number(2.0), whole_number("b")
        (2, 2, 2, None)
    """
    match = WHOLE.fullmatch(cell_text(value).strip())
    return int(match[1]) if match else None
