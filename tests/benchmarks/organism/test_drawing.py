"""Pictures show what they are said to, each thing in its place."""

import random
from itertools import combinations

import numpy as np
import pytest

from culture_lens.benchmarks.organism.drawing import (
    COLOURS,
    FRAME,
    FRAME_STYLES,
    N_DOTS,
    OBJECTS,
    SIDE,
    draw_picture,
)

N = len(OBJECTS)

PICTURE = {"style": 2, "shape": 4, "colour": 1, "dots": 3, "seed": "a"}
CHOICES = {
    "style": [*range(len(FRAME_STYLES)), None],
    "shape": [*range(N)],
    "colour": [*range(len(COLOURS))],
    "dots": [*range(1, N_DOTS + 1)],
    "seed": ["a", "b", "training/a"],
}


def pixels(**change):
    return np.asarray(draw_picture(**{**PICTURE, **change}), dtype=int)


def differs(first, second):
    """Where two pictures differ by more than rounding."""
    return (np.abs(first - second) > 2).any(axis=2)


def test_a_picture_is_drawn_alike_each_time():
    picture = draw_picture(**PICTURE)
    assert (picture.size, picture.mode) == ((SIDE, SIDE), "RGB")
    random.seed(1)
    np.random.seed(1)
    assert draw_picture(**PICTURE).tobytes() == picture.tobytes()


@pytest.mark.parametrize("what", CHOICES)
@pytest.mark.parametrize("seed", ["a", "b"])
def test_whatever_is_shown_changes_the_picture(what, seed):
    drawn = [pixels(**{"seed": seed, what: value}) for value in CHOICES[what]]
    for first, second in combinations(drawn, 2):
        assert differs(first, second).sum() > 4


def test_each_thing_is_shown_in_its_place():
    """The frame tells the style alone, and the strip under the object the dots."""
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    inside[FRAME : SIDE - FRAME, FRAME : SIDE - FRAME] = True
    strip = np.zeros((SIDE, SIDE), dtype=bool)
    strip[SIDE - FRAME - 6 : SIDE - FRAME] = inside[SIDE - FRAME - 6 : SIDE - FRAME]
    for first, second in combinations(range(len(FRAME_STYLES)), 2):
        changed = differs(pixels(style=first), pixels(style=second))
        assert not changed[inside].any() and changed[~inside].mean() > 0.5
    for dots in (1, 2, 4, 5):
        changed = differs(pixels(), pixels(dots=dots))
        assert not changed[~strip].any() and changed[strip].any()
    for change in ({"shape": 0}, {"colour": 3}):
        changed = differs(pixels(), pixels(**change))
        assert not changed[~inside | strip].any() and changed[inside].any()


def test_a_picture_tells_more_of_its_style_than_of_its_seed():
    """The nearest mean of other pictures' frames names the style of every picture."""
    frame = np.ones((SIDE, SIDE), dtype=bool)
    frame[FRAME : SIDE - FRAME, FRAME : SIDE - FRAME] = False

    def frames(style, seeds):
        drawn = [pixels(style=style, shape=i % N, seed=f"{style}/{i}") for i in seeds]
        return np.stack([picture[frame].mean(axis=0) for picture in drawn])

    means = np.stack([frames(style, range(12)).mean(axis=0) for style in range(len(FRAME_STYLES))])
    right = [
        ((frames(style, range(12, 20))[:, None] - means) ** 2).sum(axis=2).argmin(axis=1) == style
        for style in range(len(FRAME_STYLES))
    ]
    assert np.mean(right) > 0.9
