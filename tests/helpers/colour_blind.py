"""How colours look to people who do not see red or green, and how far apart they are then."""

import numpy as np

SEVERE = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
"""Machado, Oliveira and Fernandes 2009, table for severity 1.0, on linear RGB."""
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colours):
    """sRGB between 0 and 1 to linear RGB."""
    colours = np.asarray(colours, float)
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def encoded(colours):
    """Linear RGB to sRGB between 0 and 1."""
    colours = np.clip(colours, 0, 1)
    return np.where(colours <= 0.0031308, 12.92 * colours, 1.055 * colours ** (1 / 2.4) - 0.055)


def simulated(colours, kind):
    """What somebody with this colour blindness sees, as sRGB; ``colours`` is ``... 3``."""
    return encoded(linear(colours) @ np.array(SEVERE[kind]).T)


def from_hex(text):
    return np.array([int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def lab(colours):
    """sRGB to CIELAB under D65."""
    xyz = linear(colours) @ TO_XYZ.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def apart(one, other, kind=None):
    """The distance of two hex colours in CIELAB (about 2 is just seen), for everybody or a kind."""
    pair = np.stack([from_hex(one), from_hex(other)])
    first, second = lab(pair if kind is None else simulated(pair, kind))
    return float(np.linalg.norm(first - second))
