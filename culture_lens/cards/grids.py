"""Where a picture's tokens lie in the picture, for heat maps over patches.

=============================  =================================================================
class                          the picture's tokens, in order
=============================  =================================================================
LLaVA, Gemma 3                 one square of patches; LLaVA's of the middle of the picture
LLaVA-NeXT, LLaVA-OneVision    a square of the whole picture, then rows of its tiles, put
                               together without padding, each row ended by a token of its own
Qwen2.5-VL                     one grid of the picture's own shape
Idefics 3, SmolVLM             a square for each tile, between marks, the whole picture last
=============================  =================================================================
"""

from __future__ import annotations

import io
import math
import re
from itertools import groupby
from typing import Any

import numpy as np
from jaxtyping import Float

from culture_lens.cards.shown_item import Grid
from culture_lens.models.lens_model import LensModel
from culture_lens.models.vision import VisionTower
from culture_lens.prompts.prompt import Prompt, Role

WHOLE, TILES = "whole picture", "tiles"
MARK = re.compile(r"<row_(\d+)_col_(\d+)>")
THUMBNAIL = 224
"""Pixels of the longer side of the picture on a card."""
Values = Float[np.ndarray, " token"]


def grids_of(
    model: LensModel, prompt: Prompt, values: Float[np.ndarray, " pos"]
) -> tuple[Grid, ...]:
    """Lay the activations of a prompt's image tokens out over the picture.

    Returns:
        The grids; none without a picture, or where the layout of the model's class is not known.

    Example:
        ``grids_of(model, prompt, item.values[0])[0].values.shape``
    """
    image = np.array(prompt.roles) == Role.IMAGE
    if not image.any() or not isinstance(model.vision, VisionTower):
        return ()
    tower, config = model.vision, model.vision.hf_model.config
    kind = config.model_type
    picture, held = prompt.question.image, values[image]
    if kind == "qwen2_5_vl":
        return over_grid(tower, picture.key, held)
    if kind in ("llava_next", "llava_onevision"):
        return over_tiles(held, side_of(config), tile_shape(config, picture.size))
    if kind in ("idefics3", "smolvlm"):
        runs = [len(list(run)) for own, run in groupby(image) if own]
        return over_marked_tiles(held, runs, prompt.text)
    return over_square(held, box_of(tower, picture.size))


def over_square(values: Values, box: tuple[float, float, float, float]) -> tuple[Grid, ...]:
    """Lay tokens out as one square."""
    side = math.isqrt(len(values))
    return (Grid(WHOLE, values.reshape(side, side), box),) if side**2 == len(values) else ()


def box_of(tower: VisionTower, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Say which part of a picture the tower sees: the middle square where it is cropped."""
    processor = tower.processor.hf_processor.image_processor
    edge = dict(getattr(processor, "size", None) or {}).get("shortest_edge")
    if not getattr(processor, "do_center_crop", False) or edge is None:
        return (0.0, 0.0, 1.0, 1.0)
    width, height = size
    across, down = min(1.0, height / width) / 2, min(1.0, width / height) / 2
    return (0.5 - across, 0.5 - down, 0.5 + across, 0.5 + down)


def over_grid(tower: VisionTower, key: str, values: Values) -> tuple[Grid, ...]:
    """Lay tokens out in the grid that the processor made of this picture."""
    merge = tower.hf_model.config.vision_config.spatial_merge_size
    _, height, width = tower.kept.grids[key].flatten().tolist()
    shape = (height // merge, width // merge)
    return (Grid(WHOLE, values.reshape(shape)),) if np.prod(shape) == len(values) else ()


def side_of(config: Any) -> int:
    """Count the patches of a side of a tile."""
    return int(config.vision_config.image_size // config.vision_config.patch_size)


def over_tiles(values: Values, side: int, shape: tuple[int, int]) -> tuple[Grid, ...]:
    """Lay tokens out as a square of the whole picture, and the rows of its tiles.

    Args:
        values: One per image token.
        side: Patches of a side of a tile.
        shape: Rows and columns of patches of the tiles together.
    """
    whole, rest = values[: side**2], values[side**2 :]
    grids, (rows, columns) = over_square(whole, (0.0, 0.0, 1.0, 1.0)), shape
    if len(rest) != rows * (columns + 1):
        return grids if len(rest) < 2 else ()
    return (*grids, Grid(TILES, rest.reshape(rows, columns + 1)[:, :columns]))


def tile_shape(config: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Count rows and columns of patches of a picture's tiles, without their padding.

    1. The resolution that fits the picture best says how many tiles there are.
    2. The padding on the picture's shorter side is cut off, as much on either end.
    3. LLaVA-OneVision shrinks what is left where it is too much.
    """
    from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape

    (width, height), side = size, side_of(config)
    tiles = get_anyres_image_grid_shape(
        (height, width), config.image_grid_pinpoints, config.vision_config.image_size
    )
    rows, columns = tiles[0] * side, tiles[1] * side
    if width / height > columns / rows:
        rows -= 2 * ((rows - int(round(height * (columns / width), 7))) // 2)
    else:
        columns -= 2 * ((columns - int(round(width * (rows / height), 7))) // 2)
    most = getattr(config, "vision_aspect_ratio", "").removeprefix("anyres_max_")
    ratio = math.sqrt(rows * columns / (int(most) * side**2)) if most.isdecimal() else 0.0
    return (int(rows // ratio), int(columns // ratio)) if ratio > 1.1 else (rows, columns)


def over_marked_tiles(values: Values, runs: list[int], text: str) -> tuple[Grid, ...]:
    """Lay tokens out tile by tile; the last square is of the whole picture."""
    side = math.isqrt(runs[0])
    if any(run != side**2 for run in runs):
        return ()
    squares = values.reshape(-1, side, side)
    whole = Grid(WHOLE, squares[-1])
    marks = [(int(row), int(column)) for row, column in MARK.findall(text)]
    if not marks:
        return (whole,) if len(squares) == 1 else ()
    rows, columns = max(marks)
    if rows * columns != len(squares) - 1:
        return ()
    tiles = squares[:-1].reshape(rows, columns, side, side).transpose(0, 2, 1, 3)
    return (whole, Grid(TILES, tiles.reshape(rows * side, columns * side)))


def thumbnail(image: Any) -> bytes:
    """Give a small copy of a picture as JPEG."""
    picture = image.open().convert("RGB")
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=80)
    return file.getvalue()


__all__ = ["grids_of", "thumbnail"]
