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
    """

    def __init__(self, work: Pass[Any], shards: Sequence[Shard]) -> None:
        """Look which shards are finished, and check that the others can be kept."""
        self.work = work
        self.left = deque(shard for shard in shards if not is_kept(work, shard))
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
            elif self._made_meanwhile(shard):
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

    def _made_meanwhile(self, shard: Shard) -> bool:
        places = self._places(shard)
        return bool(places) and all(p.exists() for p in places) and is_kept(self.work, shard)


def let_go(lock: BaseFileLock) -> None:
    """Release a lock and delete its file.

    The file goes first: whoever finds it unlocked afterwards looks first what is kept.
    """
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def is_kept(work: Pass[Part], shard: Shard) -> bool:
    """Say whether all parts of a shard are there and whole; warn of one that is damaged."""
    if work.places is None:
        return False
    places = work.places(shard)
    if not all(place.exists() for place in places):
        return False
    for place in places:
        try:
            work.load(place)
        except InputError as error:
            say_made_again(error)
            return False
    return True


__all__ = ["Claims", "is_kept"]
