"""NeuronSet: the neurons of each culture, the result of every selector.

Set algebra over cultures, overlap, shares of layers, tables and files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from culture_lens.checks import (
    any_text,
    check_arguments,
    check_fields,
    each,
    file_path,
    instance,
    labels,
    mapping,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown
from culture_lens.models.checks import MODEL
from culture_lens.models.sites import check_sites
from culture_lens.neurons.found_on import check_found_on
from culture_lens.neurons.neurons import Neurons, Shape, check_inside, jaccard, pair
from culture_lens.neurons.renaming import renamed_tables
from culture_lens.neurons.wordings import wording_stability_in_words
from culture_lens.storage.display import Shown, some
from culture_lens.storage.files import load_tensors, save_tensors
from culture_lens.storage.hashing import content_hash
from culture_lens.storage.pictures import layer_bars
from culture_lens.storage.reading import content_of

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.models.lens_model import LensModel


@dataclass(frozen=True, eq=False, repr=False)
class NeuronSet(Shown):
    """Culture -> Neurons, with the shape of each site and where it all came from.

    Attributes:
        neurons: The neurons of each culture.
        shapes: Per site, (layers, neurons per layer) of the model.
        metadata: Model, revision, benchmark, selector and options, versions, date, and the
            questions that were looked at: under ``groups`` their groups, under ``looked_at``
            groups and ids of each benchmark. A set that is made of several takes what
            ``looked_at_by`` gives.

    Example:
        ``found["Japan"]``, ``found.overlap()``, ``found.save("conact.safetensors")``
    """

    neurons: Mapping[str, Neurons]
    shapes: Mapping[str, Shape]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that every neuron lies inside its site."""
        check_fields(
            self,
            neurons=mapping(Neurons, "{culture: neurons}"),
            shapes=mapping(pair, "{site: (layers, neurons per layer)}"),
            metadata=instance(Mapping, remedy="a mapping, such as a dict"),
        )
        each(any_text, "a list of question groups")("groups", self.metadata.get("groups", ()))
        instance(Mapping, remedy="a mapping")("options", self.metadata.get("options", {}))
        for culture, neurons in self.neurons.items():
            for site, places in neurons.places.items():
                if site not in self.shapes and len(places):
                    raise InputError(
                        f"neurons of {culture!r} are at site {site!r}, shapes lack it."
                    )
                check_inside(places, self.shapes.get(site, (0, 0)), site, culture)

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures, in order."""
        return tuple(self.neurons)

    @property
    def method(self) -> str:
        """The selector that found the neurons, or an empty string."""
        return str(self.metadata.get("selector", ""))

    @property
    def content(self) -> str:
        """A hash of every culture's neurons and their means: all that an ablation depends on.

        Neither scores and metadata nor the order of the cultures change it.

        Example:
            ``matrix.metadata["neuron_set"] == found.content``
        """
        held = {
            f"{culture}.{kind}.{site}": values
            for culture, neurons in self.neurons.items()
            for kind in ("places", "means")
            for site, values in getattr(neurons, kind).items()
            if len(values)
        }
        return content_hash(held, {"cultures": sorted(self.neurons)})[:32]

    def __repr__(self) -> str:
        """Give the selector, the number of neurons, and CULNIG's stability over wordings."""
        words = wording_stability_in_words(self.metadata)
        return f"{self._headline()}\n{words}" if words else self._headline()

    def _headline(self) -> str:
        sizes = some([f"{culture} {len(neurons)}" for culture, neurons in self.neurons.items()])
        return f"NeuronSet {self.method or 'of no recorded selector'}: {sizes or 'no culture'}"

    def _facts(self) -> Mapping[str, Any]:
        told = {name: self.metadata.get(name) for name in ("model", "benchmark", "date")}
        told["wordings"] = wording_stability_in_words(self.metadata) or None
        return {name: value for name, value in told.items() if value}

    def _overview(self) -> pd.DataFrame:
        import pandas as pd

        rows = {c: {"neurons": len(n), **n._facts()} for c, n in self.neurons.items()}
        return pd.DataFrame.from_dict(rows, orient="index").fillna("")

    def _picture(self, table: pd.DataFrame | None) -> str:
        held = [culture for culture, neurons in self.neurons.items() if len(neurons)]
        return layer_bars(self.layer_share().loc[held].mean().tolist()) if held else ""

    def __getitem__(self, culture: str) -> Neurons:
        """Give one culture's neurons.

        Raises:
            InputError: No such culture.
        """
        if not isinstance(culture, str) or culture not in self.neurons:
            raise unknown("culture", culture, self.neurons)
        return self.neurons[culture]

    def __iter__(self) -> Iterator[str]:
        """Go through the cultures."""
        return iter(self.neurons)

    def __len__(self) -> int:
        """Count the cultures."""
        return len(self.neurons)

    @check_arguments(k=whole(1))
    def top(self, k: int) -> NeuronSet:
        """Keep the k neurons of each culture with the highest scores at each site."""
        return replace(self, neurons={c: n.top(k) for c, n in self.neurons.items()})

    @check_arguments(names=mapping(text))
    def renamed(self, names: Mapping[str, str]) -> NeuronSet:
        """Give cultures other names; those that are not mentioned keep theirs.

        Args:
            names: Culture -> its other name. See ``align_cultures`` for those of a benchmark.

        Raises:
            InputError: No such culture, or two cultures would have one name.

        Example:
            ``found.renamed({"Northern_Nigeria": "Nigeria"})``
        """
        for culture in names:
            if culture not in self.neurons:
                raise unknown("culture", culture, self.neurons)
        owner: dict[str, str] = {}
        for culture in self.neurons:
            name = names.get(culture, culture)
            if name in owner:
                raise InputError(
                    f"{owner[name]!r} and {culture!r} would both be called {name!r}: give names "
                    "that differ, or join their neurons with union()."
                )
            owner[name] = culture
        neurons = {name: self.neurons[culture] for name, culture in owner.items()}
        return replace(self, neurons=neurons, metadata=renamed_tables(self.metadata, names))

    def union(self, *cultures: str) -> Neurons:
        """Join the neurons of some cultures, or of all."""
        joined = Neurons.of({})
        for culture in cultures or self.cultures:
            joined = joined | self[culture]
        return joined

    def shared(self, *cultures: str) -> Neurons:
        """Give the neurons that some cultures, or all, have in common."""
        first, *rest = cultures or self.cultures
        common = self[first]
        for culture in rest:
            common = common & self[culture]
        return common

    def only(self, culture: str) -> Neurons:
        """Give the neurons of a culture that no other culture has."""
        own = self[culture]
        taken: set[tuple[str, int, int]] = set()
        for other in self.cultures:
            if other != culture:
                taken |= self[other].members()
        return own.keep(lambda member: member not in taken)

    def overlap(self) -> pd.DataFrame:
        """Give the Jaccard overlap |A and B| / |A or B| of every pair of cultures.

        Returns:
            A square table, NaN where both are empty.
        """
        import pandas as pd

        members = {culture: neurons.members() for culture, neurons in self.neurons.items()}
        table = {
            a: {b: jaccard(members[a], members[b]) for b in self.cultures} for a in self.cultures
        }
        return pd.DataFrame(table).loc[list(self.cultures)]

    @check_arguments(site=optional(text))
    def layer_share(self, site: str | None = None) -> pd.DataFrame:
        """Give the share of each culture's neurons in each layer, cultures x layers.

        Args:
            site: The site; all sites together where not given.
        """
        import pandas as pd

        sites = check_sites(tuple(self.shapes) if site is None else site, self.shapes)
        n_layers = max(self.shapes[s][0] for s in sites)
        rows = {}
        for culture, neurons in self.neurons.items():
            counts = torch.stack([neurons.per_layer(s, n_layers) for s in sites]).sum(0).double()
            rows[culture] = (counts / counts.sum().clamp(min=1)).tolist()
        return pd.DataFrame.from_dict(rows, orient="index", columns=range(n_layers))

    def to_pandas(self) -> pd.DataFrame:
        """List every neuron: culture, site, layer, index, score."""
        import pandas as pd

        none = Neurons.of({}).to_pandas().assign(culture="")
        parts = [own.to_pandas().assign(culture=name) for name, own in self.neurons.items()]
        table = pd.concat(parts or [none], ignore_index=True)
        return table[["culture", "site", "layer", "index", "score"]]

    @check_arguments(model=MODEL)
    def check_model(self, model: LensModel) -> None:
        """Refuse a model that these neurons were not found on; warn of other weights.

        Raises:
            InputError: Another model's name, or another number of layers or neurons.
        """
        check_found_on(model, self.shapes, self.metadata)

    @check_arguments(path=file_path)
    def save(self, path: str | Path) -> Path:
        """Write places and scores as safetensors with JSON metadata and a content hash.

        Example:
            ``NeuronSet.load(found.save("conact.safetensors"))``
        """
        tensors = {}
        for position, neurons in enumerate(self.neurons.values()):
            for kind in ("places", "scores", "means"):
                for site, values in getattr(neurons, kind).items():
                    tensors[f"{position}.{kind}.{site}"] = values
        metadata = {
            "cultures": list(self.cultures),
            "shapes": {site: list(shape) for site, shape in self.shapes.items()},
            "metadata": {"date": date.today().isoformat(), **self.metadata},
        }
        return save_tensors(path, "neuron set", tensors, metadata)

    @classmethod
    @check_arguments(path=file_path, model=optional(MODEL))
    def load(cls, path: str | Path, model: LensModel | None = None) -> NeuronSet:
        """Read a set that ``save`` wrote, and check it against a model where one is given.

        Raises:
            InputError: The file is missing, damaged or of another kind, a neuron lies outside the
                model, or the model is another one.
        """
        tensors, header = load_tensors(path, "neuron set")
        with content_of(path, "a neuron set"):
            cultures = labels("cultures", header["cultures"]) if header["cultures"] else ()
            shapes = mapping(pair)("shapes", header["shapes"])
            held: list[dict[str, dict[str, Tensor]]] = [
                {"places": {}, "scores": {}, "means": {}} for _ in cultures
            ]
            for name, values in tensors.items():
                position, kind, site = name.split(".", 2)
                owner = whole(0)("position", int(position))
                held[owner][kind][site] = values
                if kind == "places":
                    check_inside(values, shapes[site], site, cultures[owner])
            neurons = {c: Neurons(**h) for c, h in zip(cultures, held, strict=True)}
            found = cls(neurons, shapes, header["metadata"])
        if model is not None:
            found.check_model(model)
        return found


FOUND_SET = instance(NeuronSet, remedy="the NeuronSet that a selector found")
"""The check of an argument that takes found neurons."""
