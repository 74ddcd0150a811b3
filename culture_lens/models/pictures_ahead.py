"""Prepare the next pictures in threads while the model runs.

Decoding and resizing a photograph takes tens of milliseconds of the processor, in libraries that
let other threads run meanwhile. So the pixels of the next few pictures are made in worker threads,
by the same function on the same picture: nothing but the waiting changes. A picture that cannot be
read raises its error where it is taken, as it would without threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from culture_lens.questions.images import LazyImage

PER_THREAD = 2
"""Pictures that wait or are being prepared, for each thread."""


@runtime_checkable
class MakesPixels(Protocol):
    """What turns a picture into a model's inputs, such as a ``VisionReader``."""

    def pixels(self, image: LazyImage) -> dict[str, Any]:
        """Make the pixels of a picture."""


class PicturesAhead:
    """The pixels of pictures that will be asked for soon, prepared in their order.

    Args:
        reader: Makes the pixels of a picture.

    Example:
        ``with ahead.of(images, threads=2): ahead.take(images[0])``
    """

    def __init__(self, reader: MakesPixels) -> None:
        """Start with nothing to prepare."""
        self._reader = reader
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: Iterator[LazyImage] = iter(())
        self._made: dict[str, Future[dict[str, Any]]] = {}
        self._room = 0

    @contextmanager
    def of(
        self, images: Iterable[LazyImage], threads: int, known: Collection[str] = ()
    ) -> Iterator[None]:
        """Prepare pictures in the time of the block; at its end no thread is left.

        Args:
            images: The pictures in the order in which they will be taken; a second time does not
                count.
            threads: Threads that prepare them; 0 for none.
            known: Keys of pictures that need not be prepared.
        """
        if not threads or self._pool is not None:
            yield
            return
        first = {image.key: image for image in images if image.key not in known}
        if not first:
            yield
            return
        self._waiting, self._room = iter(first.values()), PER_THREAD * threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        try:
            self._fill()
            yield
        finally:
            self._pool.shutdown(cancel_futures=True)
            self._pool, self._made = None, {}

    def take(self, image: LazyImage) -> dict[str, Any]:
        """Give the pixels of a picture: those that a thread has made, else they are made here.

        Raises:
            InputError: The picture cannot be read, or the processor cannot take it.
        """
        made = self._made.pop(image.key, None) if self._pool is not None else None
        if made is None:
            return self._reader.pixels(image)
        self._fill()
        return made.result()

    def _fill(self) -> None:
        while self._pool and len(self._made) < self._room:
            image = next(self._waiting, None)
            if image is None:
                return
            self._made[image.key] = self._pool.submit(self._reader.pixels, image)


__all__ = ["PicturesAhead"]
