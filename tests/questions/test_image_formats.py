"""Every kind of picture comes out in one form: upright, opaque, RGB of 8 bits."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from culture_lens.errors import InputError
from culture_lens.questions.decoding import to_rgb
from tests.helpers.images import (
    BLUE,
    GREEN,
    QUARTERS,
    RED,
    WHITE,
    corners,
    lazy,
    near,
    pixels,
    saved,
)


def tag(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    return saved(corners(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else options))


# The corners as they are seen, row by row, by the definition of the EXIF orientations.
SEEN = {1: "rgby", 2: "gryb", 3: "ybgr", 4: "byrg", 5: "rbgy", 6: "bryg", 7: "ygbr", 8: "gyrb"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", SEEN)
def test_pictures_are_turned_as_exif_says(kind, orientation):
    image = lazy(tag(kind, orientation))
    opened = image.open()
    assert image.size == opened.size == ((20, 40) if orientation > 4 else (40, 20))
    width, height = opened.size
    places = [(x, y) for y in (3, height - 4) for x in (3, width - 4)]
    names = dict(zip("rgby", QUARTERS, strict=True))
    for place, name in zip(places, SEEN[orientation], strict=True):
        assert near(opened, place, names[name]), (kind, orientation, place)
    # Upright once and for all: whoever looks for the tag again does not turn it a second time.
    assert opened.getexif().get(0x0112, 1) == 1


def test_exif_behind_the_pixels_of_a_png_counts():
    data = tag("PNG", 6)
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append(data[place : place + length + 12])
        place += length + 12
    exif = [chunk for chunk in chunks if chunk[4:8] == b"eXIf"]
    rest = [chunk for chunk in chunks if chunk[4:8] != b"eXIf"]
    assert exif
    late = data[:8] + b"".join([*rest[:-1], *exif, rest[-1]])
    assert lazy(late).size == lazy(late).open().size == (20, 40)


def test_cmyk_jpeg():
    # No cyan and black, all magenta and yellow: red. All cyan alone: its opposite.
    for ink, colour in (((0, 255, 255, 0), RED), ((255, 0, 0, 0), (0, 255, 255))):
        data = saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
        with Image.open(io.BytesIO(data)) as raw:
            assert raw.mode == "CMYK"
        assert near(lazy(data).open(), (8, 8), colour)


def test_palettes_with_and_without_transparency():
    image = Image.new("P", (4, 2), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (2, 0, 4, 2))
    for kind in ("PNG", "GIF"):
        opened = lazy(saved(image, kind)).open()
        assert (opened.getpixel((0, 0)), opened.getpixel((3, 0))) == (RED, BLUE)
        opened = lazy(saved(image, kind, transparency=1)).open()
        assert (opened.getpixel((0, 0)), opened.getpixel((3, 0))) == (RED, WHITE)


def test_alpha_is_laid_over_white():
    image = Image.new("RGBA", (3, 1))
    for x, alpha in enumerate((0, 128, 255)):
        image.putpixel((x, 0), (200, 0, 100, alpha))
    opened = lazy(saved(image)).open()
    half = tuple(round((c * 128 + 255 * 127) / 255) for c in (200, 0, 100))
    assert opened.getpixel((0, 0)) == WHITE
    assert near(opened, (1, 0), half, within=1)
    assert opened.getpixel((2, 0)) == (200, 0, 100)
    grey = Image.new("LA", (2, 1), (40, 255))
    grey.putpixel((1, 0), (40, 0))
    assert pixels(lazy(saved(grey)).open()) == [(40,) * 3, WHITE]


def test_one_colour_of_rgb_or_grey_may_be_transparent():
    rgb = Image.new("RGB", (2, 1), RED)
    rgb.putpixel((1, 0), BLUE)
    assert pixels(lazy(saved(rgb, transparency=BLUE)).open()) == [RED, WHITE]
    grey = Image.new("L", (2, 1), 10)
    grey.putpixel((1, 0), 20)
    assert pixels(lazy(saved(grey, transparency=20)).open()) == [(10,) * 3, WHITE]


def test_grey_and_black_and_white():
    assert lazy(saved(Image.new("L", (2, 2), 77))).open().getpixel((1, 1)) == (77,) * 3
    bits = Image.new("1", (2, 1), 0)
    bits.putpixel((1, 0), 1)
    assert pixels(lazy(saved(bits)).open()) == [(0,) * 3, WHITE]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_keep_their_steps(kind):
    values = np.array([[0, 256, 257, 32768, 40000, 65535]], dtype=np.uint16)
    opened = lazy(saved(Image.fromarray(values), kind)).open()
    assert [pixel[0] for pixel in pixels(opened)] == [0, 1, 1, 128, 156, 255]
    assert opened.mode == "RGB"


def test_sixteen_bits_in_other_modes():
    wide = Image.new("I", (2, 1), 65535)
    assert to_rgb(wide).getpixel((0, 0)) == WHITE
    big = Image.new("I;16B", (1, 1), 257 * 9)
    assert to_rgb(big).getpixel((0, 0)) == (9, 9, 9)


@pytest.mark.parametrize("image", [Image.new("F", (2, 2), 0.5), Image.new("I", (2, 2), 70000)])
def test_samples_without_a_known_white_are_refused(image):
    with pytest.raises(InputError, match="'q7' of cvqa.*no white is known.*save it with 8 or 16"):
        lazy(image).open()
    with pytest.raises(InputError, match="no white is known"):
        lazy(saved(image, "TIFF")).open()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_used(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    image = lazy(data)
    assert image.frames == 3
    assert image.open().getpixel((4, 4)) == RED
    assert lazy(saved(frames[0], kind)).frames == 1


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1)])
def test_extreme_shapes(size):
    image = lazy(saved(Image.new("RGB", size, GREEN)))
    assert image.size == image.open().size == size
    assert image.open().getpixel((0, 0)) == GREEN
