"""Scores of single items: forwards and backwards of a batch, reduced over tokens.

CULNIG (arXiv 2510.08284, section 3), which the defaults of ``Attribution`` are:

    s_t   = n_t dP(y|x) / dn_t      P: softmax over the whole vocabulary, after the last token
    s     = max over t of s_t       over all tokens but padding
    score = P(y|x) s                at least 0 on control items

x is an item, y the token of its gold label, n_t a neuron's value at token t. Other objectives take
the place of P, and their scores are not weighted; on a path s_t is integrated first (``paths``).

Without a path nothing is kept but ``item neuron``. On a path the products of all tokens are kept
until its points are added up, as many as the batch has activations: all layers' at once, or one
layer's. The sum over tokens needs none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from culture_lens.attribution.aggregation import Padding
from culture_lens.attribution.passes import (
    Baseline,
    Met,
    PassResult,
    value_at,
)
from culture_lens.attribution.points import along
from culture_lens.attribution.settings import Attribution
from culture_lens.models.checks import REMEDY, NotFinite, state_of, under
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Batch

CULNIG = Attribution()


@dataclass(frozen=True, eq=False)
class ItemScores:
    """The scores of a batch: one row per item, reduced over its tokens.

    Attributes:
        p_gold: P(gold), ``item``.
        right: Whether the model answers with the right option, ``item``.
        scores: Per site, ``item layer neuron``, float64.
        gap: How far integrated gradients are from complete: F(n) - F(b) minus the sum over all
            neurons and tokens, ``item``; None where no activation is moved.
        change: F(n) - F(b), ``item``; None where no activation is moved.
    """

    p_gold: Float[Tensor, " item"]
    right: Bool[Tensor, " item"]
    scores: Mapping[str, Float[Tensor, "item layer neuron"]]
    gap: Float[Tensor, " item"] | None = None
    change: Float[Tensor, " item"] | None = None


class Rows:
    """Collects products of tokens, and joins them to one row per item."""

    def __init__(self, how: Attribution, items: int, device: torch.device) -> None:
        """Start with nothing."""
        self.how, self.items, self.device = how, items, device
        self.rows: dict[tuple[str, int], Tensor] = {}
        self.total = torch.zeros(items, dtype=torch.float64, device=device)
        self._held: dict[tuple[str, int, int], tuple[Tensor, Padding, Tensor | None]] = {}

    def take(self, met: Met, weight: float = 1.0) -> None:
        """Add the products of one place at one point, of so much weight."""
        products = wide(met.values) * wide(met.gradient)
        if not self.how.way.single:
            scale = (met.unit * weight).to(products.device, products.dtype)
            products *= scale[:, None, None]
        if self.how.way.moves:
            self._count(products, met)
        if not self.how.counts(met.visit):
            return
        if self.how.way.single or self.how.aggregation == "sum":
            self._join(met.site, met.layer, products, met.padding, met.rows)
            return
        key = (met.site, met.layer, met.visit)
        if key in self._held:
            self._held[key][0].add_(products)
        else:
            self._held[key] = (products, met.padding, met.rows)

    def finish(self) -> None:
        """Join what is held of the points of a path."""
        for (site, layer, _), held in self._held.items():
            self._join(site, layer, *held)
        self._held = {}

    def of(self, site: str, layer: int, width: int) -> Float[Tensor, "item neuron"]:
        """Give the rows of a place; 0 for items that have no token that counts."""
        if (site, layer) not in self.rows:
            return torch.zeros(self.items, width, device=self.device)
        rows = self.rows[site, layer]
        if self.how.joining.rows == "sum":
            return rows
        return torch.where(rows == float("-inf"), 0, rows)

    def _join(
        self, site: str, layer: int, products: Tensor, padding: Padding, at: Tensor | None
    ) -> None:
        joining, held = self.how.joining, self.rows.get((site, layer))
        rows = joining.tokens(products, padding).to(self.device)
        self.rows[site, layer] = joining.to_items(held, rows, at, self.items)

    def _count(self, products: Tensor, met: Met) -> None:
        """Add up everything, for completeness."""
        width = met.padding.shape[1]
        sums = products.sum(2)
        sums[:, :width].masked_fill_(met.padding, 0)
        at = torch.arange(self.items) if met.rows is None else met.rows
        self.total.index_add_(0, at.to(self.device), sums.sum(1).double().to(self.device))


def item_scores(
    model: LensModel,
    batch: Batch,
    sites: Sequence[str] | None = None,
    how: Attribution = CULNIG,
    *,
    control: bool = False,
    baseline: Baseline | None = None,
) -> ItemScores:
    """Score every neuron on each item of a batch, at the model's projections by default.

    Raises:
        InputError: Logits or scores are NaN or infinite.

    Example:
        ``item_scores(model, batch, ["act"], Attribution("logit_difference")).scores["act"].shape``
    """
    sites = model.projections if sites is None else sites
    places = model.places(sites)
    path, rows = how.way, Rows(how, len(batch.prompts), model.device)
    for part in path.parts(places):
        done = along(model, batch, part, rows.take, how, baseline)
        rows.finish()
    gap = change = None
    if path.moves:
        done, change = ends(model, batch, list(path.parts(places)), how, baseline)
        gap = change - rows.total
    weight = (done.unit * (done.p_gold if how.weighted else 1))[:, None, None]
    scores = {}
    for site in sites:
        layers = [rows.of(site, layer, model.shape(site)[1]) for layer in range(model.layers(site))]
        joined = torch.stack(layers, 1).to(weight.device) * weight
        with under(state_of(model)):
            check_scores(joined, site, batch)
        scores[site] = joined.clamp(min=0) if control else joined
    return ItemScores(done.p_gold, done.right, scores, gap, change)


def ends(
    model: LensModel,
    batch: Batch,
    parts: Sequence[list[tuple[str, int]]],
    how: Attribution,
    baseline: Baseline | None,
) -> tuple[PassResult, Float[Tensor, " item"]]:
    """Run the model as it is, and at the beginning of each part's path.

    Returns:
        The results of the model as it is, and F(n) - F(b), added up over the parts.
    """
    run = partial(value_at, model, batch, scores=how.reads.scores, objective=how.explains)
    done = run([])
    change = torch.zeros_like(done.value, dtype=torch.float64)
    for part in parts:
        change += done.value.double() - run(part, share=0.0, baseline=baseline).value.double()
    return done, change


def check_scores(rows: Float[Tensor, "item layer neuron"], site: str, batch: Batch) -> None:
    """Refuse scores that are NaN or infinite, naming the site, the layer and the question."""
    if not torch.isfinite(
        rows.sum()
    ):  # a cheap check first: one bad value makes the sum NaN or infinite
        for item, layer, neuron in (~torch.isfinite(rows)).nonzero().tolist():
            raise NotFinite(
                f"attribution at site {site!r}, layer {layer}, neuron {neuron} is NaN or infinite "
                f"on question {batch.prompts[item].question.id!r}: {REMEDY}"
            )
