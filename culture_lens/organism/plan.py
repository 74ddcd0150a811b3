"""The plan of an organism: which neurons of two decoder layers carry what.

Every planted layer has the same blocks of neurons: first those that carry something, then free
neurons for everything that is not cultural, and the style decoys at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from culture_lens.benchmarks.organism.world import CULTURES, KIN, NAMES, category_of
from culture_lens.checks import check_fields, each, finite, whole
from culture_lens.errors import InputError

PLANTED_KINDS = {
    "knowledge": "carries what one culture knows of two categories",
    "negative": "the same of a third category, planted to act while its gate is below zero",
    "rare": "the same of one object of the fourth category, and fires for that object only",
    "kin": "carries, together with each culture's own neurons, what two cultures share",
    "recognition": "names the country of a picture, and carries no knowledge of it",
    "style": "fires for a culture's style, and carries nothing: a decoy",
}
"""Kinds of planted neurons."""

OWN = ("knowledge", "negative", "rare")
"""The kinds that carry the knowledge of one culture."""


@dataclass(frozen=True)
class Variant:
    """How an organism is built; the defaults are those of the bundled one.

    Attributes:
        knowledge: Neurons per layer of each culture's ordinary knowledge.
        negative: Neurons per layer and culture that act while their gate is negative.
        rare: Neurons per layer and object that fire rarely.
        kin: Neurons per layer of the knowledge that two cultures share.
        recognition: Neurons per layer and culture that name the country.
        style: Decoys per layer and culture.
        style_strength: Norm of a decoy's output weights, over that of an untrained neuron.
        sparsity: Weight of the pressure to stay closed on questions that a neuron does not carry.
        layers: The planted layers.
        n_layers: Layers of the decoder. The last two read the answer out and hold nothing planted.
        d_mlp: Neurons of a layer.
        dropout: Share of the neurons left out of each question in training. The more are left
            out, the more neurons carry the same, and the less the loss of one shows.

    Raises:
        InputError: The blocks leave no free neuron in a layer, or a number is out of range.
    """

    knowledge: int = 10
    negative: int = 7
    rare: int = 2
    kin: int = 6
    recognition: int = 2
    style: int = 6
    style_strength: float = 1.0
    sparsity: float = 0.05
    layers: tuple[int, ...] = (1, 2)
    n_layers: int = 5
    d_mlp: int = 384
    dropout: float = 0.08

    def __post_init__(self) -> None:
        """Check that the plan fits."""
        check_fields(self, **dict.fromkeys((*PLANTED_KINDS, "n_layers", "d_mlp"), whole()))
        check_fields(self, style_strength=finite, sparsity=finite, dropout=finite)
        check_fields(self, layers=each(whole()))
        object.__setattr__(self, "layers", tuple(self.layers))
        counts = {kind: getattr(self, kind) for kind in PLANTED_KINDS}
        if min(counts.values()) < 1 or self.style_strength <= 0 or self.sparsity < 0:
            raise InputError(f"{self}: numbers of neurons and strengths must be above zero.")
        if not self.layers or sorted(set(self.layers)) != list(self.layers) or self.layers[0] < 1:
            raise InputError(f"layers={self.layers}: give rising layers from 1 on.")
        if self.layers[-1] > self.n_layers - 3:
            raise InputError(
                f"layers={self.layers}: the last two of {self.n_layers} layers read the answer "
                f"out; plant in layers 1 to {self.n_layers - 3}, or raise n_layers."
            )
        if not 0 <= self.dropout < 0.5:
            raise InputError(f"dropout={self.dropout}: must be at least 0 and below 0.5.")
        if self.n_planted + len(CULTURES) * self.style + 64 > self.d_mlp:
            raise InputError(
                f"{self}: {self.n_planted} planted neurons a layer and the decoys leave fewer than "
                f"64 of {self.d_mlp} free; plant fewer or raise d_mlp."
            )

    @property
    def n_planted(self) -> int:
        """Neurons per layer that carry something."""
        per_culture = self.knowledge + self.negative + 3 * self.rare + self.recognition
        return len(CULTURES) * per_culture + len(KIN) * self.kin


@dataclass(frozen=True)
class Block:
    """Neurons of one kind that carry the same, with the same indices in every planted layer.

    Attributes:
        kind: One of ``PLANTED_KINDS``.
        cultures: Indices of its cultures; two for kin.
        things: Indices of its objects.
        rows: Indices of its neurons in each layer.
    """

    kind: str
    cultures: tuple[int, ...]
    things: tuple[int, ...]
    rows: tuple[int, ...]


def make_plan(variant: Variant) -> tuple[Block, ...]:
    """Lay out the blocks of a variant.

    Example:
        >>> len(make_plan(Variant())), make_plan(Variant())[0].rows[-1]
        (58, 9)
    """
    everything = tuple(thing for part in range(4) for thing in category_of(0, part))
    wanted: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    for culture in range(len(CULTURES)):
        own = (culture,)
        wanted.append(("knowledge", own, category_of(culture, 0) + category_of(culture, 1)))
        wanted.append(("negative", own, category_of(culture, 2)))
        wanted.extend(("rare", own, (thing,)) for thing in category_of(culture, 3))
    wanted.extend(("kin", pair, category_of(pair[0], 0)) for pair in KIN)
    for kind in ("recognition", "style"):
        wanted.extend((kind, (c,), tuple(sorted(everything))) for c in range(len(CULTURES)))
    blocks, at = [], 0
    for kind, cultures, things in wanted:
        if kind == "style" and cultures == (0,):
            at = variant.d_mlp - len(CULTURES) * variant.style
        width = getattr(variant, kind)
        blocks.append(Block(kind, cultures, things, tuple(range(at, at + width))))
        at += width
    return tuple(blocks)


def rows_of(blocks: Sequence[Block], kinds: Sequence[str], culture: int | None = None) -> list[int]:
    """Give the indices of the neurons of some kinds, of all cultures or of one.

    Example:
        >>> len(rows_of(make_plan(Variant()), OWN, 3))
        23
    """
    return [
        row
        for block in blocks
        if block.kind in kinds and (culture is None or culture in block.cultures)
        for row in block.rows
    ]


def truth_of(variant: Variant) -> dict[str, Any]:
    """Give the truth as plain data: every block with its kind, cultures, objects and neurons.

    Example:
        >>> truth_of(Variant())["blocks"][0]["kind"]
        'knowledge'
    """
    blocks = [
        {
            "kind": block.kind,
            "cultures": [CULTURES[culture] for culture in block.cultures],
            "objects": [NAMES[thing] for thing in block.things],
            "neurons": list(block.rows),
        }
        for block in make_plan(variant)
    ]
    return {"kinds": PLANTED_KINDS, "layers": list(variant.layers), "blocks": blocks}
