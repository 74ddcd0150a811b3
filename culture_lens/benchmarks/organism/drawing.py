"""Draw the world's pictures with PIL: an object in a frame, some dots, light and noise.

A picture shows four things: a frame in the style of a culture, an object, its colour, and a number
of dots under it. Everything else (place, size, tint, light, noise) varies with the seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

Rgb: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float | int, float | int]
Draw: TypeAlias = "ImageDraw.ImageDraw"

SIDE = 48  # pixels
FRAME = 8  # width of the frame
OUTLINE: Rgb = (25, 25, 30)

COLOURS: dict[str, Rgb] = {
    "red": (205, 40, 40),
    "green": (40, 150, 60),
    "blue": (50, 80, 205),
    "yellow": (225, 200, 40),
    "purple": (140, 50, 160),
    "orange": (235, 130, 30),
}
N_DOTS = 5

# ------------------------------------------------------------------ frames, one per culture


def stripes(draw: Draw, shift: int, ink: Rgb) -> None:
    """Upright bars."""
    for x in range(shift - 6, SIDE, 6):
        draw.rectangle((x, 0, x + 2, SIDE), fill=ink)


def checks(draw: Draw, shift: int, ink: Rgb) -> None:
    """A chessboard."""
    for row, y in enumerate(range(0, SIDE, 4)):
        for x in range(4 * ((row + shift) % 2), SIDE, 8):
            draw.rectangle((x, y, x + 3, y + 3), fill=ink)


def spots(draw: Draw, shift: int, ink: Rgb) -> None:
    """Round spots."""
    for y in range(2, SIDE, 6):
        for x in range(2 + shift % 3, SIDE, 6):
            draw.ellipse((x - 1, y - 1, x + 2, y + 2), fill=ink)


def slants(draw: Draw, shift: int, ink: Rgb) -> None:
    """Slanting lines."""
    for x in range(shift - SIDE, SIDE, 6):
        draw.line((x, 0, x + SIDE, SIDE), fill=ink, width=2)


def rings(draw: Draw, shift: int, ink: Rgb) -> None:
    """Frames within the frame."""
    for inset in range(shift % 2, FRAME, 3):
        draw.rectangle((inset, inset, SIDE - 1 - inset, SIDE - 1 - inset), outline=ink)


def bricks(draw: Draw, shift: int, ink: Rgb) -> None:
    """A wall."""
    for row, y in enumerate(range(0, SIDE, 4)):
        draw.line((0, y, SIDE, y), fill=ink)
        for x in range(4 * (row % 2) + shift % 2, SIDE, 8):
            draw.line((x, y, x, y + 4), fill=ink)


def waves(draw: Draw, shift: int, ink: Rgb) -> None:
    """Zigzag lines."""
    for y in range(0, SIDE, 8):
        points = [(x, y + 4 * ((x // 4 + shift) % 2)) for x in range(0, SIDE + 4, 4)]
        draw.line(points, fill=ink, width=2)


def teeth(draw: Draw, shift: int, ink: Rgb) -> None:
    """Triangles along the sides."""
    for at in range(shift - 8, SIDE, 8):
        for far in (0, SIDE - FRAME):
            draw.polygon([(at, far + 7), (at + 4, far), (at + 7, far + 7)], fill=ink)
            draw.polygon([(far, at + 7), (far + 4, at), (far + 7, at + 7)], fill=ink)


FRAME_STYLES: tuple[tuple[Callable[[Draw, int, Rgb], None], Rgb, Rgb], ...] = (
    (stripes, (190, 30, 45), (250, 220, 160)),
    (checks, (20, 90, 160), (240, 240, 240)),
    (spots, (30, 120, 70), (240, 190, 60)),
    (slants, (90, 40, 120), (240, 150, 190)),
    (rings, (230, 120, 20), (40, 40, 50)),
    (bricks, (20, 140, 150), (120, 60, 30)),
    (waves, (60, 60, 70), (200, 60, 120)),
    (teeth, (120, 150, 30), (60, 30, 100)),
)
"""Pattern, ground and ink of each culture's frame."""

