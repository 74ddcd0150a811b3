"""Scores of single items: a forward and a backward per batch, reduced over tokens at once.

    s_t   = n_t dP(y|x) / dn_t      P: softmax over the whole vocabulary, after the last token
    s     = max over t of s_t       over all tokens but padding; or their sum, or the last one
    score = P(y|x) s                at least 0 on control items

x is an item, y the token of its gold label, n_t a neuron's value at token t (CULNIG, arXiv
2510.08284, section 3). The steps, per batch:

1. One forward with frozen parameters; every site keeps its activation in the graph.
2. One backward from P times a power of two that brings it near 1: in half precision the gradient
   of an unlikely answer would underflow, and dividing by a power of two is exact.
3. When a site's gradient arrives it is reduced over tokens at once, to ``item neuron``. No
   gradient is kept, and no activation longer than the graph needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from culture_lens.attribution.aggregation import AGGREGATIONS, padded_columns
from culture_lens.models.checks import REMEDY, NotFinite, check_logits, state_of, under
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.prompt import Batch, Prompt

if TYPE_CHECKING:
    from culture_lens.attribution.aggregation import Aggregation

SMALLEST_EXPONENT = -100
"""Below 2^-100 an answer's probability is not scaled further; float32 ends at 2^-149."""

Take = Callable[[str, int, Tensor, Tensor], None]
"""Takes site, layer, values and gradient of one hook."""


def gold_tokens(prompts: Sequence[Prompt], processor: Any) -> dict[str, int]:
    """Find the token of each question's right label, by question id.

    Raises:
        InputError: A label is not a single token after its prompt.

    Example:
        ``gold_tokens(prompts, model.processor)["Al-en-01_1"]``
    """
    return {
        prompt.question.id: label_ids(prompt, processor)[prompt.question.answer]
        for prompt in prompts
    }


@dataclass(frozen=True, eq=False)
class PassResult:
    """The results of a forward and a backward, per item.

    Attributes:
        p_gold: P(y|x), ``item``.
        unit: A power of two; the gradients of P are the given gradients times it, ``item``.
        right: Whether y is the most probable token of the whole vocabulary, ``item``.
    """

    p_gold: Float[Tensor, " item"]
    unit: Float[Tensor, " item"]
    right: Bool[Tensor, " item"]


def attribution_pass(
    model: LensModel,
    batch: Batch,
    gold: Mapping[str, int],
    places: Iterable[tuple[str, int]],
    take: Take,
) -> PassResult:
    """Run one forward and one backward, and give n and its gradient at every place to ``take``.

    Args:
        model: The model.
        batch: Prompts of style ``"choices"``.
        gold: Token of each question's right label.
        places: ``(site, layer)`` pairs.
        take: Called with site, layer, n and g, both ``item pos neuron`` and on the device of their
            layer, as soon as the gradient arrives; it must not keep them. dP/dn is g times the
            item's ``unit``.

    Returns:
        P of the gold token, the unit of the gradients, and whether the answer is right.

    Raises:
        InputError: The model gives NaN or infinite logits.
    """
    wanted = sorted(set(places), key=lambda place: place[1])
    lowest, targets = model.lowest(wanted), list[Tensor]()

    def keep(activation: Tensor, hook: Any, *, site: str, layer: int) -> Tensor:
        # Detached: a hook that holds its own tensor would keep the whole graph alive.
        values = activation.detach().flatten(2)
        activation.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: take(site, layer, values, gradient.flatten(2))
        )
        # A backward to the lowest layer passes through every later one.
        if (site, layer) in lowest:
            targets.append(activation)
        return activation

    hooks = [
        (model.hook_name(site, layer), partial(keep, site=site, layer=layer))
        for site, layer in wanted
    ]
    with under(state_of(model)), model.hooks(hooks), torch.enable_grad():
        logits = model.differentiable_logits(batch)
        check_logits(logits.detach(), batch)
        tokens = torch.tensor([gold[p.question.id] for p in batch.prompts], device=logits.device)
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        p_gold = wide.softmax(-1).gather(1, tokens[:, None])[:, 0]
        exponent = torch.frexp(p_gold.detach()).exponent.clamp(min=SMALLEST_EXPONENT)
        unit = torch.ldexp(torch.ones_like(p_gold, dtype=torch.float64), exponent)
        torch.autograd.grad((p_gold * unit.reciprocal().to(p_gold.dtype)).sum(), targets)
    return PassResult(p_gold.detach(), unit, logits.detach().argmax(-1) == tokens)


@dataclass(frozen=True, eq=False)
class ItemScores:
    """The scores of a batch: one row per item, reduced over its tokens.

    Attributes:
        p_gold: P(y|x), ``item``.
        right: Whether y is the most probable of the whole vocabulary, ``item``.
        scores: Per site, ``item layer neuron``, float64.
    """

    p_gold: Float[Tensor, " item"]
    right: Bool[Tensor, " item"]
    scores: Mapping[str, Float[Tensor, "item layer neuron"]]


def item_scores(
    model: LensModel,
    batch: Batch,
    gold: Mapping[str, int],
    sites: Sequence[str] | None = None,
    aggregation: Aggregation = "maximum",
    control: bool = False,
) -> ItemScores:
    """Score every neuron on each item of a batch, at the model's projections by default.

    Raises:
        InputError: Logits or scores are NaN or infinite.

    Example:
        ``item_scores(model, batch, gold_tokens(prompts, model.processor)).scores["gate"].shape``
    """
    reduce = AGGREGATIONS[aggregation]
    sites = model.projections if sites is None else sites
    paddings = {site: padded_columns(model.token_mask(batch, site)) for site in sites}
    found = {site: [torch.empty(0)] * model.layers(site) for site in sites}

    def take(site: str, layer: int, values: Tensor, gradient: Tensor) -> None:
        # Layers may be on several devices; what is on the right one is not copied.
        here = paddings[site] = paddings[site].to(values.device)
        wide = torch.promote_types(values.dtype, torch.float32)
        found[site][layer] = reduce(values.to(wide) * gradient.to(wide), here).to(model.device)

    places = [(site, layer) for site in sites for layer in range(model.layers(site))]
    done = attribution_pass(model, batch, gold, places, take)
    weight = (done.p_gold * done.unit)[:, None, None]
    scores = {}
    for site, layers in found.items():
        rows = torch.stack(layers, 1).to(weight.device) * weight
        with under(state_of(model)):
            check_scores(rows, site, batch)
        scores[site] = rows.clamp(min=0) if control else rows
    return ItemScores(done.p_gold, done.right, scores)


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
