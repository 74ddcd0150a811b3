"""Which shards of a pass are left to this process, and which another has taken.

Several processes may work on one run folder: each takes shards that nobody else is at, under a
lock that ends with its process, and waits for the others at the end of the pass. A file system
without locks makes them do the same work twice; no result depends on it, for they write the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from culture_lens.engine.shards import Part, Pass, Shard
from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Prompt
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
        self.left = [shard for shard in shards if not self._is_kept(shard)]
        self.locks: dict[int, BaseFileLock] = {}
        self.tries: dict[int, int] = {}
        for shard in self.left[:1]:
            for place in self._places(shard):
                check_place(place)

    def take(
        self, held: Sequence[Prompt] | None = None, others: Iterable[Sequence[Prompt]] = ()
    ) -> Shard | None:
        """Give a shard that is free; None where there is none at the moment.

        Items are prepared once by whoever is at them, for all their conditions: their pictures,
        and the layers below all masks. So the same items come first, and those last that others
        are at.

        Args:
            held: The items of the shard before.
            others: Items that others are at; those of other processes show by their locks.
        """
        taken, left = {id(items) for items in others}, list(self.left)
        while left:
            shard = min(left, key=lambda one: (one.items is not held, id(one.items) in taken))
            left.remove(shard)
            if not self._lock(shard):
                taken.add(id(shard.items))
                continue
            self.left.remove(shard)
            if not self._is_kept(shard):
                return shard
            self.done(shard)  # another process has made it meanwhile
        return None

    def done(self, shard: Shard) -> None:
        """Let go of a shard that is finished."""
        if (lock := self.locks.pop(shard.number, None)) is not None:
            let_go(lock)

    def again(self, shard: Shard) -> int:
        """Put a shard back that was lost, before the others; give how often that has happened."""
        self.left.insert(0, shard)
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