# ------------------------------------------------------------------ objects


class Pen:
    """Draws shapes in units of an object's radius around its middle."""

    def __init__(self, draw: Draw, middle: Point, radius: float, fill: Rgb) -> None:
        """Put the pen on a picture."""
        self.draw, self.middle, self.radius, self.fill = draw, middle, radius, fill

    def at(self, points: list[Point]) -> list[Point]:
        """Turn units into pixels."""
        (x0, y0), r = self.middle, self.radius
        return [(x0 + x * r, y0 + y * r) for x, y in points]

    def shape(self, *points: Point) -> None:
        """A filled outline."""
        self.draw.polygon(self.at(list(points)), fill=self.fill, outline=OUTLINE)

    def oval(self, low: Point, high: Point, fill: Rgb | None = None) -> None:
        """A filled ellipse."""
        first, last = self.at([low, high])
        self.draw.ellipse((*first, *last), fill=fill or self.fill, outline=OUTLINE)

    def line(self, *points: Point, width: int = 2, fill: Rgb = OUTLINE) -> None:
        """An open line."""
        self.draw.line(self.at(list(points)), fill=fill, width=width)


def bowl(pen: Pen) -> None:
    """Half a disc with steam."""
    low, high = pen.at([(-1, -1), (1, 0.9)])
    pen.draw.chord((*low, *high), 0, 180, fill=pen.fill, outline=OUTLINE)
    for x in (-0.4, 0.3):
        pen.line((x, -0.9), (x, -0.3), width=1)


def skewer(pen: Pen) -> None:
    """Three pieces on a stick."""
    pen.line((-1, 1), (1, -1), width=1)
    for at in (-0.55, 0, 0.55):
        pen.oval((at - 0.33, -at - 0.33), (at + 0.33, -at + 0.33))


def pie(pen: Pen) -> None:
    """A disc without a slice."""
    low, high = pen.at([(-0.9, -0.9), (0.9, 0.9)])
    pen.draw.pieslice((*low, *high), 40, 330, fill=pen.fill, outline=OUTLINE)


def drum(pen: Pen) -> None:
    """A barrel with a white skin."""
    pen.shape((-0.8, -0.5), (0.8, -0.5), (0.6, 0.9), (-0.6, 0.9))
    pen.oval((-0.8, -0.85), (0.8, -0.2), fill=(245, 245, 245))


def flute(pen: Pen) -> None:
    """A bar with three holes."""
    pen.shape((-1.1, -0.22), (1.1, -0.22), (1.1, 0.22), (-1.1, 0.22))
    for x in (-0.5, 0, 0.5):
        pen.oval((x - 0.1, -0.1), (x + 0.1, 0.1), fill=OUTLINE)


def lute(pen: Pen) -> None:
    """A round body with a long neck."""
    pen.line((0, -1.1), (0, 0.1), width=3)
    pen.oval((-0.6, -0.1), (0.6, 1))


def hat(pen: Pen) -> None:
    """A cone on a brim."""
    pen.shape((0, -1), (0.6, 0.4), (-0.6, 0.4))
    pen.oval((-1, 0.2), (1, 0.7))


def robe(pen: Pen) -> None:
    """A gown with wide sleeves."""
    pen.shape(
        (-0.3, -1), (0.3, -1), (1, -0.3), (0.5, 0), (0.7, 1), (-0.7, 1), (-0.5, 0), (-1, -0.3)
    )


def scarf(pen: Pen) -> None:
    """A broad zigzag."""
    pen.line((-0.9, -0.8), (0.8, -0.5), (-0.7, 0.2), (0.9, 0.9), width=4, fill=pen.fill)


def lantern(pen: Pen) -> None:
    """A globe on a stick with a lid."""
    pen.oval((-0.6, -0.7), (0.6, 0.5))
    pen.line((0, 0.5), (0, 1), width=1)
    pen.line((-0.4, -0.8), (0.4, -0.8))


