"""Checks of arguments where they enter: the type first, so that no nonsense gets further.

A check is called with an argument's name and its value. It gives back the value to go on with, or
raises an ``InputError`` that names the argument. ``check_arguments`` puts checks on a function,
``check_fields`` applies them to the fields of a record. Checks of one type of the package stand
with that type, such as ``QUESTIONS`` beside ``Question``.

    @check_arguments(questions=QUESTIONS, share=real, k=optional(whole(1)))

True and False are no numbers, and numpy's numbers are numbers.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from culture_lens.errors import InputError, listed

Check = Callable[[str, Any], Any]
P = ParamSpec("P")
R = TypeVar("R")
LONGEST = 60
"""Characters of a value that a message shows."""


def check_arguments(**checks: Check) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Check the arguments that a function is called with; defaults are not checked.

    Example:
        >>> @check_arguments(k=whole(1))
        ... def top(k: int) -> int:
        ...     return k
        >>> top(3)
        3
    """

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            for name, check in checks.items():
                if name in given.arguments:
                    given.arguments[name] = check(name, given.arguments[name])
            return function(*given.args, **given.kwargs)

        return run

    return wrap


def check_fields(record: Any, place: str = "", /, **checks: Check) -> None:
    """Check fields of a frozen record, for its ``__post_init__``.

    Args:
        record: The record.
        place: What its messages begin with, such as ``"question '7': "``.
        **checks: The check of each field.
    """
    for name, check in checks.items():
        value = check(f"{place}{name}", getattr(record, name))
        object.__setattr__(record, name, value)


def said(value: object) -> str:
    """Write a value for a message: short ones as they are, others by their type.

    Example:
        >>> said(2.5), said([1, 2])
        ('2.5', 'a list')
    """
    if value is None or isinstance(value, (bool, str, bytes, Real)):
        text = repr(value)
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return a_or_an(type(value).__name__)


def a_or_an(noun: str) -> str:
    """Put the article before a noun."""
    return f"an {noun}" if noun[0] in "AEIOaeio" else f"a {noun}"


def refused(name: str, value: object, remedy: str) -> InputError:
    """Make the error for a value that an argument cannot have."""
    return InputError(f"{name}={said(value)}: give {remedy}.")


@cache
def whole(least: int | None = None, most: int | None = None) -> Check:
    """Check for a whole number in a range.

    Example:
        >>> whole(1)("k", 3)
        3
    """
    bounds = "" if least is None else f" of {least} or more"
    bounds = bounds if most is None else f" from {least} to {most}"

    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise refused(name, value, f"a whole number{bounds}")
        number = int(value)
        if (least is not None and number < least) or (most is not None and number > most):
            raise refused(name, value, f"a whole number{bounds}")
        return number

    return check


