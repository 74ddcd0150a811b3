"""Every image mode as RGB of 8 bits; truncated files raise an error."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

STRICT = threading.RLock()


def is_pil(value: object) -> bool:
    """Whether something is a PIL image, without importing PIL."""
    # Where there is one, PIL has been imported.
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB of 8 bits, its transparency laid over white.

    Raises:
        ValueError: Samples whose white is not known: 32-bit integers or floating-point numbers.

    Example:
        ``to_rgb(Image.new("LA", (2, 2))).getpixel((0, 0))`` is white.
    """
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        image = eight_bits(image)
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), over)
    return image.convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; PIL's own conversion cut it off at 255 for many years."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise ValueError("no white is known for 32-bit samples: save it with 8 or 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


@contextmanager
def strict_decoding() -> Iterator[None]:
    """Let truncated files raise an error, even where another library has told PIL to accept them.

    PIL has one switch for this in the whole program. Where it is on, it is turned off for the
    time of the block, under a lock so that threads do not turn it on for each other.
    """
    from PIL import ImageFile

    with STRICT:
        if ImageFile.LOAD_TRUNCATED_IMAGES:
            ImageFile.LOAD_TRUNCATED_IMAGES = False
            try:
                yield
            finally:
                ImageFile.LOAD_TRUNCATED_IMAGES = True
            return
    yield
