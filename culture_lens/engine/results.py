"""The parts of all shards of a pass, in order, whoever computes them.

1. Take the shards of which no files are kept.
2. Compute them: here one after the other, or on the workers of Ray as many at a time as there are.
3. Keep each shard as soon as it is done.
4. Give the parts in the order of the shards. What is kept is read only now, and once; where a shard
   is damaged, all that are damaged are made again.

Where nothing is kept, a shard waits in memory until all before it are done.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from culture_lens.engine.claims import Claims, read_parts
from culture_lens.engine.shards import Part, Pass, Shard
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running
from culture_lens.storage.progress import progress_bar
from culture_lens.storage.work import shard_facts

if TYPE_CHECKING:
    from culture_lens.engine.pool import Done

WAIT = 0.5
"""Seconds between two looks whether another process is done with the shards it has taken."""


def run_shards(
    model: LensModel, work: Pass[Part], shards: Sequence[Shard], running: Running
) -> Iterator[Sequence[Part]]:
    """Give the parts of every shard of a pass, in order.

    Args:
        model: The model.
        work: What is computed, and where it is kept.
        shards: All shards, numbered from 0.
        running: Progress, and the workers of Ray where they are to be used.

    Yields:
        The parts of each shard, one for each of its conditions.

    Raises:
        InputError: What the pass refuses, a folder that cannot be written, or what the workers
            cannot do; see ``pool``.

    Example:
        ``for (part,) in run_shards(model, work, cut(prompts), running): total.merge(part)``
    """
    yield from compute_left(model, work, shards, running)
    if work.places is not None:
        yield from read_in_order(model, work, shards, running)


def compute_left(
    model: LensModel,
    work: Pass[Part],
    shards: Sequence[Shard],
    running: Running,
    *,
    read: bool = False,
) -> Iterator[Sequence[Part]]:
    """Compute the shards that are left; give their parts, in order, where they are not kept."""
    claims = Claims(work, shards, read=read)
    total, waiting = sum(shard.size for shard in shards), dict[int, Sequence[Part]]()
    started = total - sum(shard.size for shard in claims.left)
    following = iter(shards) if work.places is None else iter(())
    expected = next(following, None)
    several = running.progress and (len(shards) > 1 or running.ray is not None)
    bar = progress_bar(
        total=total, initial=started, desc=work.label, unit="item", progress=several, leave=False
    )
    with bar:
        for shard, parts, seconds in computed(model, work, claims, running):
            if work.places is not None:
                keep(work, shard, parts, seconds)
            else:
                waiting[shard.number] = parts
            claims.done(shard)
            bar.update(shard.size)
            while expected is not None and expected.number in waiting:
                yield waiting.pop(expected.number)
                expected = next(following, None)


def read_in_order(
    model: LensModel, work: Pass[Part], shards: Sequence[Shard], running: Running
) -> Iterator[Sequence[Part]]:
    """Read the parts of every shard; make those again that are damaged, all of them together."""
    for at, shard in enumerate(shards):
        parts = read_parts(work, shard)
        if parts is None:
            later = [other for other in shards[at + 1 :] if read_parts(work, other) is None]
            list(compute_left(model, work, [shard, *later], running, read=True))
            parts = work.read(shard)
        yield parts


def keep(work: Pass[Part], shard: Shard, parts: Sequence[Part], seconds: float) -> None:
    """Write the parts of a shard, with the time that each took."""
    facts = shard_facts(seconds / len(parts), len(shard.items))
    for place, part in zip(work.places(shard) if work.places else (), parts, strict=True):
        work.save(place, part, facts)


def computed(
    model: LensModel, work: Pass[Part], claims: Claims, running: Running
) -> Iterator[Done[Part]]:
    """Compute the shards that are left, in any order."""
    try:
        if running.ray is None:
            yield from computed_here(model, work, claims, running.progress)
        elif claims.left:
            from culture_lens.engine.pool import pool_of

            yield from pool_of(model, running.ray).compute(work, claims)
    finally:
        claims.close()


def computed_here(
    model: LensModel, work: Pass[Part], claims: Claims, progress: bool
) -> Iterator[Done[Part]]:
    """Compute the shards that are left in this process, one after the other."""
    held: Sequence[Prompt] | None = None
    while claims.left:
        shard = claims.take(held)
        if shard is None:
            time.sleep(WAIT)  # others have taken all that are left
            continue
        held = shard.items
        began = time.perf_counter()
        parts = work.run(model, shard, progress)
        yield shard, parts, time.perf_counter() - began


__all__ = ["run_shards"]
