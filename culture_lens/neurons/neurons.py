"""Neurons: the (site, layer, index) of each neuron of one culture, with scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.checks import (
    check_arguments,
    check_fields,
    each,
    instance,
    mapping,
    refused,
    whole,
)
from culture_lens.errors import InputError
from culture_lens.neurons.hooks import HookList, Value, ablation_hooks
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd

Shape = tuple[int, int]
"""Layers and neurons per layer at a site."""
MOST = 2**31
"""Layers and indices are below this, so that a place can be one number of 64 bits."""
COUNT = whole(0, MOST - 1)


def pair(name: str, value: Any) -> tuple[int, int]:
    """Check for two whole numbers, not negative: layer and index, or layers and width.

    Example:
        >>> pair("place", [0, 3])
        (0, 3)
    """
    if isinstance(value, (str, Mapping)) or not hasattr(value, "__len__") or len(value) != 2:
        raise refused(name, value, "a pair of whole numbers, such as (layer, index)")
    first, second = value
    return COUNT(name, first), COUNT(name, second)


def place_list(name: str, value: Any) -> Int[Tensor, "neuron 2"]:
    """Check for a tensor of layers and indices in which no neuron occurs twice."""
    instance(Tensor, remedy="a tensor of (layer, index); see Neurons.of")(name, value)
    if value.ndim != 2 or value.shape[1] != 2 or value.dtype not in (torch.int64, torch.int32):
        raise InputError(
            f"{name} has the shape {tuple(value.shape)} and dtype {value.dtype}: give whole "
            "numbers, neuron x 2, a layer and an index for each neuron."
        )
    places: Tensor = value.long()
    if len(places) and (int(places.min()) < 0 or int(places.max()) >= MOST):
        raise InputError(f"{name} holds a negative or far too large layer or index.")
    if len(torch.unique(places[:, 0] * MOST + places[:, 1])) < len(places):
        raise InputError(f"{name} holds a neuron twice: give each once, or see Neurons.of.")
    return places


def check_values(name: str, values: Any, places: Mapping[str, Tensor]) -> None:
    """Check that there is a number for each neuron of a site.

    Raises:
        InputError: Other sites, another number of values, or NaN.
    """
    for site, held in mapping(Tensor, "a tensor for each site")(name, values).items():
        if site not in places or held.shape != places[site].shape[:1]:
            raise InputError(
                f"{name} of site {site!r} have the shape {tuple(held.shape)}, and there are "
                f"{len(places.get(site, ()))} neurons at that site: give one value for each."
            )
        if not held.is_floating_point() or held.isnan().any():
            raise InputError(f"{name} of site {site!r} are {held.dtype} or NaN: give numbers.")


@dataclass(frozen=True, eq=False, repr=False)
class Neurons(Shown):
    """The neurons of one culture, sorted by site, layer and index.

    Attributes:
        places: Per site, ``(layer, index)`` of each neuron, ``neuron 2``.
        scores: Per site, their scores, ``neuron``.
        means: Per site, mean activation over all cultures' tokens; empty where not recorded.

    Example:
        >>> Neurons.of({"act": [(0, 1), (1, 3)]}).per_layer("act", 2).tolist()
        [1, 1]
    """

    places: Mapping[str, Int[Tensor, "neuron 2"]]
    scores: Mapping[str, Float[Tensor, " neuron"]] = field(default_factory=dict)
    means: Mapping[str, Float[Tensor, " neuron"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check places, and that scores and means belong to them."""
        check_fields(self, places=mapping(place_list, "{site: tensor}; see Neurons.of"))
        check_values("scores", self.scores, self.places)
        check_values("means", self.means, self.places)

    @classmethod
    def of(cls, places: Mapping[str, Sequence[tuple[int, int]]]) -> Neurons:
        """Make neurons from ``{site: [(layer, index), ...]}``, repeated ones once.

        Example:
            >>> len(Neurons.of({"act": [(0, 1), (0, 1)]}))
            1
        """
        checked = mapping(each(pair), "{site: [(layer, index), ...]}")("places", places)
        return cls(
            places={
                site: torch.tensor(sorted(set(pairs)), dtype=torch.long).reshape(-1, 2)
                for site, pairs in checked.items()
            }
        )

    def __len__(self) -> int:
        """Count the neurons over all sites."""
        return sum(len(places) for places in self.places.values())

    def __eq__(self, other: object) -> bool:
        """Compare places; scores do not matter."""
        return isinstance(other, Neurons) and self.members() == other.members()

    def __hash__(self) -> int:
        """Hash by places."""
        return hash(frozenset(self.members()))

    def __and__(self, other: Neurons) -> Neurons:
        """Intersection; scores are this one's."""
        theirs = members_of(other)
        return self.keep(lambda member: member in theirs)

    def __sub__(self, other: Neurons) -> Neurons:
        """Difference; scores are this one's."""
        theirs = members_of(other)
        return self.keep(lambda member: member not in theirs)

    def __or__(self, other: Neurons) -> Neurons:
        """Union, without scores, since two sets' scores need not be comparable."""
        places: dict[str, list[tuple[int, int]]] = {}
        for site, layer, index in self.members() | members_of(other):
            places.setdefault(site, []).append((layer, index))
        return Neurons.of(dict(sorted(places.items())))

    def _headline(self) -> str:
        return f"Neurons: {len(self)}"

    def _facts(self) -> Mapping[str, Any]:
        return {
            site: f"{len(places)} in layers {int(places[:, 0].min())} to {int(places[:, 0].max())}"
            for site, places in self.places.items()
            if len(places)
        }

    def _overview(self) -> pd.DataFrame:
        return self.to_pandas().sort_values("score", ascending=False, kind="stable")

    def to_pandas(self) -> pd.DataFrame:
        """List every neuron: site, layer, index, score (NaN where there are none).

        Example:
            >>> Neurons.of({"act": [(0, 1)]}).to_pandas()["index"].tolist()
            [1]
        """
        import pandas as pd

        rows = [
            (site, *place, score)
            for site, places in self.places.items()
            for place, score in zip(
                places.tolist(),
                self.scores[site].tolist() if site in self.scores else [math.nan] * len(places),
                strict=True,
            )
        ]
        table = pd.DataFrame(rows, columns=["site", "layer", "index", "score"])
        return table.astype({"site": str, "layer": int, "index": int, "score": float})

    def members(self) -> set[tuple[str, int, int]]:
        """List the neurons as ``(site, layer, index)``."""
        return {
            (site, layer, index)
            for site, places in self.places.items()
            for layer, index in places.tolist()
        }

    def keep(self, wanted: Callable[[tuple[str, int, int]], bool]) -> Neurons:
        """Keep the neurons for which a test of ``(site, layer, index)`` holds."""
        keep = {
            site: torch.tensor([wanted((site, *place)) for place in places.tolist()]).bool()
            for site, places in self.places.items()
        }
        return self._select(keep)

    def among(self, marks: Mapping[str, Bool[Tensor, "layer neuron"]]) -> Neurons:
        """Keep the neurons that are marked.

        Example:
            >>> neurons = Neurons.of({"act": [(0, 1), (1, 0)]})
            >>> neurons.among({"act": torch.tensor([[True, True], [False, True]])}).members()
            {('act', 0, 1)}
        """
        places = self.places.items()
        return self._select({site: marks[site][at[:, 0], at[:, 1]] for site, at in places})

    def _select(self, chosen: Mapping[str, Tensor]) -> Neurons:
        def cut(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {site: v[chosen[site]] for site, v in values.items()}

        return Neurons(cut(self.places), cut(self.scores), cut(self.means))

    @check_arguments(k=whole(1))
    def top(self, k: int) -> Neurons:
        """Keep the k with the highest scores at each site; ties keep layer and index order.

        Raises:
            InputError: There are no scores.
        """
        if set(self.scores) != set(self.places):
            raise InputError("these neurons carry no scores, so none of them can be the top ones.")
        order = {
            site: torch.sort(scores, descending=True, stable=True).indices[:k].sort().values
            for site, scores in self.scores.items()
        }
        return self._select(order)

    @check_arguments(n_layers=whole(0))
    def per_layer(self, site: str, n_layers: int) -> Int[Tensor, " layer"]:
        """Count the neurons of a site in each layer."""
        if site not in self.places:
            return torch.zeros(n_layers, dtype=torch.long)
        return torch.bincount(self.places[site][:, 0], minlength=n_layers)

    def mask(self, site: str, shape: Shape) -> Bool[Tensor, "layer neuron"]:
        """Give the neurons of a site as a mask over layers and indices."""
        mask = torch.zeros(pair("shape", shape), dtype=torch.bool)
        if site in self.places:
            check_inside(self.places[site], shape, site, "this set")
            mask[self.places[site][:, 0], self.places[site][:, 1]] = True
        return mask

    def hooks(self, model: Any, value: Value = "zero") -> HookList:
        """Give the hooks that ablate these neurons, for ``run_with_hooks`` or ``hooks``.

        Args:
            model: A ``LensModel``, or a ``TransformerBridge`` of any origin.
            value: What the neurons are set to; see ``ablation_hooks``.

        Returns:
            ``(name, function)`` pairs.

        Raises:
            InputError: The model lacks a neuron, or the value is not one.

        Example:
            ``bridge.run_with_hooks("Tea?", fwd_hooks=found["Japan"].hooks(bridge))``
        """
        return ablation_hooks(model, self, value)


NEURONS = instance(Neurons, remedy='neurons of one culture, such as found["Japan"]')
"""The check of an argument that takes neurons."""


def members_of(other: Any) -> set[tuple[str, int, int]]:
    """List the neurons of another set, which must be one."""
    members: set[tuple[str, int, int]] = NEURONS("the other set", other).members()
    return members


def check_inside(places: Int[Tensor, "neuron 2"], shape: Shape, site: str, culture: str) -> None:
    """Check that neurons lie inside a site.

    Raises:
        InputError: One does not.

    Example:
        >>> check_inside(torch.tensor([[0, 1]]), (1, 2), "act", "Japan")
    """
    if ((places < 0) | (places >= torch.tensor(shape))).any():
        raise InputError(
            f"a neuron of {culture} lies outside the {tuple(shape)} neurons of site {site!r}."
        )


def jaccard(a: set[Any], b: set[Any]) -> float:
    """Give the overlap of two sets, |A and B| / |A or B|; NaN where both are empty.

    Example:
        >>> jaccard({1, 2}, {2, 3})
        0.3333333333333333
    """
    return len(a & b) / len(a | b) if a | b else float("nan")