def real(name: str, value: Any) -> Any:
    """Check for a number of any size, for where a range is checked next.

    Example:
        >>> real("share", 0.5)
        0.5
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise refused(name, value, "a number")
    return int(value) if isinstance(value, Integral) else float(value)


def finite(name: str, value: Any) -> Any:
    """Check for a finite number.

    Example:
        >>> finite("alpha", -1)
        -1
    """
    if not math.isfinite(real(name, value)):
        raise refused(name, value, "a finite number")
    return real(name, value)


SEED = whole(0)
"""A seed: a whole number, not negative."""


def flag(name: str, value: Any) -> bool:
    """Check for True or False.

    Example:
        >>> flag("progress", False)
        False
    """
    # numpy's truth values name themselves bool or bool_, by version.
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise refused(name, value, "True or False")
    return bool(value)


def text(name: str, value: Any) -> str:
    """Check for a string of at least one character that is no space, which UTF-8 can write.

    Example:
        >>> text("method", "conact")
        'conact'
    """
    if not isinstance(value, str) or not value.strip():
        raise refused(name, value, "a string that is not blank")
    return any_text(name, value)


def any_text(name: str, value: Any) -> str:
    """Check for a string, which may be empty."""
    if not isinstance(value, str):
        raise refused(name, value, "a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise refused(name, value, "text that UTF-8 can write, without lone surrogates") from None
    return value


def names(name: str, value: Any) -> tuple[str, ...]:
    """Check for one name or several, and give them as a tuple.

    Example:
        >>> names("sites", "act")
        ('act',)
    """
    held = any_names(name, value)
    if not held:
        raise InputError(f"{name} is empty: give at least one name, or leave it out.")
    return held


def any_names(name: str, value: Any) -> tuple[str, ...]:
    """Check for names as ``names`` does, of which there may be none."""
    given = [value] if isinstance(value, str) else value
    return tuple(each(text, "a name, or a list of names")(name, given))


def labels(name: str, value: Any) -> tuple[str, ...]:
    """Check for the names of an axis: several, each once.

    Example:
        >>> labels("cultures", ["Japan", "Peru"])
        ('Japan', 'Peru')
    """
    given = names(name, () if isinstance(value, str) else value)
    if len(set(given)) < len(given):
        raise InputError(f"{name} holds a name twice: {listed(given)}.")
    return given


def file_path(name: str, value: Any) -> str | Path:
    """Check for the path of a file or folder.

    Example:
        >>> file_path("run", "runs/first")
        'runs/first'
    """
    if not isinstance(value, (str, os.PathLike)) or not str(value).strip() or "\0" in str(value):
        raise refused(name, value, "the path of a file or folder")
    return value if isinstance(value, str) else Path(value)


@cache
def instance(*kinds: type | str, remedy: str = "") -> Check:
    """Check for an object of certain types; by name where to import one would take seconds.

    Example:
        >>> instance(dict, "Series", remedy="a dict of options")("options", {})
        {}
    """
    words = (kind if isinstance(kind, str) else kind.__name__ for kind in kinds)
    wanted = remedy or " or ".join(map(a_or_an, words))
    known = tuple(kind for kind in kinds if not isinstance(kind, str))

    def check(name: str, value: Any) -> Any:
        bases = {base.__name__ for base in type(value).__mro__}
        if not isinstance(value, known) and bases.isdisjoint(map(str, kinds)):
            raise refused(name, value, wanted)
        return value

    return check


OPTIONS = instance(Mapping, remedy="a mapping of options, such as a dict")
"""Options that are handed on."""


@cache
def optional(check: Check) -> Check:
    """Check unless the value is None.

    Example:
        >>> optional(whole(1))("limit", None) is None
        True
    """
    return lambda name, value: None if value is None else check(name, value)


@cache
def each(kind: type | Check, remedy: str = "") -> Check:
    """Check for a list, whose members are of one type or pass a check; anything iterable is listed.

    Example:
        >>> each(whole(0))("wordings", (0, 1))
        [0, 1]
    """
    member = instance(kind) if isinstance(kind, type) else kind
    wanted = remedy or (f"a list of {kind.__name__}" if isinstance(kind, type) else "a list")

    def check(name: str, value: Any) -> list[Any]:
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            raise refused(name, value, wanted)
        return [member(f"{name}[{place}]", one) for place, one in enumerate(value)]

    return check


@cache
def mapping(kind: type | Check, remedy: str = "") -> Check:
    """Check for a mapping whose keys are names and whose values are of one type or pass a check.

    Example:
        >>> mapping(whole(0))("counts", {"a": 1})
        {'a': 1}
    """
    member = instance(kind) if isinstance(kind, type) else kind
    wanted = remedy or "a mapping of names"

    def check(name: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise refused(name, value, wanted)
        keys = (text(f"a key of {name}", key) for key in value)
        return {key: member(f"{name}[{key!r}]", value[key]) for key in keys}

    return check


def either(*checks: Check, remedy: str) -> Check:
    """Take the first of several checks that passes.

    Example:
        >>> either(whole(), flag, remedy="a number or a flag")("value", True)
        True
    """

    def check(name: str, value: Any) -> Any:
        for one in checks:
            try:
                return one(name, value)
            except InputError:
                continue
        raise refused(name, value, remedy)

    return check
