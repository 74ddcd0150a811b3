"""A limit on the time that code from elsewhere may take, such as a chat template."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop the block with a ``TimeoutError`` when it takes longer.

    By a signal, so only in the main thread of a system that has ``SIGALRM``; elsewhere there is no
    limit. An alarm that was set before goes off later by the time that the block took.

    Example:
        >>> with time_limit(1.0):
        ...     print("quick")
        quick
    """
    # Windows has no SIGALRM.
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"it ran longer than {seconds:g} seconds")

    handler = signal.signal(signal.SIGALRM, stop)
    remaining, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        signal.setitimer(signal.ITIMER_REAL, remaining)
