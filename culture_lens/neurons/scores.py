"""NeuronScores: a score for every culture and neuron; ``top`` turns scores into a NeuronSet.

Activation selectors and gradient attribution both give scores of this form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.checks import (
    check_arguments,
    check_fields,
    file_path,
    instance,
    labels,
    mapping,
    optional,
    real,
    whole,
)
from culture_lens.errors import InputError
from culture_lens.neurons.long_tables import long_table
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons, Shape
from culture_lens.neurons.with_units import layers_with_units
from culture_lens.storage.display import Shown, brief, some
from culture_lens.storage.files import load_tensors, save_tensors
from culture_lens.storage.reading import content_of

if TYPE_CHECKING:
    import pandas as pd

NEVER = float("-inf")


def check_share(share: float) -> float:
    """Check that a share lies in (0, 1].

    Raises:
        InputError: It does not.

    Example:
        >>> check_share(0.005)
        0.005
    """
    if not 0 < real("share", share) <= 1:
        raise InputError(f"share={share} is outside (0, 1]: 0.005 stands for 0.5% of the neurons.")
    return share


def number_chosen(number: int, share: float | None, k: int | None, site: str = "") -> int:
    """Count the neurons of a site that a share or k chooses: int(share * number), or k.

    Raises:
        InputError: None of them, or more than there are.

    Example:
        >>> number_chosen(46080, 0.005, None)
        230
    """
    if share is not None:
        count = int(check_share(share) * number)
    else:
        count = 0 if k is None else whole()("k", k)
    if not 1 <= count <= number:
        raise InputError(
            f"site {site!r}: {count} of {number} neurons asked for (share={share}, k={k}); "
            "choose a share or k that gives between one and all of them."
        )
    return count


def check_tables(name: str, tables: Any, rows: int) -> None:
    """Check for one table or more, ``culture layer neuron``, without NaN.

    Raises:
        InputError: No table, one of another shape, or NaN in one.

    Example:
        >>> check_tables("scores", {"act": torch.zeros(2, 3, 4)}, 2)
    """
    if not mapping(Tensor, "a tensor for each site")(name, tables):
        raise InputError(f"{name} is empty: give a table for at least one site.")
    for site, values in tables.items():
        if values.ndim != 3 or len(values) != rows:
            raise InputError(
                f"{name} of site {site!r} have the shape {tuple(values.shape)}: give culture x "
                f"layer x neuron, with {rows} cultures."
            )
        if values.is_floating_point() and values.isnan().any():
            raise InputError(f"{name} of site {site!r} hold NaN: there is nothing to rank by.")


@dataclass(frozen=True, eq=False, repr=False)
class NeuronScores(Shown):
    """A score for every culture and neuron; minus infinity where a neuron cannot be chosen.

    Attributes:
        cultures: Labels of the first axis.
        scores: Per site, ``culture layer neuron``, float64, higher is better.
        ranking: Per site, ``layer neuron``: where given, neurons are first chosen by it, for all
            cultures together, and a chosen neuron belongs to every culture whose score is not
            minus infinity (LAPE).
        metadata: Selector, options, model, and what they were computed on.
    """

    cultures: tuple[str, ...]
    scores: Mapping[str, Float[Tensor, "culture layer neuron"]]
    ranking: Mapping[str, Float[Tensor, "layer neuron"]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the tables fit the cultures and hold no NaN."""
        check_fields(self, cultures=labels, metadata=instance(Mapping, remedy="a mapping"))
        check_tables("scores", self.scores, len(self.cultures))
        for site, ranking in self.ranking.items():
            if site not in self.scores or ranking.shape != self.scores[site].shape[1:]:
                raise InputError(f"the ranking of site {site!r} has another shape than its scores.")

    def _headline(self) -> str:
        selector = self.metadata.get("selector") or "of no recorded selector"
        return f"NeuronScores {selector}: {some(self.cultures)}"

    def _facts(self) -> Mapping[str, Any]:
        shapes = {site: brief(values) for site, values in self.scores.items()}
        told = {name: self.metadata.get(name) for name in ("model", "benchmark", "items")}
        return {**{name: value for name, value in told.items() if value}, **shapes}

    def _overview(self) -> pd.DataFrame:
        import pandas as pd

        rows = {
            culture: {
                f"highest {site}": float(values[row].max()) for site, values in self.scores.items()
            }
            for row, culture in enumerate(self.cultures)
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def to_pandas(self) -> pd.DataFrame:
        """List the score of every culture and neuron: culture, site, layer, index, score.

        Example:
            ``scores.to_pandas().nlargest(20, "score")``
        """
        return long_table(self.cultures, {"score": self.scores})

    @check_arguments(share=optional(real), k=optional(whole()))
    def top(self, *, share: float | None = None, k: int | None = None) -> NeuronSet:
        """Choose the best neurons of each culture.

        Args:
            share: Share of the neurons at each site; ``int(share * number)`` are chosen.
            k: Or how many at each site.

        Raises:
            InputError: Both or neither given, a share outside (0, 1], or so few that none is
                chosen.

        Example:
            ``found = scores.top(share=0.005)``
        """
        if (share is None) == (k is None):
            raise InputError("give share=... or k=..., one of them.")
        chosen: dict[str, dict[str, Tensor]] = {culture: {} for culture in self.cultures}
        for site, scores in self.scores.items():
            layers = layers_with_units(self.metadata, site, scores.shape[1])
            count = number_chosen(len(layers) * scores.shape[2], share, k, site)
            first = self._first(site, count)
            first[[layer for layer in range(len(first)) if layer not in layers]] = False
            for position, culture in enumerate(self.cultures):
                allowed = first & (scores[position] > NEVER)
                chosen[culture][site] = best(scores[position], allowed, count)
        return self._neuron_set(chosen)

    def those(self, allowed: Mapping[str, Bool[Tensor, "culture layer neuron"]]) -> NeuronSet:
        """Choose the neurons that are marked: any number of them, or none.

        Example:
            ``scores.those({"act": scores.scores["act"] > 0.5})``
        """
        for site, scores in self.scores.items():
            if site in allowed and allowed[site].shape != scores.shape:
                raise InputError(f"the marks of site {site!r} have another shape than its scores.")
        return self._neuron_set(
            {
                culture: {site: marked[position].nonzero() for site, marked in allowed.items()}
                for position, culture in enumerate(self.cultures)
            }
        )

    def _first(self, site: str, count: int) -> Bool[Tensor, "layer neuron"]:
        """Mark the neurons that may be chosen: all of them, or the highest in the ranking."""
        if site not in self.ranking:
            return torch.ones(self.scores[site].shape[1:], dtype=torch.bool)
        ranking = self.ranking[site]
        first = torch.zeros_like(ranking, dtype=torch.bool)
        places = best(ranking, ranking > NEVER, count)
        first[places[:, 0], places[:, 1]] = True
        return first

    def _neuron_set(self, chosen: Mapping[str, Mapping[str, Tensor]]) -> NeuronSet:
        neurons = {}
        for position, culture in enumerate(self.cultures):
            places = chosen[culture]
            scores = {
                site: self.scores[site][position][p[:, 0], p[:, 1]] for site, p in places.items()
            }
            neurons[culture] = Neurons(places=places, scores=scores)
        shapes = {site: (s.shape[1], s.shape[2]) for site, s in self.scores.items()}
        return NeuronSet(neurons, shapes, dict(self.metadata))

    @check_arguments(path=file_path)
    def save(self, path: str | Path) -> Path:
        """Write the scores as safetensors with JSON metadata."""
        tensors = {f"scores.{site}": values for site, values in self.scores.items()}
        tensors |= {f"ranking.{site}": values for site, values in self.ranking.items()}
        metadata = {"cultures": list(self.cultures), "metadata": dict(self.metadata)}
        return save_tensors(path, "neuron scores", tensors, metadata)

    @classmethod
    @check_arguments(path=file_path)
    def load(cls, path: str | Path) -> NeuronScores:
        """Read scores that ``save`` wrote.

        Raises:
            InputError: The file is missing, damaged or holds something else.
        """
        tensors, metadata = load_tensors(path, "neuron scores")
        held: dict[str, dict[str, Tensor]] = {"scores": {}, "ranking": {}}
        with content_of(path, "neuron scores"):
            for name, values in tensors.items():
                kind, _, site = name.partition(".")
                held[kind][site] = values
            return cls(
                labels("cultures", metadata["cultures"]), metadata=metadata["metadata"], **held
            )


SCORES = instance(NeuronScores, remedy="NeuronScores, such as attribute gives")
"""The check of an argument that takes scores."""


def best(
    scores: Float[Tensor, "layer neuron"], allowed: Bool[Tensor, "layer neuron"], count: int
) -> Int[Tensor, "chosen 2"]:
    """Find the places of the highest scores; ties keep the order of layers and indices.

    Example:
        >>> scores = torch.tensor([[1.0, 3.0], [3.0, 2.0]])
        >>> best(scores, torch.ones(2, 2, dtype=torch.bool), 2).tolist()
        [[0, 1], [1, 0]]
    """
    flat = torch.where(allowed, scores, torch.full_like(scores, NEVER)).flatten()
    order = torch.sort(flat, descending=True, stable=True).indices[:count]
    order = order[flat[order] > NEVER].sort().values
    width = scores.shape[1]
    return torch.stack([order // width, order % width], 1)


def check_pooled_share(shapes: Mapping[str, Shape], share: float) -> int:
    """Count the neurons that a share of several sites together chooses.

    Raises:
        InputError: A share outside (0, 1], or one that chooses no neuron.

    Example:
        >>> check_pooled_share({"q": (2, 10), "k": (2, 5)}, 0.1)
        3
    """
    number = sum(layers * width for layers, width in shapes.values())
    return number_chosen(number, share, None, ", ".join(shapes))


def pooled_top(scores: Mapping[str, Float[Tensor, "layer neuron"]], share: float) -> Neurons:
    """Choose the int(share * number) best neurons of several sites together.

    Ties keep the order of sites, layers and indices.

    Raises:
        InputError: A share outside (0, 1], or one that chooses no neuron.

    Example:
        >>> scores = {"q": torch.tensor([[1.0, 3.0]]), "k": torch.tensor([[2.0, 0.0]])}
        >>> sorted(pooled_top(scores, 0.5).members())
        [('k', 0, 0), ('q', 0, 1)]
    """
    flat = torch.cat([values.flatten() for values in scores.values()])
    count = check_pooled_share({s: (len(v), v.shape[1]) for s, v in scores.items()}, share)
    lowest = flat.kthvalue(len(flat) - count + 1).values  # much faster than a sort
    chosen = flat > lowest
    ties = (flat == lowest).nonzero()[:, 0]
    chosen[ties[: count - int(chosen.sum())]] = True
    masks, start = {}, 0
    for site, values in scores.items():
        masks[site] = chosen[start : start + values.numel()].view(values.shape)
        start += values.numel()
    return Neurons(
        places={site: mask.nonzero() for site, mask in masks.items()},
        scores={site: scores[site][mask] for site, mask in masks.items()},
    )
