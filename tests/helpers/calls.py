"""Calls that many tests make alike, made once."""

from collections.abc import Callable
from functools import wraps
from typing import Any

PLAIN = (str, int, float, bool, type(None))


def made_once(function: Callable) -> Callable:
    """Give the first result of a call again where the same call is made again.

    Arguments other than plain values are the same only if they are the same object. A call with a
    run folder is always made: what it finds there is what it shows.
    """
    kept: dict[tuple, tuple] = {}

    def told(value: Any) -> Any:
        return (type(value), value) if isinstance(value, PLAIN) else id(value)

    @wraps(function)
    def call(*given: Any, **options: Any) -> Any:
        if "run" in options:
            return function(*given, **options)
        key = (*map(told, given), *((name, told(options[name])) for name in sorted(options)))
        if key not in kept:  # with the arguments, so that no other object gets their id
            kept[key] = function(*given, **options), given, options
        return kept[key][0]

    return call
