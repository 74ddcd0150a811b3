"""The truth about an organism: which neurons carry what, read from its ``truth.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.checks import (
    SEED,
    any_names,
    check_arguments,
    each,
    file_path,
    flag,
    names,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.neurons import Neurons
from culture_lens.organism.plan import OWN, PLANTED_KINDS
from culture_lens.storage.bundled import data_path
from culture_lens.storage.display import Shown
from culture_lens.storage.files import load_hashed_json
from culture_lens.storage.reading import content_of

if TYPE_CHECKING:
    import pandas as pd

KIND = "truth of an organism"


@dataclass(frozen=True)
class Planted(Shown):
    """A block of planted neurons, in names.

    Attributes:
        kind: One of ``plan.PLANTED_KINDS``.
        cultures: Its cultures; two for kin.
        objects: Its objects.
        neurons: Their indices, the same in every planted layer.
    """

    kind: str
    cultures: tuple[str, ...]
    objects: tuple[str, ...]
    neurons: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Truth(Shown):
    """The planted neurons of an organism.

    Attributes:
        seed: The seed of the organism, and of the facts of its world.
        shuffled: Whether it was trained without knowledge.
        layers: The planted layers.
        blocks: The planted blocks.
    """

    seed: int
    shuffled: bool
    layers: tuple[int, ...]
    blocks: tuple[Planted, ...]

    def to_pandas(self) -> pd.DataFrame:
        """List the planted blocks: kind, cultures, objects, and their neurons per layer."""
        import pandas as pd

        rows = [
            (block.kind, ", ".join(block.cultures), ", ".join(block.objects), len(block.neurons))
            for block in self.blocks
        ]
        return pd.DataFrame(rows, columns=["kind", "cultures", "objects", "neurons"])

    @check_arguments(kinds=names, culture=optional(text))
    def neurons(self, kinds: str | Sequence[str] = OWN, culture: str | None = None) -> Neurons:
        """Give the planted neurons of some kinds, of one culture or of all, at the site act.

        Args:
            kinds: One or more of ``plan.PLANTED_KINDS``; those of one culture's knowledge if left
                out.
            culture: Only those of this culture.

        Raises:
            InputError: No such kind or culture.

        Example:
            ``load_truth().neurons("style", "Avaria")``
        """
        wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        known = {name for block in self.blocks for name in block.cultures}
        for kind in wanted:
            if kind not in PLANTED_KINDS:
                raise InputError(f"no planted kind {kind!r}: use {', '.join(PLANTED_KINDS)}.")
        if culture is not None and culture not in known:
            raise InputError(f"no culture {culture!r}: use {', '.join(sorted(known))}.")
        rows = [
            row
            for block in self.blocks
            if block.kind in wanted and (culture is None or culture in block.cultures)
            for row in block.neurons
        ]
        return Neurons.of({"act": [(layer, row) for layer in self.layers for row in rows]})


@check_arguments(folder=optional(file_path))
def load_truth(folder: str | Path | None = None) -> Truth:
    """Read the truth of an organism.

    Args:
        folder: Its checkpoint; the bundled one if left out.

    Raises:
        InputError: The folder holds no organism, or its truth is damaged.

    Example:
        ``len(load_truth().neurons("style"))``
    """
    folder = data_path("organism") if folder is None else Path(folder)
    file = folder / "truth.json"
    if not file.is_file():
        raise InputError(
            f"{folder} has no truth.json: name the checkpoint of an organism, which "
            "`culture-lens organism train` writes."
        )
    read = load_hashed_json(file, KIND)
    with content_of(file, "the truth of an organism"):
        return Truth(
            SEED("seed", read["seed"]),
            flag("shuffled", read["shuffled"]),
            tuple(each(whole(0))("layers", read["layers"])),
            tuple(planted_block(block) for block in read["blocks"]),
        )


def planted_block(read: Mapping[str, Any]) -> Planted:
    """Read a block of planted neurons.

    Raises:
        InputError: An unknown kind, or no names and indices.
    """
    if read["kind"] not in PLANTED_KINDS:
        raise unknown("planted kind", read["kind"], PLANTED_KINDS)
    cultures, objects = (any_names(name, read[name]) for name in ("cultures", "objects"))
    neurons = tuple(each(whole(0))("neurons", read["neurons"]))
    return Planted(read["kind"], cultures, objects, neurons)
