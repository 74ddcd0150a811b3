"""Which calls the tests check: those of what a module holds, and of inner functions with shapes.

An inner function is made anew at every call of the outer one, and beartype would write and compile
its checks each time: a fifth of what all fast tests take. mypy checks its types; where it writes
shapes, which mypy does not know, it is checked like any other.
"""

import functools
import re
import sys

import jaxtyping

jaxtyped = jaxtyping.jaxtyped


def checked(*, typechecker):
    """Decorate a function or class as jaxtyping does, unless it is inner and writes no shapes."""
    check = jaxtyped(typechecker=typechecker)
    return lambda held: check(held) if is_checked(held) else held


def is_checked(held) -> bool:
    """Whether a function or class is not inside a function, or writes shapes."""
    annotations = " ".join(map(str, getattr(held, "__annotations__", {}).values()))
    return "<locals>" not in held.__qualname__ or has_shapes(annotations, held.__module__)


@functools.cache
def has_shapes(annotations: str, module: str) -> bool:
    """Whether annotations have a shape, in themselves or by a name of their module."""
    names = vars(sys.modules[module])
    return any("jaxtyping" in repr(names.get(word)) for word in re.findall(r"\w+", annotations))


def leave_inner_functions() -> None:
    """Let the import hook of jaxtyping decorate so."""
    jaxtyping.jaxtyped = checked
