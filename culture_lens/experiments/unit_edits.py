"""Units of one kind, the best first, as edits of any size; and random ones of the same kind.

Random units are the same ranking with the indices of each layer permuted: the first n lie in the
same layers as the first n that were found. A random direction is Gaussian, at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from culture_lens.checks import refused, text
from culture_lens.errors import InputError, unknown
from culture_lens.evaluation.scoring import Scoring
from culture_lens.experiments.edited_answers import random_like
from culture_lens.find import sources_of
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.models.transformer_lens import HookList
from culture_lens.neurons.direction_hooks import addition_hooks, removal_hooks
from culture_lens.neurons.direction_units import check_plain
from culture_lens.neurons.directions import Direction, Directions
from culture_lens.neurons.hooks import ablation_hooks
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.running import Running
from culture_lens.questions.question import Question
from culture_lens.selectors.random import generator
from culture_lens.selectors.ranking import RANKINGS, get_ranking, order_of
from culture_lens.selectors.registry import key_of, reads
from culture_lens.storage.hashing import content_hash

if TYPE_CHECKING:
    UnitKind = tuple[str, str] | NeuronSet | Directions
else:
    UnitKind = Any  # a wrong kind reaches the check that says the right ones

KIND = "(site, selector) such as ('act', 'conact'), a NeuronSet, or Directions"
Place = tuple[str, int, int]


@dataclass(frozen=True, eq=False)
class RankedUnits:
    """Units of one culture, the best first; the first few are ablated.

    Attributes:
        sites: Their sites.
        order: Of each unit the number of its site, the layer and the index.

    Example:
        >>> RankedUnits.of([("act", 1, 3), ("act", 0, 2)]).first(1).members()
        {('act', 1, 3)}
    """

    sites: tuple[str, ...]
    order: Int[Tensor, "unit 3"] = field(repr=False)

    @classmethod
    def of(cls, members: Sequence[Place]) -> RankedUnits:
        """Order units that are given one by one."""
        sites = tuple(dict.fromkeys(site for site, _, _ in members))
        rows = [(sites.index(site), layer, index) for site, layer, index in members]
        return cls(sites, torch.tensor(rows, dtype=torch.int64).reshape(-1, 3))

    def __len__(self) -> int:
        """Count the units."""
        return len(self.order)

    @property
    def content(self) -> str:
        """A hash of the order."""
        return content_hash({"order": self.order}, {"sites": self.sites})[:32]

    def members(self, number: int) -> list[Place]:
        """List the first units."""
        rows = self.order[:number].tolist()
        return [(self.sites[site], layer, index) for site, layer, index in rows]

    def first(self, number: int) -> Neurons:
        """Give the first units."""
        places: dict[str, list[tuple[int, int]]] = {}
        for site, layer, index in self.members(number):
            places.setdefault(site, []).append((layer, index))
        return Neurons.of(places)

    def hooks(self, model: LensModel, number: int) -> HookList:
        """Give the hooks that ablate the first units."""
        return ablation_hooks(model, self.first(number))


@dataclass(frozen=True, eq=False)
class ScaledDirection:
    """The direction of one culture: projected out, or subtracted so many times."""

    direction: Direction

    @property
    def content(self) -> str:
        """A hash of the direction and its place."""
        place = {"site": self.direction.site, "layer": self.direction.layer}
        return content_hash({"vector": self.direction.vector}, place)[:32]

    def hooks(self, model: LensModel, scale: float | None = None) -> HookList:
        """Give the hooks that subtract it so many times; without a scale, project it out."""
        if scale is None:
            return removal_hooks(model, self.direction)
        return addition_hooks(model, self.direction, -scale)


Edits = dict[str, RankedUnits] | dict[str, ScaledDirection]
"""Culture -> its units or its direction."""


def unit_kind(name: str, value: Any) -> UnitKind:
    """Check for a kind of units.

    Raises:
        InputError: It is none, or its selector cannot rank units of any site.
    """
    if isinstance(value, (NeuronSet, Directions)):
        return value
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise refused(name, value, KIND)
    site, selector = text("site", value[0]), key_of(text("selector", value[1]))
    known = [one for one in RANKINGS if reads(one) in ("activations", "knowledge")]
    known.remove("random")  # random units stand beside every kind
    if selector not in known:
        raise unknown("selector of units", value[1], known)
    return site, selector


def check_kind(model: LensModel, name: str, kind: UnitKind, k: int) -> None:
    """Check that a model has the units, and enough of them.

    Raises:
        InputError: No such site, fewer units than k, or units of another model.
    """
    if isinstance(kind, Directions):
        check_plain(model, kind)
    elif isinstance(kind, NeuronSet):
        kind.check_model(model)
    else:
        check_sites(kind[0], model.sites)
        held = len(model.layers_of(kind[0])) * model.widths[kind[0]]
        if k > held:
            raise InputError(f"{name}: k={k}, and {kind[0]!r} has {held} units: choose fewer.")


def ranked_kind(
    model: LensModel,
    identify: Sequence[Question],
    kind: UnitKind,
    cultures: Sequence[str],
    scoring: Scoring,
    running: Running,
) -> Edits:
    """Rank the units of a kind for every culture; records what its selector reads."""
    if isinstance(kind, Directions):
        return {culture: ScaledDirection(kind[culture]) for culture in cultures}
    if isinstance(kind, NeuronSet):
        return {culture: RankedUnits.of(best_first(kind[culture])) for culture in cultures}
    site, selector = kind
    shared = {"sites": site, "scoring": scoring.name, **vars(running)}
    if reads(selector) == "knowledge":
        read_by = "letter" if scoring.style == "choices" else "option_likelihood"
        sources = sources_of(model, identify, knowledge={**shared, "scoring": read_by})
    else:
        sources = sources_of(model, identify, activation=shared)
    scores = get_ranking(selector)(sources)
    return {culture: RankedUnits(*order_of(scores, culture)) for culture in cultures}


def best_first(neurons: Neurons) -> tuple[Place, ...]:
    """List neurons by score, the highest first; those without scores by place."""
    table = neurons.to_pandas().sort_values("score", ascending=False, kind="stable")
    columns = (table["site"], table["layer"], table["index"])
    return tuple((s, int(layer), int(i)) for s, layer, i in zip(*columns, strict=True))


def random_kind(model: LensModel, kind: UnitKind, edits: Edits, seed: int) -> Edits:
    """Draw random units in the same layers, or random directions, for every culture."""
    if isinstance(kind, Directions):
        drawn = random_like(kind, seed)
        return {culture: ScaledDirection(drawn[culture]) for culture in edits}
    return {
        culture: permuted(own, model, seed, culture)
        for culture, own in edits.items()
        if isinstance(own, RankedUnits)
    }


def permuted(own: RankedUnits, model: LensModel, seed: int, culture: str) -> RankedUnits:
    """Permute the indices of units within each site and layer, the order of layers kept."""
    order = own.order.clone()
    for place in torch.unique(order[:, :2], dim=0):
        site, layer = own.sites[int(place[0])], int(place[1])
        source = generator(seed, "units", f"{site}.{layer}", culture)
        here = (order[:, :2] == place).all(1)
        drawn = torch.randperm(model.widths[site], generator=source)
        order[here, 2] = drawn[order[here, 2]]
    return RankedUnits(own.sites, order)


__all__ = ["RankedUnits", "ScaledDirection", "check_kind", "random_kind", "ranked_kind"]
