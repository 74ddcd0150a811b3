"""A shown item's picture, and heat maps of its patches on it, for the template."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from jaxtyping import Float

from culture_lens.cards.numbers import number
from culture_lens.cards.shown_item import Grid, ShownItem

POSITIVE, NEGATIVE = (230, 97, 1), (94, 60, 153)
"""The ends of ColorBrewer's PuOr, which every kind of colour blindness tells apart."""
MOST_OPAQUE = 215
SIDE, GAP = 168, 10
"""Pixels of the longer side of a picture in a card, and between two."""


def drawn_picture(item: ShownItem, scale: float, key: str) -> dict[str, Any]:
    """Give sizes, data URIs and places of an item's picture and of its heat maps.

    Args:
        item: The item.
        scale: The activation at the end of the colour scale.
        key: An id for the picture.
    """
    from PIL import Image

    if not item.picture:
        return {"jpeg": "", "maps": []}
    width, height = Image.open(io.BytesIO(item.picture)).size
    factor = SIDE / max(width, height)
    wide, high = round(width * factor), round(height * factor)
    maps = [
        placed(grid, scale, (wide, high), (number_of + 1) * (wide + GAP))
        for number_of, grid in enumerate(item.grids)
    ]
    peaks = [f"{m['name']}: {m['range']}" for m in maps]
    return {
        "jpeg": data_uri(item.picture, "jpeg"),
        "maps": maps,
        "key": key,
        "wide": wide,
        "height": high,
        "width": wide + len(maps) * (wide + GAP),
        "alt": f", and activations on its patches: {'; '.join(peaks)}" if peaks else "",
    }


def placed(grid: Grid, scale: float, size: tuple[int, int], x: int) -> dict[str, Any]:
    """Place a heat map on its copy of the picture."""
    (wide, high), (left, top, right, bottom) = size, grid.box
    rows, columns = grid.values.shape
    return {
        "name": grid.name,
        "shape": f"{rows} × {columns}",
        "range": f"from {number(float(grid.values.min()))} to {number(float(grid.values.max()))}",
        "png": data_uri(heat_map(grid.values, scale), "png"),
        "x": x,
        "left": round(left * wide, 2),
        "top": round(top * high, 2),
        "wide": round((right - left) * wide, 2),
        "high": round((bottom - top) * high, 2),
    }


def heat_map(values: Float[np.ndarray, "row column"], scale: float) -> bytes:
    """Draw one pixel per patch, its colour the sign and its opacity the size of the activation."""
    from PIL import Image

    size = np.abs(values) / scale if scale else np.zeros_like(values)
    pixels = np.empty((*values.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(values[..., None] > 0, POSITIVE, NEGATIVE)
    pixels[..., 3] = np.round(MOST_OPAQUE * size.clip(0, 1))
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, format="PNG", optimize=True)
    return file.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Write a picture into an address of its own."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


__all__ = ["drawn_picture"]
