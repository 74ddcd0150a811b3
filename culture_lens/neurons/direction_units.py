r"""Directions as units: the projection on each direction is a unit like any neuron.

    encode    u_c = x . v_c / |v_c|             the projection on the direction of culture c
    change    x' = x + sum_c (u'_c - u_c) v_c / |v_c|

Ablating the unit of one culture projects its direction out. Units that are edited together are
changed one by one: where their directions are not orthogonal, x' keeps some of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import check_arguments, text
from culture_lens.errors import InputError
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import check_sites
from culture_lens.models.units import PREFIX
from culture_lens.neurons.directions import DIRECTIONS, Direction, Directions
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.storage.hashing import content_hash


@dataclass(frozen=True, eq=False)
class DirectionUnits:
    """Projections on directions as ``Units`` of a model.

    Attributes:
        read: The hook point whose activation is projected.
        layer: Its layer.
        rows: The directions at length 1, ``unit d``.
        content: A hash of them.
    """

    read: str
    layer: int
    rows: Float[Tensor, "unit d"] = field(repr=False)
    content: str

    @property
    def write(self) -> str:
        """The hook that an edit changes: the same."""
        return self.read

    @property
    def layers(self) -> tuple[int, ...]:
        """The one layer of the directions."""
        return (self.layer,)

    @property
    def width(self) -> int:
        """One unit per culture."""
        return len(self.rows)

    def encode(
        self, layer: int, activation: Float[Tensor, "batch pos d"]
    ) -> Float[Tensor, "batch pos unit"]:
        """Project an activation, in float32 or wider."""
        wide = activation.to(torch.promote_types(activation.dtype, torch.float32))
        return wide @ self.rows.to(wide).T

    def change(
        self,
        layer: int,
        activation: Float[Tensor, "batch pos d"],
        before: Float[Tensor, "batch pos unit"],
        after: Float[Tensor, "batch pos unit"],
    ) -> Float[Tensor, "batch pos d"]:
        """Give what is added to the activation where projections are edited."""
        return (after - before) @ self.rows.to(after)

    def outgoing(self, layer: int) -> Float[Tensor, "unit d"]:
        """Give what a projection of 1 adds: the direction at length 1."""
        return self.rows


@dataclass(frozen=True, eq=False)
class ConstantUnits(DirectionUnits):
    """Vectors as units that are always 1: ablating a unit subtracts its vector at every token."""

    def encode(
        self, layer: int, activation: Float[Tensor, "batch pos d"]
    ) -> Float[Tensor, "batch pos unit"]:
        """Give 1 at every token, in float32 or wider."""
        wide = torch.promote_types(activation.dtype, torch.float32)
        return activation.new_ones((*activation.shape[:-1], self.width), dtype=wide)


def vector_units(
    model: LensModel, vectors: Sequence[Direction], scales: Sequence[float] | None = None
) -> DirectionUnits:
    """Make units of directions at one place: each is projected out, or subtracted so many times.

    Args:
        model: The model.
        vectors: The directions, all at one site and layer.
        scales: How often each is subtracted where its unit is ablated; without them each is
            projected out.

    Example:
        ``model.with_units("direction", vector_units(model, [directions["Japan"]]))``
    """
    read, layer = model.hook_name(vectors[0].site, vectors[0].layer), vectors[0].layer
    kind: type[DirectionUnits] = DirectionUnits if scales is None else ConstantUnits
    if scales is None:
        rows = torch.stack([one.unit for one in vectors])
    else:
        pairs = zip(scales, vectors, strict=True)
        rows = torch.stack([scale * one.vector for scale, one in pairs])
    content = content_hash({"rows": rows}, {"read": read, "kind": kind.__name__})[:32]
    return kind(read, layer, rows, content)


@check_arguments(model=MODEL, directions=DIRECTIONS, site=text)
def with_directions(
    model: LensModel, directions: Directions, *, site: str = "direction"
) -> LensModel:
    """Give a model the projections on directions as a site, one unit per culture.

    They are then recorded, selected, ablated, attributed to, tested and kept in run folders as
    neurons are. The model is not changed: the one that is returned shares its weights.

    Args:
        model: The model.
        directions: What ``fit_directions`` gives, at the residual stream or a site of neurons.
        site: The site's name; of an encoder-decoder with its stack, ``"encoder.direction"``.

    Raises:
        InputError: The name is taken, or the directions are of another model, width or site.

    Example:
        ``ablation_matrix(with_directions(model, directions), direction_set(model, directions),
        questions)``
    """
    check_plain(model, directions)
    rows = torch.stack([directions[culture].unit for culture in directions])
    read = model.hook_name(directions.site, directions.layer)
    content = content_hash({"rows": rows}, {"read": read})[:32]
    return model.with_units(site, DirectionUnits(read, directions.layer, rows, content))


def check_plain(model: LensModel, directions: Directions) -> None:
    """Refuse directions that are no vectors of a model's plain activations.

    Raises:
        InputError: They are of another model, width or site.
    """
    directions.check_model(model)
    check_sites(directions.site, model.sites)
    read = model.hook_name(directions.site, directions.layer)
    width = len(next(iter(directions.directions.values())).vector)
    if read.startswith(PREFIX) or width != model.widths[directions.site]:
        raise InputError(
            f"directions of {width} elements at {directions.site!r} are no vectors of "
            f"{model.name!r} there: fit them on this model, at a site of plain activations."
        )


@check_arguments(model=MODEL, directions=DIRECTIONS, site=text)
def direction_set(
    model: LensModel, directions: Directions, *, site: str = "direction"
) -> NeuronSet:
    """Give each culture's direction as a set of one unit, for ``ablation_matrix`` and the rest.

    Args:
        model: The model of ``with_directions``.
        directions: The same directions.
        site: The site's name.

    Returns:
        The units, with the mean projections of the fit for ``value="mean"``.

    Raises:
        InputError: The model has no such site, or it holds other directions.

    Example:
        ``direction_set(with_directions(model, directions), directions)["Japan"]``
    """
    check_sites(site, model.sites)
    if model.widths[site] != len(directions) or directions.layer not in model.layers_of(site):
        raise InputError(f"site {site!r} of {model.name!r} holds other directions than these.")
    neurons = {}
    for place, culture in enumerate(directions):
        where = {site: torch.tensor([[directions.layer, place]])}
        mean = {site: torch.tensor([directions[culture].mean], dtype=torch.float64)}
        neurons[culture] = Neurons(where, means=mean)
    facts = {**directions.metadata, **model.units_facts([site]), "selector": "directions"}
    return NeuronSet(neurons, {site: model.shape(site)}, facts)


__all__ = ["DirectionUnits", "direction_set", "with_directions"]
