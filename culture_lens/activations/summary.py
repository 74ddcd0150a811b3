"""ActivationSummary: what a pass counted per culture, the input of every activation selector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float, Int, Num
from torch import Tensor

from culture_lens.activations.replicates import Replicates
from culture_lens.checks import check_arguments, check_fields, file_path, instance, labels, optional
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.long_tables import long_table
from culture_lens.neurons.scores import check_tables
from culture_lens.neurons.with_units import of_units
from culture_lens.storage.display import Shown, brief, some
from culture_lens.storage.files import load_tensors, save_tensors
from culture_lens.storage.reading import content_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class ActivationSummary(Shown):
    """The result of a recording pass: the input of every activation selector.

    Attributes:
        cultures: Labels, sorted; the first axis of every tensor.
        items: Items per culture.
        tokens: Counted tokens T, ``culture``.
        counts: K per site, ``culture layer neuron``.
        sums: S per site; empty where magnitudes were not recorded.
        squares: Q per site; likewise.
        metadata: Model, roles and all else that is needed to repeat the pass.
        replicates: The same sums under permuted labels and bootstrap weights, or None.

    Example:
        ``summary.probability("act").shape`` is ``(cultures, layers, neurons)``.
    """

    cultures: tuple[str, ...]
    items: Int[Tensor, " culture"]
    tokens: Num[Tensor, " culture"]
    counts: Mapping[str, Num[Tensor, "culture layer neuron"]]
    sums: Mapping[str, Float[Tensor, "culture layer neuron"]] = field(default_factory=dict)
    squares: Mapping[str, Float[Tensor, "culture layer neuron"]] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    replicates: Replicates | None = None

    def __post_init__(self) -> None:
        """Check that the tables fit the cultures and hold no NaN."""
        check_fields(
            self,
            cultures=labels,
            metadata=instance(Mapping, remedy="a mapping, such as a dict"),
            replicates=optional(instance(Replicates)),
        )
        for name in ("items", "tokens"):
            check_numbers(name, getattr(self, name), len(self.cultures))
        check_tables("counts", self.counts, len(self.cultures))
        for name in ("sums", "squares"):
            if getattr(self, name):
                check_tables(name, getattr(self, name), len(self.cultures))

    def _headline(self) -> str:
        return f"ActivationSummary: {int(self.items.sum()):,} items of {some(self.cultures)}"

    def _facts(self) -> Mapping[str, Any]:
        told = {name: self.metadata.get(name) for name in ("model", "benchmark", "roles")}
        shapes = {site: brief(values) for site, values in self.counts.items()}
        return {**{name: value for name, value in told.items() if value}, **shapes}

    def _overview(self) -> pd.DataFrame:
        import pandas as pd

        columns: dict[str, Any] = {"items": self.items.tolist(), "tokens": self.tokens.tolist()}
        for site, counts in self.counts.items():
            own = of_units(counts, self.metadata, site)
            shares = own.sum((1, 2)).double() / (self.tokens.double() * own[0].numel())
            columns[f"mean P {site}"] = shares.tolist()
        return pd.DataFrame(columns, index=list(self.cultures))

    def to_pandas(self) -> pd.DataFrame:
        """List every culture and neuron: culture, site, layer, index, probability, and mean.

        Where magnitudes were not recorded there is no mean.
        """
        columns = {"probability": {site: self.probability(site) for site in self.sites}}
        if self.sums:
            columns["mean"] = {site: self.mean(site) for site in self.sites}
        return long_table(self.cultures, columns)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that were recorded."""
        return tuple(self.counts)

    def probability(self, site: str) -> Float[Tensor, "culture layer neuron"]:
        """P = K / T in float64: the share of a culture's tokens on which a neuron is positive."""
        if site not in self.sites:
            raise unknown("site", site, self.sites, "The summary was recorded at these sites.")
        return self.counts[site].double() / self.tokens.double()[:, None, None]

    def mean(self, site: str) -> Float[Tensor, "culture layer neuron"]:
        """S / T in float64: a neuron's mean activation on a culture's tokens.

        Raises:
            InputError: The pass did not record magnitudes.
        """
        if site not in self.sites:
            raise unknown("site", site, self.sites, "The summary was recorded at these sites.")
        if site not in self.sums:
            raise InputError(
                f"the summary holds no sums for site {site!r}: record with magnitudes=True."
            )
        return self.sums[site] / self.tokens.double()[:, None, None]

    def variance(self, site: str) -> Float[Tensor, "culture layer neuron"]:
        """Q / T - (S / T)^2 in float64, at least 0: the variance over a culture's tokens."""
        mean = self.mean(site)
        return (self.squares[site] / self.tokens.double()[:, None, None] - mean**2).clamp(min=0)

    def permuted(self) -> Iterator[ActivationSummary]:
        """Give the summary of each permutation of the labels, if any were recorded."""
        held = self.replicates
        return (self._replicate(row) for row in range(held.permutations if held else 0))

    def resampled(self) -> Iterator[ActivationSummary]:
        """Give the summary of each bootstrap sample, if any were recorded."""
        held = self.replicates
        rows = range(held.permutations, len(held.tokens)) if held else range(0)
        return (self._replicate(row) for row in rows)

    def _replicate(self, row: int) -> ActivationSummary:
        held = self.replicates
        assert held is not None  # only called where there are rows
        return ActivationSummary(
            self.cultures,
            self.items,
            # A culture of which no item was drawn has counts of 0, and P = 0.
            tokens=held.tokens[row].clamp(min=1),
            counts={site: values[row] for site, values in held.counts.items()},
            sums={site: values[row] for site, values in held.sums.items()},
            metadata=self.metadata,
        )

    @check_arguments(path=file_path)
    def save(self, path: str | Path) -> Path:
        """Write the summary as safetensors with its metadata as JSON.

        Example:
            ``ActivationSummary.load(summary.save("statistics.safetensors"))``
        """
        tensors = {"items": self.items, "tokens": self.tokens}
        for name in ("counts", "sums", "squares"):
            for site, values in getattr(self, name).items():
                tensors[f"{name}.{site}"] = values
        metadata = {"cultures": list(self.cultures), "metadata": dict(self.metadata)}
        if self.replicates is not None:
            tensors |= self.replicates.tensors()
            metadata["replicates"] = self.replicates.facts()
        return save_tensors(path, "activation summary", tensors, metadata)

    @classmethod
    @check_arguments(path=file_path)
    def load(cls, path: str | Path) -> ActivationSummary:
        """Read a summary that ``save`` wrote.

        Raises:
            InputError: The file is missing, damaged or holds something else.
        """
        tensors, metadata = load_tensors(path, "activation summary")
        by_site: dict[str, dict[str, Tensor]] = {"counts": {}, "sums": {}, "squares": {}}
        with content_of(path, "an activation summary"):
            for name, values in tensors.items():
                kind, _, site = name.partition(".")
                if kind in by_site:
                    by_site[kind][site] = values
            facts = metadata.get("replicates")
            return cls(
                cultures=labels("cultures", metadata["cultures"]),
                items=tensors["items"],
                tokens=tensors["tokens"],
                metadata=metadata["metadata"],
                replicates=Replicates.of(tensors, facts) if facts else None,
                **by_site,
            )


def check_numbers(name: str, values: Any, rows: int) -> None:
    """Check for one number for each culture, finite and not negative.

    Raises:
        InputError: Anything else.
    """
    instance(Tensor, remedy="a tensor with a number for each culture")(name, values)
    if tuple(values.shape) != (rows,) or not bool(((values >= 0) & (values < math.inf)).all()):
        raise InputError(
            f"{name} has the shape {tuple(values.shape)}, or NaN or negative numbers: give one "
            f"number for each of the {rows} cultures."
        )


SUMMARY = instance(ActivationSummary, remedy="an ActivationSummary, such as summarise gives")
"""The check of an argument that takes a summary."""
