"""Modules to train: blocks of layers or single projections, in order, and a choice of them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from culture_lens.checks import SEED, check_arguments, instance, real, text
from culture_lens.errors import InputError
from culture_lens.finetune.projections import (
    Projection,
)
from culture_lens.storage.display import Shown, one_line

if TYPE_CHECKING:
    import pandas as pd

UNITS = ("block", "projection")
WHICH = ("top", "bottom", "random")
PARAMETER_SHARE = 0.10
"""The share of all parameters that CULNIG trains, about."""


@dataclass(frozen=True, repr=False)
class RankedModule(Shown):
    """A block of a layer, or a single projection, with the number of found neurons that it holds.

    Attributes:
        name: ``"mlp"`` or ``"attention"``, or a projection such as ``"gate"``; behind the stack of
            an encoder-decoder.
        projections: What is trained, all in one layer.
        neurons: How many of the found neurons it holds.
        width: How many neurons it has at the sites that were searched.
    """

    name: str
    projections: tuple[Projection, ...]
    neurons: int
    width: int

    def __repr__(self) -> str:
        """Name the module, and count its neurons."""
        return one_line(self, "name", "layer", "neurons", "width")

    @property
    def layer(self) -> int:
        """Its layer."""
        return self.projections[0].layer

    @property
    def parameters(self) -> int:
        """Its weights and biases."""
        return sum(projection.parameters for projection in self.projections)

    @property
    def density(self) -> float:
        """Share of its neurons that were found."""
        return self.neurons / self.width

    @property
    def path(self) -> str:
        """Where it is in the plain Hugging Face model; of a block, what its projections are in."""
        path = self.projections[0].path
        return path if len(self.projections) == 1 else path.rpartition(".")[0]


@dataclass(frozen=True, repr=False)
class ModuleRanking(Shown):
    """Modules in order, those with the most neurons first.

    Attributes:
        modules: The modules.
        by: ``"number"`` or ``"density"``.
        unit: ``"block"`` or ``"projection"``.
        total: Parameters of the whole model.
        model: Its name.

    Example:
        ``rank_modules(found, model).to_pandas().head()``
    """

    modules: tuple[RankedModule, ...]
    by: str
    unit: str
    total: int
    model: str

    def _headline(self) -> str:
        return f"{type(self).__name__}: {len(self.modules)} modules of {self.model}"

    def _facts(self) -> dict[str, object]:
        return {"by": self.by, "unit": self.unit, "parameters": self.total}

    def to_pandas(self) -> pd.DataFrame:
        """List the modules: block or projection, layer, neurons, density, parameters, share."""
        return as_table(self.modules, self.unit, self.total)


@dataclass(frozen=True, repr=False)
class ModuleChoice(Shown):
    """Modules to train.

    Attributes:
        modules: In the order in which they were chosen.
        which: ``"top"``, ``"bottom"`` or ``"random"``.
        unit: ``"block"`` or ``"projection"``.
        parameter_share: At most this share of the model's parameters was asked for.
        seed: Of a random choice.
        total: Parameters of the whole model.
        model: Its name.
    """

    modules: tuple[RankedModule, ...]
    which: str
    unit: str
    parameter_share: float
    seed: int
    total: int
    model: str

    @property
    def parameters(self) -> int:
        """Number of parameters of all modules."""
        return sum(module.parameters for module in self.modules)

    @property
    def share(self) -> float:
        """Their share of the model's parameters."""
        return self.parameters / self.total

    def _headline(self) -> str:
        return f"{type(self).__name__}: {len(self.modules)} modules of {self.model}"

    def _facts(self) -> dict[str, object]:
        names = [f"{module.name} {module.layer}" for module in self.modules]
        return {"which": self.which, "share": self.share, "modules": names}

    def to_pandas(self) -> pd.DataFrame:
        """List the modules."""
        return as_table(self.modules, self.unit, self.total)


def as_table(modules: Sequence[RankedModule], unit: str, total: int) -> pd.DataFrame:
    """List modules, one per row; the first column is named by the unit."""
    import pandas as pd

    rows = [
        {
            unit: module.name,
            "layer": module.layer,
            "neurons": module.neurons,
            "density": module.density,
            "parameters": module.parameters,
            "share": module.parameters / total,
            "module": module.path,
        }
        for module in modules
    ]
    columns = [unit, "layer", "neurons", "density", "parameters", "share", "module"]
    return pd.DataFrame(rows, columns=columns)


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
        order.sort(key=lambda module: (module.name, module.layer))
        random.Random(f"modules/{seed}").shuffle(order)
    room = parameter_share * ranking.total
    taken: list[RankedModule] = []
    for module in order:
        room -= module.parameters
        if room < 0:
            break
        taken.append(module)
    if not taken:
        first = order[0]
        # Rounded up, so that the share named is enough.
        least = math.ceil(1000 * first.parameters / ranking.total) / 1000
        raise InputError(
            f"no module fits a share of {parameter_share:.3g}: {first.name} of layer {first.layer} "
            f"has {first.parameters} of {ranking.total} parameters; ask for at least {least:.3f}"
            + (", or rank with unit='projection'." if ranking.unit == "block" else ".")
        )
    return ModuleChoice(
        tuple(taken),
        which,
        ranking.unit,
        parameter_share,
        seed,
        ranking.total,
        ranking.model,
    )


def check_unit(unit: str) -> None:
    """Refuse another unit than blocks or projections.

    Raises:
        InputError: Names the two.
    """
    if unit not in UNITS:
        raise InputError(f"unit={unit!r}: use 'block' or 'projection'.")
