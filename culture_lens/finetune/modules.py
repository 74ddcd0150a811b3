"""Which modules to train: ranked by the neurons of a culture that they hold (CULNIG, section 6).

A module is a projection of a layer, such as the gate of layer 3. CULNIG counts the
culture-general neurons of each, and trains only those with the most, or only those with the
fewest, up to about 10% of all parameters.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from culture_lens.checks import SEED, any_names, check_arguments, instance, optional, real, text
from culture_lens.errors import InputError, unknown
from culture_lens.finetune.projections import (
    ATTENTION,
    MLP,
    PROJECTION_OF,
    Projection,
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

if TYPE_CHECKING:
    import pandas as pd

MODULE_PARTS = {"all": MLP + ATTENTION, "mlp": MLP, "attention": ATTENTION}
ORDERS = ("number", "density")
WHICH = ("top", "bottom", "random")
PARAMETER_SHARE = 0.10
"""The share of all parameters that CULNIG trains."""


@dataclass(frozen=True)
class RankedModule:
    """A projection of a layer with the number of found neurons that it holds.

    Attributes:
        projection: Where it is and how large.
        neurons: How many of the found neurons it holds.
        width: How many neurons it has.
    """

    projection: Projection
    neurons: int
    width: int

    @property
    def density(self) -> float:
        """Share of its neurons that were found."""
        return self.neurons / self.width


@dataclass(frozen=True)
class ModuleRanking:
    """Modules in order, those with the most neurons first.

    Attributes:
        modules: The modules.
        by: ``"number"`` or ``"density"``.
        total: Parameters of the whole model.
        model: Its name.

    Example:
        ``rank_modules(found, model).to_pandas().head()``
    """

    modules: tuple[RankedModule, ...]
    by: str
    total: int
    model: str

    def to_pandas(self) -> pd.DataFrame:
        """List the modules: projection, layer, neurons, density, parameters and their share."""
        return as_table(self.modules, self.total)


@dataclass(frozen=True)
class ModuleChoice:
    """Modules to train.

    Attributes:
        modules: In the order in which they were chosen.
        which: ``"top"``, ``"bottom"`` or ``"random"``.
        parameter_share: At most this share of the model's parameters was asked for.
        seed: Of a random choice.
        total: Parameters of the whole model.
        model: Its name.
    """

    modules: tuple[RankedModule, ...]
    which: str
    parameter_share: float
    seed: int
    total: int
    model: str

    @property
    def parameters(self) -> int:
        """Number of parameters of all modules."""
        return sum(module.projection.parameters for module in self.modules)

    @property
    def share(self) -> float:
        """Their share of the model's parameters."""
        return self.parameters / self.total

    def to_pandas(self) -> pd.DataFrame:
        """List the modules."""
        return as_table(self.modules, self.total)


def as_table(modules: Sequence[RankedModule], total: int) -> pd.DataFrame:
    """List modules, one per row."""
    import pandas as pd

    rows = [
        {
            "projection": module.projection.name,
            "layer": module.projection.layer,
            "neurons": module.neurons,
            "density": module.density,
            "parameters": module.projection.parameters,
            "share": module.projection.parameters / total,
            "module": module.projection.path,
        }
        for module in modules
    ]
    columns = ["projection", "layer", "neurons", "density", "parameters", "share", "module"]
    return pd.DataFrame(rows, columns=columns)


