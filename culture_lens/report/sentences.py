"""Write estimates and names in sentences, for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from culture_lens.plots.style import clear, points
from culture_lens.statistics.estimates import Estimate


def lost(estimate: Estimate) -> bool:
    """Say whether the whole interval is a loss.

    Example:
        >>> lost(Estimate(-0.1, -0.2, -0.05))
        True
    """
    return clear(estimate) and estimate.high < 0


def spoken(estimate: Estimate) -> str:
    """Write points and interval for a sentence.

    Example:
        >>> spoken(Estimate(0.1, 0.05, 0.2))
        '+10.0 points (+5.0 to +20.0)'
    """
    if math.isnan(estimate.low + estimate.high):
        return f"{points(estimate.value)} points (no interval)"
    low, high = points(estimate.low), points(estimate.high)
    return f"{points(estimate.value)} points ({low} to {high})"


def sentence(words: str, estimate: Estimate) -> str:
    """Write an estimate, and whether its interval excludes 0.

    Example:
        >>> sentence("Self:", Estimate(0.1, 0.05, 0.2))
        'Self: +10.0 points (+5.0 to +20.0); the interval excludes 0.'
    """
    if math.isnan(estimate.low + estimate.high):
        return f"{words} {points(estimate.value)} points; no interval could be made."
    held = "excludes" if clear(estimate) else "includes"
    return f"{words} {spoken(estimate)}; the interval {held} 0."


def join(names: Sequence[str]) -> str:
    """Write names as a list in a sentence.

    Example:
        >>> join(["a", "b", "c"])
        'a, b and c'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
