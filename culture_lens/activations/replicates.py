"""Replicates of activation statistics: the same sums under permuted labels and bootstrap weights.

A replicate is one more set of item weights, so that all replicates are one matrix product per layer
and batch: R[r,c,n] = sum_i w[r,c,i] K[i,n]. Counts are summed in float32 within a batch, exact up
to 2^24, and in int32 over batches (in float64 with weights of strata); sums in float64.

Memory: (permutations + bootstraps) x cultures x layers x neurons, 4 bytes for counts and 8 for
sums, on the model's device while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Num
from torch import Tensor

from culture_lens.activations.resampling import Design
from culture_lens.checks import text, whole
from culture_lens.errors import InputError
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Replicates(Shown):
    """Sums of every replicate, permutations first, then bootstrap samples.

    Attributes:
        permutations: Number of permutations.
        design: Key of the design that drew them; replicates of another design cannot be added.
        tokens: ``replicate culture``.
        counts: Per site, ``replicate culture layer neuron``.
        sums: Per site; empty where magnitudes were not recorded.
    """

    permutations: int
    design: str
    tokens: Num[Tensor, "replicate culture"]
    counts: Mapping[str, Num[Tensor, "replicate culture layer neuron"]]
    sums: Mapping[str, Float[Tensor, "replicate culture layer neuron"]] = field(
        default_factory=dict
    )

    def to_pandas(self) -> pd.DataFrame:
        """List the counted tokens: replicate, kind, culture (its number), tokens."""
        import pandas as pd

        rows = [
            (replicate, "permutation" if replicate < self.permutations else "bootstrap", row, count)
            for replicate, counted in enumerate(self.tokens.tolist())
            for row, count in enumerate(counted)
        ]
        return pd.DataFrame(rows, columns=["replicate", "kind", "culture", "tokens"])

    @classmethod
    def empty(
        cls,
        design: Design,
        shape: tuple[int, ...],
        counts: Mapping[str, Tensor],
        sums: Mapping[str, Tensor],
    ) -> Replicates:
        """Start with zeros, ``replicate culture layer neuron``, for batches of this layout."""

        def zeros(tables: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
            made = {}
            for site, rows in tables.items():
                # Apple's devices have no float64.
                device = "cpu" if rows.device.type == "mps" else rows.device
                made[site] = torch.zeros(*shape, *rows.shape[1:], dtype=dtype, device=device)
            return made

        return cls(
            len(design.permuted),
            design.key,
            torch.zeros(shape, dtype=torch.float64 if design.weighted else torch.int64),
            zeros(counts, torch.float64 if design.weighted else torch.int32),
            zeros(sums, torch.float64),
        )

    @classmethod
    def adding(
        cls,
        held: Replicates | None,
        design: Design,
        weights: Float[Tensor, "replicate culture item"],
        tokens: Num[Tensor, " item"],
        counts: Mapping[str, Num[Tensor, "item layer neuron"]],
        sums: Mapping[str, Float[Tensor, "item layer neuron"]],
    ) -> Replicates:
        """Add a batch to the replicates so far, in place, or start with it."""
        if held is None:
            held = cls.empty(design, weights.shape[:2], counts, sums)
        held.tokens.add_((weights @ tokens.cpu().double()).to(held.tokens.dtype))
        flat = weights.flatten(0, 1)
        exact = torch.float64 if design.weighted else torch.float32
        for totals, rows, dtype in ((held.counts, counts, exact), (held.sums, sums, torch.float64)):
            for site, values in rows.items():
                place = totals[site].device  # the CPU where the pass resumes from a snapshot
                weigh = flat.to(place, dtype)
                for layer in range(values.shape[1]):
                    added = weigh @ values[:, layer].to(place, dtype)
                    total = totals[site][:, :, layer]
                    total.add_(added.view(total.shape).to(total.dtype))
        return held

    def plus(self, other: Replicates | None) -> Replicates:
        """Add the replicates of another part of the same pass.

        Raises:
            InputError: They were drawn by another design.
        """
        if other is None:
            return self.on_cpu()
        if other.design != self.design:
            raise InputError(
                "replicates of different designs cannot be added: make one design for all items "
                "of the pass, with one seed."
            )
        mine, theirs = self.on_cpu(), other.on_cpu()

        def both(name: str) -> dict[str, Tensor]:
            ours, others = getattr(mine, name), getattr(theirs, name)
            return {site: values + others[site] for site, values in ours.items()}

        return replace(
            mine, tokens=mine.tokens + theirs.tokens, counts=both("counts"), sums=both("sums")
        )

    def on_cpu(self) -> Replicates:
        """Copy to the CPU."""

        def moved(tables: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {site: values.to("cpu", copy=True) for site, values in tables.items()}

        return replace(
            self, tokens=self.tokens.clone(), counts=moved(self.counts), sums=moved(self.sums)
        )

    def tensors(self) -> dict[str, Tensor]:
        """Give the tensors by name, for a file."""
        named = {"replicate.tokens": self.tokens}
        for name in ("counts", "sums"):
            tables = getattr(self, name)
            named |= {f"replicate.{name}.{site}": values for site, values in tables.items()}
        return named

    def facts(self) -> dict[str, Any]:
        """Give the other fields, for a file."""
        return {"permutations": self.permutations, "design": self.design}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Replicates:
        """Make replicates from the ``tensors`` and ``facts`` of a file."""

        def part(name: str) -> dict[str, Tensor]:
            start = f"replicate.{name}."
            return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}

        return cls(
            whole(0, len(tensors["replicate.tokens"]))("permutations", facts["permutations"]),
            text("design", facts["design"]),
            tensors["replicate.tokens"],
            part("counts"),
            part("sums"),
        )


__all__ = ["Replicates"]
