"""Paths: at which activations the gradient of an objective F is taken.

    none                    s = n dF/dn
    integrated              s = mean over a of (n - b) dF/dn, every n moved to b + a (n - b)
    integrated_layerwise    the same with the activations of one layer after another
    inputs                  s = n * mean over a of dF/dn, where the inputs are scaled to a
    relp                    s = n * rho, rho by propagation rules instead of dF/dn; see ``relp``

n is a neuron's activation, b its baseline, and a runs over the midpoints of equal parts of [0, 1]
(integrated gradients, arXiv 1703.01365; of neurons scaled from 0, arXiv 2104.08696). At each point
activations are computed anew from the moved ones before them, and moved in their turn where they
are on the path: n is what the model gives there, and dF/dn is taken at the moved value.

The gradient at the model as it is misses what redundancy hides: where several neurons carry the
same answer, none of them changes F by much alone. Along the path they are weakened together.
Integrated gradients are complete: over all scored neurons and tokens they add up to
F(n) - F(b), layer by layer for each layer. ``gap`` and ``change`` in the metadata say how nearly.

``inputs`` scales what enters the first layer (of an encoder-decoder, of either stack) to a, and
moves no activation itself: n is that of the unmodified model. So EAP-IG does it between two
prompts (arXiv 2403.17806). It is not complete, and neither is ``relp``.

=======================  ==================================================================
baseline                 b
=======================  ==================================================================
zero                     0: what is explained is the effect of ablation to 0
others                   the neuron's mean over all tokens of the other cultures' items:
                         what is explained is the effect of the culture
=======================  ==================================================================

A backward takes about twice a forward. With L layers and k points, ``none`` and ``relp`` take one
forward and backward, ``integrated`` k, ``inputs`` k and a forward, ``integrated_layerwise`` k L,
whose backwards end at the layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from culture_lens.checks import check_fields, text, whole
from culture_lens.errors import InputError, unknown

if TYPE_CHECKING:
    PathName = Literal["none", "integrated", "integrated_layerwise", "inputs", "relp"]
    BaselineName = Literal["zero", "others"]
else:
    PathName = BaselineName = str  # a wrong name reaches the check that lists the right ones

PATHS: Mapping[str, str] = {
    "none": "the gradient at the model as it is",
    "integrated": "integrated gradients, all layers at once",
    "integrated_layerwise": "integrated gradients, one layer after another",
    "inputs": "gradients while the inputs are scaled",
    "relp": "propagation rules instead of gradients (RelP)",
}
BASELINES = ("zero", "others")
Place = tuple[str, int]


@dataclass(frozen=True)
class Path:
    """The points at which gradients are taken.

    Attributes:
        name: One of ``PATHS``.
        points: Number of points; 1 where there is no path.
        baseline: One of ``BASELINES``.

    Raises:
        InputError: An unknown name, or a path without points.

    Example:
        >>> Path("integrated", points=2).shares
        (0.25, 0.75)
    """

    name: PathName = "none"
    points: int = 6
    baseline: BaselineName = "zero"

    def __post_init__(self) -> None:
        """Check names and number."""
        check_fields(self, name=text, points=whole(), baseline=text)
        if self.name not in PATHS:
            raise unknown("path", self.name, PATHS)
        if self.baseline not in BASELINES:
            raise unknown("baseline", self.baseline, BASELINES)
        if self.points < 1:
            raise InputError(f"points={self.points}: a path needs at least one point.")
        if not self.moves and self.baseline != "zero":
            raise InputError(
                f"baseline={self.baseline!r} is where a path begins, and path={self.name!r} moves "
                "no activation: give path='integrated'."
            )

    @property
    def moves(self) -> bool:
        """Whether activations are moved along the path, which makes it complete."""
        return self.name.startswith("integrated")

    @property
    def single(self) -> bool:
        """Whether one backward is all, of the model as it is."""
        return self.name in ("none", "relp")

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares of the way from the baseline, one per point; of ``inputs``, of the inputs."""
        if self.single:
            return (1.0,)
        return tuple((point + 0.5) / self.points for point in range(self.points))

    def parts(self, places: Sequence[Place]) -> Iterator[list[Place]]:
        """Give the places that are scaled and scored together.

        Example:
            >>> list(Path("integrated_layerwise").parts([("gate", 0), ("act", 0), ("act", 1)]))
            [[('gate', 0), ('act', 0)], [('act', 1)]]
        """
        if self.name != "integrated_layerwise":
            yield list(places)
            return
        for layer in sorted({layer for _, layer in places}):
            yield [place for place in places if place[1] == layer]
