"""Progress: a bar where somebody looks, a line a minute in a log, nothing where quiet is asked for.

A bar that redraws itself fills a file with thousands of lines. A notebook and a terminal get tqdm's
bar; wherever else standard error goes, a pass of more than a minute writes one line a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm
from tqdm.auto import tqdm as automatic

SECONDS = 60.0
"""Between two lines of a log."""
QUIET: ContextVar[bool] = ContextVar("QUIET", default=False)
"""Whether the command line was asked to be quiet."""


class LogLines(tqdm):  # type: ignore[misc]
    """tqdm for a log: whole lines, none before the first minute is over, and none at the end."""

    def __init__(self, *items: Any, **options: Any) -> None:
        """Set how often a line is written."""
        super().__init__(*items, delay=SECONDS, mininterval=SECONDS, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line."""
        self.fp.write(f"{self if msg is None else msg}\n")
        self.fp.flush()

    def close(self) -> None:
        """Write nothing more: there is no bar to be cleared."""
        self.sp = None
        super().close()


def watched() -> bool:
    """Say whether bars are seen as they move: standard error is a terminal, or a notebook's."""
    return "ipykernel" in sys.modules or sys.stderr.isatty()


def moving(progress: bool) -> bool:
    """Say whether a bar of another library should be drawn.

    Example:
        >>> moving(False)
        False
    """
    return progress and watched() and not QUIET.get()


def progress_bar(
    items: Iterable[Any] | None = None, *, progress: bool = True, **options: Any
) -> Any:
    """Make a progress bar, or what stands for it here; see the module.

    Args:
        items: What is gone through; by default ``update`` is called.
        progress: Whether it is wanted.
        **options: Those of tqdm, such as ``desc``, ``unit`` and ``total``.

    Example:
        >>> list(progress_bar([1, 2], progress=False))
        [1, 2]
    """
    kind = automatic if watched() else LogLines
    return kind(items, disable=not progress or QUIET.get(), **options)
