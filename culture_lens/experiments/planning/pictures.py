"""Pictures: how many tokens one becomes, and what the vision tower does for it.

=================  ==================================================================  ============
class              tokens of a picture                                                 tiles
=================  ==================================================================  ============
LLaVA-1.5          one for each patch                                                  1
LLaVA-NeXT         the whole picture's, those of the tiles that the padding leaves,    1 + the best
OneVision          and one for each of their rows; OneVision shrinks very large ones   pinpoint's
Qwen2.5-VL         one for each 2 x 2 patches, of the size it is resized to            1
Gemma 3            always ``mm_tokens_per_image``                                      1
Idefics3, SmolVLM  patches / scale^2, for each tile and for the whole picture          by its size
=================  ==================================================================  ============
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from culture_lens.errors import InputError
from culture_lens.experiments.planning.shape import ModelShape

Settings = Mapping[str, Any]
"""Settings of a checkpoint's image processor, as in its preprocessor_config.json."""
QWEN_PIXELS = (56 * 56, 28 * 28 * 16384)
"""Fewest and most pixels that Qwen2.5-VL's checkpoints resize to."""


@dataclass(frozen=True)
class PictureCount:
    """What a picture of some size is to a model.

    Attributes:
        tokens: Image tokens that the language model reads.
        patches: Patches of all tiles.
        seen: Tokens of all tiles that go through the tower: patches, and a class token each.
        pairs: Queries times keys in the tower, of all tiles and layers.
        projected: Inputs of the projector's matrices.
        marks: Tokens of text that stand between the tiles.
    """

    tokens: int
    patches: int
    seen: int
    pairs: int
    projected: int
    marks: int = 0


def picture_count(
    shape: ModelShape, width: int, height: int, settings: Settings | None = None
) -> PictureCount:
    """Count what a picture becomes.

    Args:
        shape: The model.
        width: Pixels of the picture.
        height: Likewise.
        settings: Those of the image processor, where they are not the class's own.

    Raises:
        InputError: The model reads no pictures.

    Example:
        ``picture_count(shape, 640, 480).tokens``
    """
    config, kind = shape.config, shape.config.model_type
    if shape.tower is None:
        raise InputError(f"{shape.name!r} reads text only: leave out pictures, or name a VLM.")
    if kind == "qwen2_5_vl":
        return of_grid(shape, width, height, settings or {})
    vision = config.vision_config
    side = vision.image_size // vision.patch_size
    patches, tiles, marks = side * side, 1, 0
    tokens = patches
    if kind in ("llava_next", "llava_onevision"):
        best = best_resolution(config, width, height)
        tiles += math.prod(length // vision.image_size for length in best)
        tokens += unpadded(config, width, height, best, side)
    elif kind == "gemma3":
        tokens = config.mm_tokens_per_image
    elif kind in ("idefics3", "smolvlm"):
        tiles, rows, columns = split_tiles(kind, width, height, settings or {})
        tokens = tiles * patches // config.scale_factor**2
        marks = 3 + rows * (2 * columns + 1)
    seen = patches + int(vision.model_type == "clip_vision_model")
    projected = tokens if kind in ("gemma3", "idefics3", "smolvlm") else tiles * patches
    pairs = tiles * seen * seen * shape.tower.layers
    return PictureCount(tokens, tiles * patches, tiles * seen, pairs, projected, marks)


def best_resolution(config: Any, width: int, height: int) -> tuple[int, int]:
    """Give the height and width that a picture is cut into tiles at."""
    from transformers.image_processing_utils import select_best_resolution

    found: tuple[int, int] = select_best_resolution((height, width), config.image_grid_pinpoints)
    return found


def unpadded(config: Any, width: int, height: int, best: tuple[int, int], side: int) -> int:
    """Count the features of a picture's tiles without padding, and one for each row of them."""
    size = config.vision_config.image_size
    rows, columns = (int(length // size * side) for length in best)
    if width / height > columns / rows:
        rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
    most = str(getattr(config, "vision_aspect_ratio", "") or "").rpartition("_")[2]
    if config.model_type == "llava_onevision" and most.isdigit():
        ratio = math.sqrt(rows * columns / (int(most) * side**2))
        if ratio > 1.1:
            rows, columns = int(rows // ratio), int(columns // ratio)
    return rows * columns + rows


def split_tiles(kind: str, width: int, height: int, settings: Settings) -> tuple[int, int, int]:
    """Give the tiles of Idefics3 and SmolVLM, the whole picture among them, their rows, columns."""
    import transformers

    name = {"idefics3": "Idefics3", "smolvlm": "SmolVLM"}[kind]
    own = {key: settings[key] for key in ("size", "max_image_size") if key in settings}
    processor = getattr(transformers, f"{name}ImageProcessorPil")(**own)
    tiles, rows, columns = processor.get_number_of_image_patches(height, width, {})
    return int(tiles), int(rows), int(columns)


def of_grid(shape: ModelShape, width: int, height: int, settings: Settings) -> PictureCount:
    """Count a picture that is resized to a grid of patches, with attention in windows."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    vision = shape.config.vision_config
    merge, patch = vision.spatial_merge_size, vision.patch_size
    size = settings.get("size") or {}
    least = settings.get("min_pixels") or size.get("shortest_edge") or QWEN_PIXELS[0]
    most = settings.get("max_pixels") or size.get("longest_edge") or QWEN_PIXELS[1]
    tall, wide = smart_resize(height, width, patch * merge, least, most)
    rows, columns = tall // patch, wide // patch
    patches = rows * columns
    window = vision.window_size // patch
    inside = square_sums(rows, window) * square_sums(columns, window)
    whole = len(vision.fullatt_block_indexes)
    pairs = whole * patches**2 + (vision.depth - whole) * inside
    merged = patches // merge**2
    return PictureCount(merged, patches, patches, pairs, merged)


def square_sums(length: int, window: int) -> int:
    """Cut a length into windows and add up their squares.

    Example:
        >>> square_sums(10, 4)
        36
    """
    return length // window * window**2 + (length % window) ** 2


__all__ = ["PictureCount", "picture_count"]
