"""The one exception for bad input, which names the thing, the place and the remedy; warnings."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

PACKAGE = os.path.dirname(__file__) + os.sep


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do."""


class CultureLensWarning(UserWarning):
    """Something was skipped, changed or is weak evidence; the run goes on."""


def warn(message: str) -> None:
    """Warn with a ``CultureLensWarning`` that names the caller's line, outside this package.

    Example:
        ``warn("blend: dropped 2 of 1600 rows: 2 whose options collide.")``
    """
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, CultureLensWarning, stacklevel=level)


def unknown(kind: str, name: object, known: Iterable[str], remedy: str = "") -> InputError:
    """Make the error for a name that is not in a table, with the nearest known name.

    Args:
        kind: What the name is of, such as ``"selector"``.
        name: The unknown name.
        known: All known names.
        remedy: A sentence to end with.

    Example:
        >>> str(unknown("selector", "conac", ["conact", "lape"]))
        "unknown selector 'conac': did you mean 'conact'? Known: conact, lape."
    """
    names = sorted(known)
    near = get_close_matches(str(name), names, n=1)
    guess = f": did you mean {near[0]!r}?" if near else "."
    tail = f" {remedy}" if remedy else ""
    return InputError(f"unknown {kind} {str(name)[:80]!r}{guess} Known: {listed(names)}.{tail}")


def listed(names: Iterable[str], most: int = 60) -> str:
    """Join names for a message; of very many the first ones.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b, ...'
    """
    held = list(islice(names, most + 1))
    return ", ".join(held[:most] + ["..."] * (len(held) > most))
