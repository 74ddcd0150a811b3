"""The one exception for bad input: it names the thing, the place and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave cannot be used; the message says what, where and what to do."""


class CultureLensWarning(UserWarning):
    """Something was skipped, changed or is weak evidence; the run goes on."""


def unknown(kind: str, name: object, known: Iterable[str], remedy: str = "") -> InputError:
    """Make the error for a name that is not in a table, with the nearest known names.

    Example:
        >>> str(unknown("selector", "conac", ["conact", "lape"]))
        "unknown selector 'conac': did you mean 'conact'? Known: conact, lape."
    """
    names = sorted(known)
    near = get_close_matches(str(name), names, n=1)
    guess = f": did you mean {near[0]!r}?" if near else "."
    tail = f" {remedy}" if remedy else ""
    return InputError(f"unknown {kind} {name!r}{guess} Known: {', '.join(names)}.{tail}")
