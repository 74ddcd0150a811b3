"""Direction and Directions: one vector per culture at a layer, as ``fit_directions`` gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import (
    any_text,
    check_arguments,
    check_fields,
    file_path,
    finite,
    instance,
    labels,
    mapping,
    whole,
)
from culture_lens.errors import InputError, unknown, warn
from culture_lens.models.checks import MODEL
from culture_lens.statistics.estimates import Estimate
from culture_lens.storage.display import Shown, some
from culture_lens.storage.files import load_tensors, save_tensors
from culture_lens.storage.reading import content_of

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.models.lens_model import LensModel

KIND = "directions"


@dataclass(frozen=True, eq=False, repr=False)
class Direction(Shown):
    """A vector at a site and layer.

    Attributes:
        name: Whose direction it is: a culture, or a name of your own.
        site: The site: ``"resid"``, the residual stream after the layer, or a site of neurons.
        layer: The layer, counted from 0.
        vector: The vector, in units of the activation.
        mean: The mean projection of activations on the unit vector, to which
            ``direction_removed(..., value="mean")`` sets it.

    Raises:
        InputError: The vector is not one row of finite numbers, or is 0.

    Example:
        >>> Direction("Japan", "resid", 3, torch.tensor([3.0, 4.0])).norm
        5.0
    """

    name: str
    site: str
    layer: int
    vector: Float[Tensor, " width"]
    mean: float = 0.0

    def __post_init__(self) -> None:
        """Check the vector."""
        check_fields(
            self,
            "Direction.",
            name=any_text,
            site=any_text,
            layer=whole(0),
            vector=instance(Tensor, remedy="a tensor of one row"),
            mean=finite,
        )
        vector = self.vector
        if vector.ndim != 1 or not torch.isfinite(vector).all() or not vector.any():
            raise InputError(
                f"the direction of {self.name!r} must be one row of finite numbers that are not "
                f"all 0, not a tensor of shape {tuple(vector.shape)}: give the difference of two "
                "means that differ."
            )
        object.__setattr__(self, "vector", vector.detach().double().cpu())

    @property
    def norm(self) -> float:
        """The length of the vector."""
        return float(self.vector.norm())

    @property
    def unit(self) -> Float[Tensor, " width"]:
        """The vector at length 1."""
        unit: Tensor = self.vector / self.vector.norm()
        return unit

    def _headline(self) -> str:
        return f"Direction {self.name}: {self.site}, layer {self.layer}, norm {self.norm:.4g}"


@dataclass(frozen=True, eq=False, repr=False)
class Directions(Shown):
    """Culture -> Direction, all at one site and layer, with how well two halves agree on each.

    Attributes:
        directions: The direction of each culture.
        agreement: For each culture, the cosine between the directions of two halves of the
            question groups, with its interval; see ``fit_directions``.
        metadata: Model, benchmark, contrast, tokens read, number of questions, and the questions
            that were looked at, as in ``NeuronSet``.

    Raises:
        InputError: No direction, directions at different places, or agreement of other cultures.

    Example:
        ``directions["Japan"]``, ``directions.cosines()``, ``directions.save("resid-12")``
    """

    directions: Mapping[str, Direction]
    agreement: Mapping[str, Estimate] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the directions can stand beside one another."""
        check_fields(
            self,
            "Directions.",
            directions=mapping(Direction, "{culture: direction}"),
            agreement=mapping(Estimate, "{culture: estimate}"),
            metadata=instance(Mapping, remedy="a mapping, such as a dict"),
        )
        places = {(one.site, one.layer, len(one.vector)) for one in self.directions.values()}
        if len(places) != 1:
            raise InputError(
                "directions must be at one site and layer, "
                + (f"these are at {sorted(places)}." if places else "and there is none of them.")
            )
        for culture in self.agreement:
            if culture not in self.directions:
                raise unknown("culture", culture, self.directions)

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures, in order."""
        return tuple(self.directions)

    @property
    def site(self) -> str:
        """The site of all of them."""
        return next(iter(self.directions.values())).site

    @property
    def layer(self) -> int:
        """The layer of all of them."""
        return next(iter(self.directions.values())).layer

    def __getitem__(self, culture: str) -> Direction:
        """Give one culture's direction.

        Raises:
            InputError: No such culture.
        """
        if not isinstance(culture, str) or culture not in self.directions:
            raise unknown("culture", culture, self.directions)
        return self.directions[culture]

    def __iter__(self) -> Iterator[str]:
        """Go through the cultures."""
        return iter(self.directions)

    def __len__(self) -> int:
        """Count the cultures."""
        return len(self.directions)

    def cosines(self) -> pd.DataFrame:
        """Give the cosine between every two cultures' directions, a square table."""
        import pandas as pd

        units = torch.stack([one.unit for one in self.directions.values()])
        names = list(self.cultures)
        return pd.DataFrame((units @ units.T).numpy(), index=names, columns=names)

    def to_pandas(self) -> pd.DataFrame:
        """List the directions: culture, site, layer, norm, agreement with its interval."""
        import pandas as pd

        rows = []
        for culture, one in self.directions.items():
            row = {"culture": culture, "site": one.site, "layer": one.layer, "norm": one.norm}
            agreement = self.agreement.get(culture)
            if agreement is not None:
                ends = {"agreement_low": agreement.low, "agreement_high": agreement.high}
                row |= {"agreement": agreement.value, **ends}
            rows.append(row)
        return pd.DataFrame(rows)

    def _headline(self) -> str:
        return (
            f"Directions at {self.site}, layer {self.layer}, "
            f"{self.metadata.get('contrast', 'of no recorded contrast')}: {some(self.cultures)}"
        )

    def _facts(self) -> Mapping[str, Any]:
        told = {name: self.metadata.get(name) for name in ("model", "benchmark", "position")}
        return {name: value for name, value in told.items() if value}

    def _overview(self) -> pd.DataFrame:
        return self.to_pandas().set_index("culture")

    @check_arguments(model=MODEL)
    def check_model(self, model: LensModel) -> None:
        """Refuse a model that these directions were not fitted on; warn of other weights.

        Raises:
            InputError: Another model's name.
        """
        name, weights = self.metadata.get("model"), self.metadata.get("weights")
        if name and name != model.name:
            raise InputError(
                f"these directions were fitted on {name!r}, not on {model.name!r}: load that "
                "model, or fit them again."
            )
        if weights and weights != model.fingerprint:
            warn(
                f"the weights of {model.name!r} differ from those that the directions were fitted "
                "on: another dtype or revision, or a model that was trained further."
            )

    @check_arguments(path=file_path)
    def save(self, path: str | Path) -> Path:
        """Write vectors and metadata as safetensors with a content hash.

        Example:
            ``Directions.load(directions.save("resid-12.safetensors"))``
        """
        vectors = torch.stack([one.vector for one in self.directions.values()])
        metadata = {
            "cultures": list(self.cultures),
            "site": self.site,
            "layer": self.layer,
            "means": [one.mean for one in self.directions.values()],
            "agreement": {c: [e.value, e.low, e.high] for c, e in self.agreement.items()},
            "metadata": {"date": date.today().isoformat(), **self.metadata},
        }
        return save_tensors(path, KIND, {"vectors": vectors}, metadata)

    @classmethod
    @check_arguments(path=file_path)
    def load(cls, path: str | Path) -> Directions:
        """Read what ``save`` wrote.

        Raises:
            InputError: The file is missing, damaged or of another kind.
        """
        tensors, header = load_tensors(path, KIND)
        with content_of(path, "directions"):
            cultures = labels("cultures", header["cultures"])
            rows = zip(cultures, tensors["vectors"], header["means"], strict=True)
            held = {
                culture: Direction(culture, header["site"], header["layer"], vector, mean)
                for culture, vector, mean in rows
            }
            agreement = {c: Estimate(*map(float, e)) for c, e in header["agreement"].items()}
            return cls(held, agreement, header["metadata"])


DIRECTION = instance(Direction, remedy='one culture\'s direction, such as directions["Japan"]')
"""The check of an argument that takes one direction."""
DIRECTIONS = instance(Directions, remedy="the Directions that fit_directions gives")
"""The check of an argument that takes fitted directions."""
