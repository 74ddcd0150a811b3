"""Sizes of edits of units: k units, or as many as reach a norm of change.

Each edit is measured by itself, on questions of its culture that identify; what is found is kept
in a run folder, and workers may find it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from culture_lens.checks import check_fields, finite, optional, whole
from culture_lens.engine.places import numbered_places
from culture_lens.engine.results import run_shards
from culture_lens.engine.shards import Pass, Shard
from culture_lens.errors import InputError, warn
from culture_lens.evaluation.answering import asked_of
from culture_lens.experiments.conditions import FOUND, RANDOM
from culture_lens.experiments.equal_norm import ChangeOfStream, matched_factor, matched_number
from culture_lens.experiments.unit_edits import RankedUnits, ScaledDirection
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.running import Running
from culture_lens.storage.files import load_hashed_json, save_hashed_json
from culture_lens.storage.finished import check_key, keyed
from culture_lens.storage.reading import content_of

if TYPE_CHECKING:
    from culture_lens.experiments.conditions import Condition

FAR = 0.1
"""Norms further apart than this share are warned of."""
KIND = "size of an edit"


@dataclass(frozen=True)
class Size:
    """How large an edit is.

    Attributes:
        number: How many units are ablated; 1 of a direction.
        norm: How far the residual stream is moved after the last layer, as a share of its length.
        scale: How often a direction is subtracted; None of one that is projected out, and of units.

    Example:
        >>> Size(20, 0.05).number
        20
    """

    number: int
    norm: float
    scale: float | None = None

    def __post_init__(self) -> None:
        """Check what was read from a file."""
        check_fields(self, number=whole(0), norm=finite, scale=optional(finite))


@dataclass(frozen=True, eq=False)
class UnitEdit:
    """Units of one kind for one culture, found or random; its size where that is known."""

    units: str
    culture: str
    own: RankedUnits | ScaledDirection
    condition: Condition = FOUND
    seed: int = 0
    size: Size | None = None

    @property
    def sized(self) -> Size:
        """The size."""
        assert self.size is not None  # with_sizes has found it
        return self.size

    def record(self) -> dict[str, Any]:
        """Give what the metadata of a comparison keep of it."""
        own, number = self.own, self.sized.number
        places = [] if isinstance(own, ScaledDirection) else own.members(number)
        named = {"condition": self.condition, "units": self.units, "mask": self.culture}
        return {**named, "seed": self.seed, **asdict(self.sized), "places": list(map(list, places))}


class Sizing:
    """Finds the sizes of a shard's edits; the same in every process.

    Args:
        edits: All edits.
        k: How many units are ablated; with norms, the number that is tried first.
        norms: The norm that each culture's edits are to come near to, if any.
        rows: Prompts per forward.
    """

    def __init__(
        self, edits: Sequence[UnitEdit], k: int, norms: Mapping[str, float] | None, rows: int
    ) -> None:
        """Hold no items yet."""
        self.edits, self.k, self.norms, self.rows = edits, k, norms, rows
        self._items: Sequence[Prompt] = ()
        self._stream: ChangeOfStream | None = None

    def __call__(self, model: LensModel, shard: Shard, progress: bool) -> list[Size]:
        """Give the size of each edit."""
        if self._stream is None or self._items is not shard.items:
            self._items = shard.items
            self._stream = ChangeOfStream(model, list(shard.items), self.rows)
        found = []
        for edit in (self.edits[at] for at in shard.conditions):
            norm = None if self.norms is None else self.norms[edit.culture]
            found.append(size_of(self._stream, edit.own, self.k, norm))
        return found


def size_of(
    stream: ChangeOfStream, own: RankedUnits | ScaledDirection, k: int, norm: float | None
) -> Size:
    """Find the size of an edit: k units, or as many as come nearest to a norm.

    A direction is projected out, or subtracted as often as the norm takes.
    """

    @cache
    def norm_of(amount: Any) -> float:
        return stream.norm(own.hooks(stream.model, amount))

    if isinstance(own, ScaledDirection):
        scale = None if norm is None else matched_factor(norm_of, norm)
        return Size(1, norm_of(scale), scale)
    most = len(own)
    number = min(k, most) if norm is None or not most else matched_number(norm_of, norm, most, k)
    return Size(number, norm_of(number))


def with_sizes(
    model: LensModel,
    own: Mapping[str, Sequence[Prompt]],
    edits: Sequence[UnitEdit],
    k: int,
    norms: Mapping[str, float] | None,
    running: Running,
) -> list[UnitEdit]:
    """Find the sizes of edits: k units, or as many as reach their culture's norm.

    Args:
        model: The model.
        own: The prompts of each culture on which norms are measured.
        edits: The edits; those of one culture are measured together.
        k: How many units.
        norms: A norm for each culture, or none.
        running: Prompts per forward, progress, run folder, workers.

    Raises:
        InputError: A direction changes nothing.
    """
    order = sorted(range(len(edits)), key=lambda at: (edits[at].culture, at))
    shards = [Shard(number, own[edits[at].culture], (at,)) for number, at in enumerate(order)]
    work = Pass(
        label="sizes of edits",
        run=Sizing(edits, k, norms, running.rows()),
        places=size_places(model, own, edits, shards, k, norms, running),
        load=read_size,
        save=write_size,
    )
    found = list(edits)
    parts = run_shards(model, work, shards, running)
    for at, (size,) in zip(order, parts, strict=True):
        found[at] = replace(edits[at], size=size)
    return found


def size_places(
    model: LensModel,
    own: Mapping[str, Sequence[Prompt]],
    edits: Sequence[UnitEdit],
    shards: Sequence[Shard],
    k: int,
    norms: Mapping[str, float] | None,
    running: Running,
) -> Callable[[Shard], list[Path]] | None:
    """Say where the size of each edit is kept; None without a run folder."""
    if running.folder is None:
        return None
    asked = {name: key for prompts in own.values() for name, key in asked_of(prompts).items()}
    facts = [(e.units, e.culture, e.condition, e.seed, e.own.content) for e in edits]
    kind, given = ("sizes", ".json"), (asked, facts, k, norms)
    return numbered_places(
        model, running.folder, *kind, shards, *given, data=asked, options={"k": k}
    )


def read_size(place: Path) -> Size:
    """Read the size of an edit.

    Raises:
        InputError: The file is damaged, or another edit's.
    """
    with content_of(place, "the size of an edit"):
        held = load_hashed_json(place, KIND)
        check_key(place, held["facts"])
        return Size(**held["size"])


def write_size(place: Path, size: Size, facts: Mapping[str, Any]) -> Path:
    """Write the size of an edit, with the key of its place."""
    return save_hashed_json(place, KIND, {"size": asdict(size), "facts": keyed(place, facts)})


def smallest(edits: Sequence[UnitEdit]) -> tuple[str, dict[str, float]]:
    """Find the kind whose units change the stream least, mean over cultures; give its norms.

    Args:
        edits: Edits of k units, none of them a direction.

    Raises:
        InputError: It changes nothing for some culture.
    """
    norms: dict[str, dict[str, float]] = {}
    for edit in edits:
        norms.setdefault(edit.units, {})[edit.culture] = edit.sized.norm
    reference = min(norms, key=lambda name: np.mean(list(norms[name].values())))
    for culture, norm in norms[reference].items():
        if norm == 0:
            raise InputError(
                f"the units of {reference!r} change nothing for {culture}, so no other kind can "
                "be made as small: give a larger k, or leave this kind out."
            )
    return reference, norms[reference]


def warn_of_sizes(edits: Sequence[UnitEdit], k: int, norms: Mapping[str, float] | None) -> None:
    """Warn of kinds that are fewer than asked for, or not as large."""
    told = {}
    for kind in dict.fromkeys((edit.units, edit.condition) for edit in edits):
        own = [edit for edit in edits if (edit.units, edit.condition) == kind]
        name = f"random {kind[0]}" if kind[1] == RANDOM else kind[0]
        fewest = min(edit.sized.number for edit in own)
        if norms is not None:
            wanted = np.mean([norms[edit.culture] for edit in own])
            norm = np.mean([edit.sized.norm for edit in own])
            if abs(norm / wanted - 1) > FAR:
                told[name] = f"{norm:.3g} of |x|, not {wanted:.3g}"
        elif isinstance(own[0].own, RankedUnits) and fewest < k:
            told[name] = f"{fewest} units, not {k}"
    if told:
        some = "; ".join(f"{name} {what}" for name, what in told.items())
        warn(f"not every kind can be made as large as asked for: {some}.")


__all__ = ["Size", "UnitEdit", "smallest", "warn_of_sizes", "with_sizes"]
