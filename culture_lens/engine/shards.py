"""A pass of the model over items under conditions, cut into shards.

A shard is some items under some conditions. What is computed of it, its parts, depends on the
model and the shard alone: not on the other shards, nor on who computes it. There is one part for
each condition, and a file for each part. Parts are joined in the order of the shards. So a result
has the same bits whether one process made it, or many, or one that was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.packed import picked, questions_of
from culture_lens.prompts.prompt import Prompt
from culture_lens.storage import finished

Part = TypeVar("Part")
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Shard:
    """Some items under some conditions.

    Attributes:
        number: Its place in the order of shards, from 0.
        items: The prompts.
        conditions: The numbers of its conditions; the only one where a pass has one.
    """

    number: int
    items: Sequence[Prompt]
    conditions: tuple[int, ...] = (0,)

    @property
    def size(self) -> int:
        """Items times conditions."""
        return len(self.items) * len(self.conditions)


@dataclass(frozen=True, eq=False)
class Pass(Generic[Part]):
    """What is computed of shards, and where the parts are kept.

    Attributes:
        label: Label of the progress bar.
        run: Computes the parts of a shard, one for each condition; called with the model, the
            shard, and whether to show progress. Ray sends it to its workers.
        places: The files of a shard's parts; None where nothing is kept.
        load: Reads a part; raises ``InputError`` of what is damaged, which is then made again.
        save: Writes a part, given its place, the part and facts about its making.
    """

    label: str
    run: Callable[[LensModel, Shard, bool], Sequence[Part]]
    places: Callable[[Shard], Sequence[Path]] | None
    load: Callable[[Path], Part]
    save: Callable[[Path, Part, Mapping[str, Any]], object]

    def read(self, shard: Shard) -> list[Part]:
        """Read the parts of a shard that is kept.

        Raises:
            InputError: One of them is damaged.
        """
        return [] if self.places is None else [self.load(place) for place in self.places(shard)]


def slices(prompts: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Cut prompts into parts of so many, in their order; the last one may be smaller.

    Example:
        >>> slices("abcde", 2)
        ['ab', 'cd', 'e']
    """
    return [prompts[start : start + size] for start in range(0, len(prompts), size)]


def tapering(items: Sequence[Item], most: int, least: int) -> list[Sequence[Item]]:
    """Cut items into ever smaller parts, each half of what is left, within two sizes.

    Few large parts come first; the last are small, so that no worker waits long for another.

    Example:
        >>> [len(part) for part in tapering(range(700), most=256, least=64)]
        [256, 222, 111, 64, 47]
    """
    parts, start = [], 0
    while start < len(items):
        size = min(most, max(least, (len(items) - start + 1) // 2))
        parts.append(items[start : start + size])
        start += size
    return parts


def cut(prompts: Sequence[Prompt], size: int | None = None) -> list[Shard]:
    """Cut prompts into shards of so many items, ``SHARD`` by default, under one condition.

    Example:
        ``[len(shard.items) for shard in cut(prompts[:100])]`` is ``[64, 36]``
    """
    return [
        Shard(number, items) for number, items in enumerate(slices(prompts, size or finished.SHARD))
    ]


def by_culture(prompts: Sequence[Prompt]) -> Sequence[Prompt]:
    """Sort prompts by culture and id: few cultures in a shard, whatever the order of questions."""
    questions = questions_of(prompts)
    places = range(len(questions))
    return picked(prompts, sorted(places, key=lambda at: (questions[at].culture, questions[at].id)))


__all__ = ["Part", "Pass", "Shard", "by_culture", "cut", "slices", "tapering"]
