"""ActivationStatistics: streamed counts and sums per culture, exact to merge.

For every culture c, layer l and neuron n, over the counted tokens t of the culture's items
(ConAct's paper, section 3; m is the token mask of the roles that count):

    K[c,l,n] = sum_t m_t 1(a[l,n,t] > 0)      T[c] = sum_t m_t      P = K / T
    S[c,l,n] = sum_t m_t a[l,n,t]             Q[c,l,n] = sum_t m_t a[l,n,t]^2

K and T are int64, so any order, batch size or split gives the same bits. S and Q are summed in
float32 within an item and in float64 over items. No activations are kept: memory is cultures x
layers x neurons, whatever the number of items. With the weights of a design (strata) all four are
weighted sums in float64. The design's replicates are accumulated beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.activations.replicates import Replicates
from culture_lens.activations.resampling import Design
from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import instance, optional
from culture_lens.errors import InputError
from culture_lens.models.checks import REMEDY, NotFinite
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ItemStatistics:
    """The statistics of a batch: one row per item, summed over its tokens.

    Attributes:
        tokens: Counted tokens, ``item``.
        counts: Per site, tokens with a > 0, ``item layer neuron``.
        sums: Per site, sum of a; empty without magnitudes.
        squares: Per site, sum of a squared; empty without magnitudes.
    """

    tokens: Int[Tensor, " item"]
    counts: Mapping[str, Int[Tensor, "item layer neuron"]]
    sums: Mapping[str, Float[Tensor, "item layer neuron"]] = field(default_factory=dict)
    squares: Mapping[str, Float[Tensor, "item layer neuron"]] = field(default_factory=dict)

    def plus(self, shared: ItemStatistics, rows: Int[Tensor, " item"]) -> ItemStatistics:
        """Add to every item the row of its shared prefix.

        Args:
            shared: Statistics of the shared prefixes.
            rows: Index of each item's prefix.
        """

        def added(own: Mapping[str, Tensor], common: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {site: values + common[site][rows] for site, values in own.items()}

        return ItemStatistics(
            tokens=self.tokens + shared.tokens[rows],
            counts=added(self.counts, shared.counts),
            sums=added(self.sums, shared.sums),
            squares=added(self.squares, shared.squares),
        )


class ActivationStatistics(Shown):
    """An accumulator: ``update`` with batches, ``merge`` with others, then ``summary``.

    Example:
        >>> import torch
        >>> statistics = ActivationStatistics()
        >>> counts = torch.tensor([[[3, 0]], [[1, 2]]])
        >>> rows = ItemStatistics(tokens=torch.tensor([4, 4]), counts={"act": counts})
        >>> statistics.update(rows, ["Italy", "Japan"])
        >>> statistics.summary().probability("act")[0].tolist()
        [[0.75, 0.0]]
    """

    def __init__(self, design: Design | None = None) -> None:
        """Start empty; shapes come with the first update.

        Args:
            design: Item weights and replicates; without it every item has weight 1 for its own
                culture, and there are no replicates.
        """
        self.design = optional(instance(Design))("design", design)
        self._replicates: Replicates | None = None
        self._items: dict[str, int] = {}
        self._tokens: dict[str, int | float] = {}
        self._totals: dict[str, dict[str, dict[str, Tensor]]] = {}

    def _headline(self) -> str:
        return f"ActivationStatistics: {sum(self._items.values()):,} items so far"

    def _facts(self) -> Mapping[str, Any]:
        return dict(self._items)

    def to_pandas(self) -> pd.DataFrame:
        """List what was counted so far: culture, items, tokens."""
        import pandas as pd

        rows = [(name, self._items[name], self._tokens[name]) for name in sorted(self._items)]
        return pd.DataFrame(rows, columns=["culture", "items", "tokens"])

    def update(
        self, rows: ItemStatistics, cultures: Sequence[str], ids: Sequence[str] = ()
    ) -> None:
        """Add a batch of items.

        Args:
            rows: One row per item.
            cultures: The label of each row.
            ids: The id of each row, which a design needs.

        Raises:
            InputError: A sum is NaN or infinite, or an item is not in the design; nothing of the
                batch is added then.
        """
        check_finite(rows, cultures, [f"question {name!r}" for name in ids])
        self._check_same(
            {site: tuple(counts.shape[1:]) for site, counts in rows.counts.items()},
            bool(rows.sums),
        )
        weight = None
        if self.design is not None:
            replicated = self.design.replicated(ids)
            weight = self.design.own(ids) if self.design.weighted else None
            if len(replicated):
                self._replicates = Replicates.adding(
                    self._replicates, self.design, replicated, rows.tokens, rows.counts, rows.sums
                )
        names = sorted(set(cultures))
        index = torch.tensor([names.index(c) for c in cultures], device=rows.tokens.device)
        whole = torch.int64 if weight is None else torch.float64
        tokens = grouped(rows.tokens, index, len(names), whole, weight)
        for position, name in enumerate(names):
            self._items[name] = self._items.get(name, 0) + cultures.count(name)
            self._tokens[name] = self._tokens.get(name, 0) + tokens[position].item()
        for kind, dtype in (
            ("counts", whole),
            ("sums", torch.float64),
            ("squares", torch.float64),
        ):
            for site, values in getattr(rows, kind).items():
                totals = grouped(values, index, len(names), dtype, weight)
                for position, name in enumerate(names):
                    self._add(kind, site, name, totals[position])

    def _check_same(self, shapes: Mapping[str, tuple[int, ...]], magnitudes: bool) -> None:
        """Refuse other sites, shapes or kinds of sums before anything is added."""
        held = self._totals.get("counts", {})
        if not held:
            return
        if set(held) != set(shapes):
            raise InputError(
                f"statistics of the sites {sorted(held)} cannot be merged with those of "
                f"{sorted(shapes)}."
            )
        for site, shape in shapes.items():
            mine = tuple(next(iter(held[site].values())).shape)
            if mine != shape:
                raise InputError(
                    f"site {site!r}: statistics of shape {shape} cannot be added to {mine}; they "
                    "come from different models."
                )
        if bool(self._totals.get("sums")) != magnitudes:
            raise InputError(
                "statistics with magnitudes cannot be merged with statistics without: a mean over "
                "a part of the tokens would be wrong."
            )

    def _add(self, kind: str, site: str, culture: str, values: Tensor) -> None:
        held = self._totals.setdefault(kind, {}).setdefault(site, {})
        held[culture] = held[culture] + values if culture in held else values.clone()

    def merge(self, other: ActivationStatistics | ActivationSummary) -> None:
        """Add the sums of another accumulator, or of a saved summary.

        Raises:
            InputError: They were made on different sites or models.
        """
        summary = (
            other.summary(complete=False) if isinstance(other, ActivationStatistics) else other
        )
        self._check_same(
            {site: tuple(counts.shape[1:]) for site, counts in summary.counts.items()},
            bool(summary.sums),
        )
        if self._items and (self._replicates is None) != (summary.replicates is None):
            raise InputError("statistics with replicates cannot be merged with those without.")
        if summary.replicates is not None:
            self._replicates = summary.replicates.plus(self._replicates)
        for position, name in enumerate(summary.cultures):
            self._items[name] = self._items.get(name, 0) + int(summary.items[position])
            self._tokens[name] = self._tokens.get(name, 0) + summary.tokens[position].item()
            for kind in ("counts", "sums", "squares"):
                for site, values in getattr(summary, kind).items():
                    self._add(kind, site, name, values[position])

    def summary(
        self, metadata: Mapping[str, Any] | None = None, *, complete: bool = True
    ) -> ActivationSummary:
        """Give the sums so far as a summary, cultures in alphabetical order.

        Args:
            metadata: Metadata of the summary.
            complete: Whether everything has been counted, so that every culture must have tokens.

        Raises:
            InputError: Nothing was counted, or a culture has no counted tokens.
        """
        cultures = sorted(self._items)
        if not cultures:
            raise InputError("no items were recorded, so there is nothing to summarise.")
        empty = [name for name in cultures if self._tokens[name] == 0]
        if empty and complete:
            raise InputError(
                f"no token of {', '.join(empty)} has a role that counts; choose other roles."
            )
        kinds = {
            kind: {
                site: torch.stack([held[name] for name in cultures]).cpu()
                for site, held in self._totals.get(kind, {}).items()
            }
            for kind in ("counts", "sums", "squares")
        }
        return ActivationSummary(
            cultures=tuple(cultures),
            items=torch.tensor([self._items[name] for name in cultures]),
            tokens=torch.tensor([self._tokens[name] for name in cultures]),
            metadata=dict(metadata or {}),
            replicates=self._replicates.on_cpu() if self._replicates is not None else None,
            **kinds,
        )


def grouped(
    values: Tensor,
    index: Tensor,
    groups: int,
    dtype: torch.dtype,
    weight: Float[Tensor, " item"] | None = None,
) -> Tensor:
    """Sum rows by group in the given dtype, on the CPU; weighted where a weight is given.

    Example:
        >>> grouped(torch.tensor([1, 2, 3]), torch.tensor([0, 1, 0]), 2, torch.int64).tolist()
        [4, 2]
    """
    if weight is not None:
        values = torch.einsum("i,i...->i...", weight.to(values.device), values.to(dtype))
    # One culture at a time: casting a whole batch of rows to 64 bits would double the memory.
    return torch.stack([values[index == g].sum(0, dtype=dtype).cpu() for g in range(groups)])


def check_finite(rows: ItemStatistics, cultures: Sequence[str], items: Sequence[str] = ()) -> None:
    """Refuse activations that are NaN or infinite, or whose squares are.

    Raises:
        NotFinite: Names the site, the layer, the neuron, the item where known, and the culture.
    """
    for table in (rows.sums, rows.squares):
        for site, values in table.items():
            bad = ~torch.isfinite(values)
            if bad.any():
                row, layer, neuron = (int(i) for i in bad.nonzero()[0])
                raise NotFinite(
                    f"activations at site {site!r}, layer {layer}, neuron {neuron} are NaN or "
                    f"infinite on {items[row] if items else 'an item'} of {cultures[row]}: {REMEDY}"
                )
