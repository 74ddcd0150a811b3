"""Which modules to train: ranked by the neurons of a culture that they hold (CULNIG, section 6).

CULNIG counts the culture-general neurons of each module, and trains only those with the most, or
only those with the fewest, up to about 10% of all parameters. In its published configuration a
module is a block of a layer:

=========  ==================  =================================================================
block      is trained          its count
=========  ==================  =================================================================
mlp        gate, up, down      neurons of the MLP: one found at gate, act, up or post is the same
                               neuron; CULNIG finds them at the gate
attention  q, k, v, o          neurons found at q, k and v, added, and at z where that is a site
=========  ==================  =================================================================

All blocks are in one ranking. A model without a gate has no ``up`` in its MLP. Of a fused
projection, such as GPT-2's ``c_attn``, the block has all outputs. In an encoder-decoder each layer
of a stack has its blocks, ``encoder.mlp`` and ``decoder.attention``, and the attention between the
stacks is one of its own, ``cross.attention``.

The published configuration writes the gate's count beside gate, up and down. How an attention
block is counted cannot be told from it: each one listed has 0. The sum is this package's reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from culture_lens.checks import any_names, check_arguments, optional, text
from culture_lens.errors import InputError, unknown
from culture_lens.finetune.modules import ModuleRanking, RankedModule, check_unit
from culture_lens.finetune.projections import (
    ATTENTION,
    BLOCK_OF,
    MLP,
    PROJECTION_OF,
    Projection,
    block_of,
    projection_of,
    projections_of,
)
from culture_lens.finetune.unwrap import skeleton
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import n_parameters
from culture_lens.models.sites import part_of
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.neurons import Neurons

MODULE_PARTS = {"all": MLP + ATTENTION, "mlp": MLP, "attention": ATTENTION}
ORDERS = ("number", "density")
Place = tuple[str, int]
"""The name of a module and its layer."""


@check_arguments(
    found=FOUND_SET,
    model=MODEL,
    culture=optional(text),
    by=text,
    unit=text,
    part=text,
    projections=any_names,
)
def rank_modules(
    found: NeuronSet,
    model: LensModel,
    *,
    culture: str | None = None,
    by: str = "number",
    unit: str = "block",
    part: str = "all",
    projections: Sequence[str] = (),
) -> ModuleRanking:
    """Rank modules by the neurons that they hold (CULNIG).

    Only modules in which neurons were searched are ranked: of neurons found at ``act`` alone, the
    MLPs. As single projections, a neuron at ``act`` or ``gate`` belongs to the gate, one at
    ``post`` to the down projection and one at ``z`` to the output projection, which read it. Ties
    go to the other measure, then to the lower layer.

    Args:
        found: Neurons, such as those of ``culnig-general``.
        model: The model that they were found on.
        culture: Only this culture's neurons; those of all together if left out.
        by: ``"number"`` of neurons, or ``"density"``, their share of the module's.
        unit: ``"block"``, the projections of a layer's MLP or attention together, as CULNIG has
            it, or ``"projection"``, each by itself.
        part: ``"all"``, ``"mlp"`` or ``"attention"``.
        projections: With ``unit="projection"``, the projections to rank, such as ``("gate", "up",
            "down")``; those that the neurons' sites belong to if none are given. Others hold no
            neurons and come last.

    Raises:
        InputError: Neurons of another model, an unknown order, unit, part or projection,
            projections named for blocks, or none left.

    Example:
        ``rank_modules(found, model, part="mlp").to_pandas()``
    """
    check_order(by, unit, part, projections)
    found.check_model(model)
    bare = skeleton(model)
    known = projections_of(model, bare)
    for name in projections:
        if name not in {one for one, _ in known}:
            raise unknown("projection of this model", name, dict.fromkeys(one for one, _ in known))
    searched = {projection_of(site) for site in found.shapes}
    wanted = {name for name in projections or searched if part_of(name) in MODULE_PARTS[part]}
    counts = counted(found.union() if culture is None else found[culture], unit)
    ranked = [
        RankedModule(place[0], held, counts.get(place, 0), neurons_in(held, searched))
        for place, held in grouped(known, unit).items()
        if any(projection.name in wanted for projection in held)
    ]
    if not ranked:
        raise InputError(
            f"none of the projections {', '.join(sorted(projections or searched))} is in the part "
            f"{part!r}: give unit='projection' with projections=, or neurons of sites that are."
        )
    first, second = ("neurons", "density") if by == "number" else ("density", "neurons")
    # Stable sorts: in a layer, ties stay in the order of the model.
    ranked.sort(key=lambda module: module.layer)
    ranked.sort(key=lambda module: (getattr(module, first), getattr(module, second)), reverse=True)
    return ModuleRanking(tuple(ranked), by, unit, n_parameters(bare), model.name)


def check_order(by: str, unit: str, part: str, projections: Sequence[str]) -> None:
    """Refuse an unknown order, unit or part, and projections named for blocks.

    Raises:
        InputError: Names what is known.
    """
    if by not in ORDERS:
        raise InputError(f"by={by!r}: use 'number' or 'density'.")
    check_unit(unit)
    if projections and unit == "block":
        raise InputError("projections= names single projections: give unit='projection' too.")
    if part not in MODULE_PARTS:
        raise unknown("part of a layer", part, MODULE_PARTS)


def grouped(known: Mapping[Place, Projection], unit: str) -> dict[Place, tuple[Projection, ...]]:
    """Group projections into modules, layer by layer."""
    modules: dict[Place, tuple[Projection, ...]] = {}
    for (name, layer), projection in known.items():
        place = (block_of(name) if unit == "block" else name, layer)
        modules[place] = (*modules.get(place, ()), projection)
    return modules


def counted(neurons: Neurons, unit: str) -> dict[Place, int]:
    """Count neurons per module; one at several sites of an MLP block, or at act and gate, once."""
    held: dict[Place, set[tuple[str, int]]] = {}
    for site, layer, index in neurons.members():
        projection = projection_of(site)
        name = block_of(projection) if unit == "block" else projection
        kind = name if is_mlp(projection) else projection
        held.setdefault((name, layer), set()).add((kind, index))
    return {place: len(members) for place, members in held.items()}


def neurons_in(held: Sequence[Projection], searched: Iterable[str]) -> int:
    """Give how many neurons a module has, an attention block at the sites that were searched."""
    if len(held) == 1 or is_mlp(held[0].name):  # in an MLP every projection has all its neurons
        return neurons_of(held[0])
    return sum(neurons_of(projection) for projection in held if projection.name in searched)


def neurons_of(projection: Projection) -> int:
    """Give how many neurons a projection makes, or reads where those are its neurons."""
    reads = part_of(projection.name) in (PROJECTION_OF["post"], PROJECTION_OF["z"])
    return projection.inputs if reads else projection.width


def is_mlp(projection: str) -> bool:
    """Tell whether a projection belongs to an MLP.

    Example:
        >>> is_mlp("encoder.up"), is_mlp("cross.k")
        (True, False)
    """
    return BLOCK_OF[part_of(projection)] == "mlp"
