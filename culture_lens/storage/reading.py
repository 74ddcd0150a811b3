"""Reading what others may have written: every fault of a file's content is one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from culture_lens.errors import InputError

FAULTS = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError)
"""What Python and torch raise on values of another type, shape or size than expected."""


@contextmanager
def content_of(path: str | Path, what: str) -> Iterator[None]:
    """Turn the faults of a file's content into an ``InputError`` that names the file.

    Args:
        path: The file.
        what: What it should hold, such as ``"a neuron set"``.

    Example:
        ``with content_of(path, "a neuron set"): cultures = header["cultures"]``
    """
    try:
        yield
    except InputError as error:
        told = str(error)
        if str(path) in told:
            raise
        raise InputError(f"{path}: {told} The file is damaged, or was made by hand.") from None
    except FAULTS as error:
        raise InputError(
            f"{path} does not hold {what} ({type(error).__name__}: {str(error)[:200]}); it is "
            "damaged, or was made by hand: make it again."
        ) from None