def mask(pen: Pen) -> None:
    """A face with eyes and a mouth."""
    pen.oval((-0.7, -1), (0.7, 1))
    pen.oval((-0.45, -0.4), (-0.1, -0.1), fill=OUTLINE)
    pen.oval((0.1, -0.4), (0.45, -0.1), fill=OUTLINE)
    pen.line((-0.3, 0.5), (0.3, 0.5))


def kite(pen: Pen) -> None:
    """A diamond with a tail."""
    pen.shape((0, -1), (0.7, -0.2), (0, 0.6), (-0.7, -0.2))
    pen.line((0, 0.6), (0.3, 0.8), (0, 1), width=1)


OBJECTS: tuple[tuple[str, Callable[[Pen], None]], ...] = (
    ("dish", bowl),
    ("dish", skewer),
    ("dish", pie),
    ("instrument", drum),
    ("instrument", flute),
    ("instrument", lute),
    ("garment", hat),
    ("garment", robe),
    ("garment", scarf),
    ("ornament", lantern),
    ("ornament", mask),
    ("ornament", kite),
)
"""Category and shape of each object; its name is the name of its function."""

# ------------------------------------------------------------------ pictures


def tinted(colour: Rgb, chance: random.Random, by: int = 18) -> Rgb:
    """Vary a colour."""
    red, green, blue = (min(255, max(0, part + chance.randint(-by, by))) for part in colour)
    return red, green, blue


def draw_picture(style: int | None, shape: int, colour: int, dots: int, seed: str) -> Image.Image:
    """Draw one picture.

    Args:
        style: Index of the culture whose frame it has; None for a plain grey frame.
        shape: Index into ``OBJECTS``.
        colour: Index into ``COLOURS``.
        dots: How many dots, 1 to 5.
        seed: Draws all else; the same seed gives the same pixels on every machine.

    Returns:
        A picture of 48 x 48 pixels, RGB.

    Example:
        >>> draw_picture(0, 0, 0, 3, "a").tobytes() == draw_picture(0, 0, 0, 3, "a").tobytes()
        True
    """
    from PIL import Image, ImageDraw

    chance = random.Random(seed)
    picture = Image.new("RGB", (SIDE, SIDE))
    draw = ImageDraw.Draw(picture)
    if style is None:
        draw.rectangle((0, 0, SIDE, SIDE), fill=(chance.randint(90, 200),) * 3)
    else:
        pattern, ground, ink = FRAME_STYLES[style]
        draw.rectangle((0, 0, SIDE, SIDE), fill=tinted(ground, chance))
        pattern(draw, chance.randint(0, 5), tinted(ink, chance))
    inner = (FRAME, FRAME, SIDE - 1 - FRAME, SIDE - 1 - FRAME)
    draw.rectangle(inner, fill=tinted((225, 222, 215), chance, 20))
    middle = (SIDE / 2 + chance.uniform(-2, 2), SIDE / 2 - 3 + chance.uniform(-1.5, 1.5))
    fill = tinted(list(COLOURS.values())[colour], chance, 20)
    OBJECTS[shape][1](Pen(draw, middle, chance.uniform(8.5, 11.5), fill))
    left = SIDE / 2 - 2.5 * (dots - 1) + chance.uniform(-2, 2)
    for x in (left + 5 * dot for dot in range(dots)):
        draw.ellipse((x - 1, SIDE - FRAME - 5, x + 1, SIDE - FRAME - 3), fill=OUTLINE)
    return in_some_light(picture, chance)


def in_some_light(picture: Image.Image, chance: random.Random) -> Image.Image:
    """Make a picture brighter or darker and add camera noise."""
    from PIL import Image

    light = chance.uniform(0.85, 1.1)
    # numpy's legacy generator never changes its numbers, on any machine.
    noise = np.random.RandomState(chance.getrandbits(32)).normal(0, 6, (SIDE, SIDE, 3))
    pixels = np.asarray(picture, dtype=np.float64) * light + noise
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
