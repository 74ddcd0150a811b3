"""Small pictures go through the vision tower several at a time, always as many.

A tower that sees pictures of a few dozen pixels spends more time on its calls than on its sums. So
pictures of which it takes nothing but pixels of one shape go through in groups. A group that is not
full is filled up with blank pictures: the tower is given one shape whatever is asked for together,
so that no picture's features depend on the others. One of more than 135 x 135 is a group alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.questions.images import LazyImage

GROUP_NUMBERS = 3 * 192 * 192
"""The most numbers that the pixels of a group have, where it has more than one picture."""

Prepared = tuple[LazyImage, dict[str, Tensor]]
"""A picture and what its tower is given of it."""


def group_size(inputs: Mapping[str, Tensor]) -> int:
    """Say how many pictures of this shape go through the tower at a time.

    Example:
        >>> group_size({"pixel_values": torch.zeros(1, 3, 48, 48)})
        16
        >>> group_size({"pixel_values": torch.zeros(1, 3, 336, 336)})
        1
    """
    pixels = inputs.get("pixel_values")
    if len(inputs) != 1 or pixels is None or pixels.ndim != 4 or len(pixels) != 1:
        return 1
    return max(1, GROUP_NUMBERS // pixels.numel())


def in_groups(prepared: Iterable[Prepared]) -> Iterator[list[Prepared]]:
    """Cut pictures into groups of one shape, in their order; the last of a row may not be full.

    Example:
        ``for group in in_groups(prepared): stacked([inputs for _, inputs in group])``
    """
    group: list[Prepared] = []
    for image, inputs in prepared:
        if group and shapes(inputs) != shapes(group[0][1]):
            yield group
            group = []
        group.append((image, inputs))
        if len(group) == group_size(inputs):
            yield group
            group = []
    if group:
        yield group


def shapes(inputs: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Give the shape of each input."""
    return {name: tuple(value.shape) for name, value in inputs.items()}


def stacked(group: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Join what the tower is given of a group, filled up with blank pictures.

    Example:
        >>> stacked([{"pixel_values": torch.ones(1, 3, 48, 48)}])["pixel_values"].shape
        torch.Size([16, 3, 48, 48])
    """
    size = group_size(group[0])
    if size == 1:
        return dict(group[0])
    pixels = torch.cat([inputs["pixel_values"] for inputs in group])
    blank = pixels.new_zeros(size - len(pixels), *pixels.shape[1:])
    return {"pixel_values": torch.cat([pixels, blank])}


def rows_of(made: Any, images: Sequence[LazyImage], *, alone: bool) -> list[Tensor]:
    """Give the features of each picture, of what the tower has made of a group.

    Args:
        made: A tensor or several, those of blank pictures last.
        images: The pictures of the group.
        alone: Whether all of it belongs to one picture, such as a tensor for each of its tiles.

    Raises:
        InputError: Features are NaN or infinite.
    """
    if alone:
        pieces = made if isinstance(made, (list, tuple)) else [made]
        made = [torch.cat([piece.reshape(-1, piece.shape[-1]) for piece in pieces])]
    found = [rows.reshape(-1, rows.shape[-1]) for rows in made[: len(images)]]
    for image, rows in zip(images, found, strict=True):
        if not torch.isfinite(rows).all():
            raise InputError(
                f"{image.name}: the vision tower gives NaN or infinite features: load the model in "
                "bfloat16 or float32 (float16 overflows), or check its weights."
            )
    return found


__all__ = ["Prepared", "group_size", "in_groups", "rows_of", "stacked"]
