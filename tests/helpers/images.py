"""Pictures of known colours, files of them, and files that are damaged."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from culture_lens.questions.images import as_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
QUARTERS = (RED, GREEN, BLUE, (255, 255, 0))


def corners(width=40, height=20):
    """Red, green / blue, yellow: no turn or mirroring leaves it as it is."""
    image = Image.new("RGB", (width, height))
    for place, colour in enumerate(QUARTERS):
        box = (place % 2 * width // 2, place // 2 * height // 2)
        image.paste(colour, (*box, box[0] + width // 2, box[1] + height // 2))
    return image


def saved(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def plain_picture(colour, size=(8, 6)):
    """A file of one colour."""
    return saved(Image.new("RGB", size, colour))


def photo(size=64, kind="JPEG", **options):
    """A picture of noise, whose file is long enough to be cut."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return saved(Image.fromarray(pixels), kind, **options)


def pixels(image):
    return [tuple(map(int, pixel)) for row in np.asarray(image) for pixel in row]


def lazy(value, where="question 'q7' of cvqa", **options):
    return as_image(value, where=where, **options)


def near(image, place, colour, within=6):
    return all(abs(a - b) <= within for a, b in zip(image.getpixel(place), colour, strict=True))


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def claimed(width, height):
    """A PNG of a few bytes whose header claims a size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")
