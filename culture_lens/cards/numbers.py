"""Numbers in the words of a card: with intervals, signs and a proper minus."""

from __future__ import annotations

import math
from collections.abc import Callable

from culture_lens.statistics.estimates import Estimate

MINUS, DASH = "\u2212", "\u2013"


def number(value: float) -> str:
    """Write a number with three decimals; a large one shorter.

    Example:
        >>> number(0.12345), number(float("-inf")), number(float("nan"))
        ('0.123', '−∞', '–')
    """
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"
    return text.replace("-", MINUS)


def plus(value: float) -> str:
    """Write a number with its sign.

    Example:
        >>> plus(0.5), plus(-0.5)
        ('+0.500', '−0.500')
    """
    return f"+{number(value)}" if value > 0 else number(value)


def signed(estimate: Estimate | None) -> str:
    """Write an estimate and its interval with signs; a dash where there is none.

    Example:
        >>> signed(Estimate(0.5, 0.4, 0.6)), signed(None)
        ('+0.500 [+0.400, +0.600]', '–')
    """
    return DASH if estimate is None else between(plus, estimate)


def share(estimate: Estimate) -> str:
    """Write a share and its interval in per cent.

    Example:
        >>> share(Estimate(0.5, 0.4, 0.6))
        '50.0% [40.0%, 60.0%]'
    """
    return between(percent, estimate)


def percent(value: float) -> str:
    """Write a share in per cent.

    Example:
        >>> percent(0.123)
        '12.3%'
    """
    return DASH if math.isnan(value) else f"{100 * value:.1f}%"


def between(write: Callable[[float], str], estimate: Estimate) -> str:
    """Write an estimate by a function of numbers, without an interval where it has none."""
    if math.isnan(estimate.low + estimate.high):
        return write(estimate.value)
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"
