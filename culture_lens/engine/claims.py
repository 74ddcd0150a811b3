"""Which shards of a pass are left to this process, and which another has taken.

Several processes may work on one run folder: each takes shards that nobody else is at, under a
lock that ends with its process, and waits for the others at the end of the pass. A file system
without locks makes them do the same work twice; no result depends on it, for they write the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from culture_lens.engine.shards import Part, Pass, Shard
from culture_lens.errors import InputError
from culture_lens.storage.finished import say_made_again
from culture_lens.storage.parts import check_place


class Claims:
    """The shards that are left; ``take`` one, then ``done`` with it, or ``again``.

    Args:
        work: The pass.
        shards: All its shards, in order.
        read: Whether a finished shard is read, to see that it is whole; else its files are there.
    """

    def __init__(self, work: Pass[Any], shards: Sequence[Shard], *, read: bool = False) -> None:
        """Look which shards are finished, and check that the others can be kept."""
        self.work, self.read = work, read
        self.left = deque(shard for shard in shards if not self._is_kept(shard))
        self.locks: dict[int, BaseFileLock] = {}
        self.tries: dict[int, int] = {}
        for shard in list(self.left)[:1]:
            for place in self._places(shard):
                check_place(place)

    def take(self) -> Shard | None:
        """Give a shard that is free; None where there is none at the moment."""
        for _ in range(len(self.left)):
            shard = self.left.popleft()
            if not self._lock(shard):
                self.left.append(shard)
            elif self._is_kept(shard):  # another process has made it meanwhile
                self.done(shard)
            else:
                return shard
        return None

    def done(self, shard: Shard) -> None:
        """Let go of a shard that is finished."""
        if (lock := self.locks.pop(shard.number, None)) is not None:
            let_go(lock)

    def again(self, shard: Shard) -> int:
        """Put a shard back that was lost, as the next one; give how often that has happened."""
        self.left.appendleft(shard)
        self.tries[shard.number] = self.tries.get(shard.number, 0) + 1
        return self.tries[shard.number]

    def close(self) -> None:
        """Let go of every shard."""
        for lock in self.locks.values():
            let_go(lock)
        self.locks = {}

    def _places(self, shard: Shard) -> Sequence[Path]:
        return self.work.places(shard) if self.work.places is not None else ()

    def _lock(self, shard: Shard) -> bool:
        places = self._places(shard)
        if not places or shard.number in self.locks:
            return True
        lock = FileLock(places[0].with_name(f".{places[0].name}.lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except (OSError, NotImplementedError):  # a file system without locks
            return True
        self.locks[shard.number] = lock
        return True

    def _is_kept(self, shard: Shard) -> bool:
        places = self._places(shard)
        if not places or not all(place.exists() for place in places):
            return False
        return not self.read or read_parts(self.work, shard, say=False) is not None


def let_go(lock: BaseFileLock) -> None:
    """Release a lock and delete its file.

    The file goes first: whoever finds it unlocked afterwards looks first what is kept.
    """
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def read_parts(work: Pass[Part], shard: Shard, *, say: bool = True) -> list[Part] | None:
    """Read the parts of a shard; None where one is damaged, with a warning."""
    try:
        return work.read(shard)
    except InputError as error:
        if say:
            say_made_again(error)
        return None


__all__ = ["Claims", "read_parts"]