@check_arguments(
    found=FOUND_SET,
    model=MODEL,
    culture=optional(text),
    by=text,
    part=text,
    projections=any_names,
)
def rank_modules(
    found: NeuronSet,
    model: LensModel,
    *,
    culture: str | None = None,
    by: str = "number",
    part: str = "all",
    projections: Sequence[str] = (),
) -> ModuleRanking:
    """Rank modules by the neurons that they hold (CULNIG).

    A neuron at ``act`` or ``gate`` belongs to the gate, one at ``post`` to the down projection
    and one at ``z`` to the output projection, which read it. Ties go to the other measure, then
    to the lower layer.

    Args:
        found: Neurons, such as those of ``culnig-general``.
        model: The model that they were found on.
        culture: Only this culture's neurons; those of all together if left out.
        by: ``"number"`` of neurons, or ``"density"``, their share of the module's.
        part: ``"all"``, ``"mlp"`` or ``"attention"``.
        projections: The projections to rank, such as ``("gate", "up", "down")``; those that the
            neurons' sites belong to if none are given. Others hold no neurons and come last.

    Raises:
        InputError: Neurons of another model, an unknown order, part or projection, or none left.

    Example:
        ``rank_modules(found, model, part="mlp").to_pandas()``
    """
    found.check_model(model)
    if by not in ORDERS:
        raise InputError(f"by={by!r}: use 'number' or 'density'.")
    if part not in MODULE_PARTS:
        raise unknown("part of a layer", part, MODULE_PARTS)
    bare = skeleton(model)
    known = projections_of(model, bare)
    names = list(dict.fromkeys(name for name, _ in known))
    for name in projections:
        if name not in names:
            raise unknown("projection of this model", name, names)
    asked = set(projections) or {projection_of(site) for site in found.shapes}
    counts = counted(found.union() if culture is None else found[culture])
    ranked = [
        RankedModule(projection, counts.get(place, 0), neurons_in(projection))
        for place, projection in known.items()
        if place[0] in asked and part_of(place[0]) in MODULE_PARTS[part]
    ]
    if not ranked:
        raise InputError(
            f"none of the projections {', '.join(sorted(asked))} is in the part {part!r}: give "
            "projections=, or neurons of sites that are."
        )
    first, second = ("neurons", "density") if by == "number" else ("density", "neurons")
    order = {name: position for position, name in enumerate(names)}

    def place_of(module: RankedModule) -> tuple[float, float, int, int]:
        where = module.projection
        most, then = float(getattr(module, first)), float(getattr(module, second))
        return (-most, -then, where.layer, order[where.name])

    ranked.sort(key=place_of)
    return ModuleRanking(tuple(ranked), by, n_parameters(bare), model.name)


def counted(neurons: Neurons) -> dict[tuple[str, int], int]:
    """Count neurons per projection and layer; one at act and at gate counts once."""
    held: dict[tuple[str, int], set[int]] = {}
    for site, layer, index in neurons.members():
        held.setdefault((projection_of(site), layer), set()).add(index)
    return {place: len(indices) for place, indices in held.items()}


def neurons_in(projection: Projection) -> int:
    """Give how many neurons a projection makes, or reads where those are its neurons."""
    reads = part_of(projection.name) in (PROJECTION_OF["post"], PROJECTION_OF["z"])
    return projection.inputs if reads else projection.width


@check_arguments(
    ranking=instance(ModuleRanking, remedy="what rank_modules gives"),
    which=text,
    parameter_share=real,
    seed=SEED,
)
def choose_modules(
    ranking: ModuleRanking,
    which: str = "top",
    *,
    parameter_share: float = PARAMETER_SHARE,
    seed: int = 0,
) -> ModuleChoice:
    """Take modules from the top, from the bottom or by chance, up to a share of all parameters.

    Modules are taken in order until the next one would exceed the share.

    Args:
        ranking: What ``rank_modules`` gave.
        which: ``"top"``, ``"bottom"`` or ``"random"``.
        parameter_share: At most this share of the model's parameters, above 0 and up to 1;
            CULNIG takes about 0.10.
        seed: Draws a random choice.

    Raises:
        InputError: An unknown way to choose, a share out of range, or one that the first module
            already exceeds.

    Example:
        ``choose_modules(rank_modules(found, model), "bottom").share``
    """
    if which not in WHICH:
        raise InputError(f"which={which!r}: use 'top', 'bottom' or 'random'.")
    if not 0 < parameter_share <= 1:
        raise InputError(
            f"parameter_share={parameter_share}: a share of the model's parameters above 0 and at "
            "most 1, such as 0.10."
        )
    order = list(ranking.modules)
    if which == "bottom":
        order.reverse()
    elif which == "random":
        order.sort(key=lambda module: (module.projection.name, module.projection.layer))
        random.Random(f"modules/{seed}").shuffle(order)
    room = parameter_share * ranking.total
    taken: list[RankedModule] = []
    for module in order:
        room -= module.projection.parameters
        if room < 0:
            break
        taken.append(module)
    if not taken:
        first = order[0].projection
        raise InputError(
            f"no module fits a share of {parameter_share:.3g}: {first.name} of layer {first.layer} "
            f"has {first.parameters} of {ranking.total} parameters; ask for at least "
            f"{first.parameters / ranking.total:.3g}."
        )
    return ModuleChoice(tuple(taken), which, parameter_share, seed, ranking.total, ranking.model)
