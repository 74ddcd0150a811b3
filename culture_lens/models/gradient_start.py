"""The layer at which gradients begin: of the layers below no graph is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FIRST: ContextVar[int] = ContextVar("first layer with gradients", default=0)


@contextmanager
def gradients_from(layer: int) -> Iterator[None]:
    """Let gradients begin at a layer for the time of the block, exceptions included.

    Example:
        ``with gradients_from(12): model.differentiable_logits(batch)``
    """
    token = _FIRST.set(layer)
    try:
        yield
    finally:
        _FIRST.reset(token)


def first_with_gradients() -> int:
    """Give the layer at which gradients begin; 0 where nothing else was said.

    Example:
        >>> first_with_gradients()
        0
    """
    return _FIRST.get()


__all__ = ["first_with_gradients", "gradients_from"]
