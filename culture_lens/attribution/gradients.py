"""Gradient attribution: what each neuron adds to the probability of the right answer.

For an item x whose gold label is the token y, and a neuron with the value n_t at token t (CULNIG,
arXiv 2510.08284, section 3):

    s_t   = n_t dP(y|x) / dn_t      P: softmax over the whole vocabulary, after the last token
    s     = max over t of s_t       over all tokens but padding; or their sum, or the last one
    score = P(y|x) s                at least 0 on control items

The steps, per batch:
1. One forward with frozen parameters; every site keeps its activation in the graph.
2. One backward from P times a power of two that brings it near 1: in half precision the gradient
   of an unlikely answer would underflow, and a power of two is taken out again without error.
3. When a site's gradient arrives it is reduced over tokens at once, to ``item neuron``. No
   gradient is kept, and no activation longer than the graph needs it.
4. Items are summed per culture in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.errors import InputError, unknown
from culture_lens.models.lens_model import LensModel, check_logits, check_unhooked
from culture_lens.models.sites import check_sites
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.batches import batches, build_prompts, picture_key, run_batches
from culture_lens.prompts.build import label_ids
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.questions.question import Question, benchmarks_of, check_questions, control_twin
from culture_lens.storage.runs import Run, content_key, versions

SMALLEST_EXPONENT = -100
"""Below 2^-100 an answer's probability is not scaled further; float32 ends at 2^-149."""
BATCH_SIZE = 8
"""Items per pass: a backward pass keeps activations, so less fits than in a forward."""
SHARD = 64
"""Prompts per snapshot in a run folder: what an interruption can cost."""

Products = Float[Tensor, "item pos neuron"]
Padding = Bool[Tensor, "item column"]
Take = Callable[[str, int, Tensor, Tensor], None]


def maximum(products: Products, padding: Padding) -> Float[Tensor, "item neuron"]:
    """Take the highest s_t over an item's tokens (CULNIG); changes the products.

    Example:
        >>> s = torch.tensor([[[9.0], [-2.0], [-1.0]]])
        >>> maximum(s, torch.tensor([[True]])).item()
        -1.0
    """
    products[:, : padding.shape[1]].masked_fill_(padding[..., None], float("-inf"))
    return products.amax(1)


def total(products: Products, padding: Padding) -> Float[Tensor, "item neuron"]:
    """Sum s_t over an item's tokens, minus the first-order effect of ablating; changes products.

    Example:
        >>> total(torch.tensor([[[9.0], [-2.0], [-1.0]]]), torch.tensor([[True]])).item()
        -3.0
    """
    products[:, : padding.shape[1]].masked_fill_(padding[..., None], 0)
    return products.sum(1)


def last(products: Products, padding: Padding) -> Float[Tensor, "item neuron"]:
    """Take s_t at the last token, where the answer is written.

    Example:
        >>> last(torch.tensor([[[9.0], [-2.0], [-1.0]]]), torch.tensor([[True]])).item()
        -1.0
    """
    return products[:, -1]


def padded_columns(mask: Int[Tensor, "item pos"]) -> Padding:
    """Say which tokens are padding, as far as the last column that has any.

    Padding stands on the left, and looking through it only costs what it is wide.
    """
    padding = mask == 0
    columns = padding.any(0).nonzero()
    return padding[:, : int(columns[-1]) + 1 if len(columns) else 0]


AGGREGATIONS: Mapping[str, Callable[[Products, Padding], Tensor]] = {
    "maximum": maximum,
    "sum": total,
    "last": last,
}


def gold_tokens(prompts: Sequence[Prompt], tokenizer: Any) -> dict[str, int]:
    """Find the token of each question's right label, by question id.

    Raises:
        InputError: A label is not a single token after its prompt.

    Example:
        ``gold_tokens(prompts, model.tokenizer)["Al-en-01_1"]``
    """
    return {
        prompt.question.id: label_ids(prompt, tokenizer)[prompt.question.answer]
        for prompt in prompts
    }


@dataclass(frozen=True, eq=False)
class PassResult:
    """What a forward and a backward say of each item.

    Attributes:
        p_gold: P(y|x), ``item``.
        unit: A power of two; the gradients handed over times it are those of P, ``item``.
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
    """Run one forward and one backward, and hand over n and its gradient at every place.

    Args:
        model: The model.
        batch: Prompts of style ``"choices"``.
        gold: Token of each question's right label.
        places: ``(site, layer)`` pairs.
        take: Called with site, layer, n and g, each ``item pos neuron`` and on the device of its
            layer, as soon as the gradient is there; must not keep them. dP/dn is g times the
            item's ``unit``.

    Returns:
        P of the gold token, the unit of the gradients, and whether the answer is right.

    Raises:
        InputError: The model gives NaN or infinite logits.
    """
    wanted = sorted(set(places), key=lambda place: place[1])
    lowest, targets = model.lowest(wanted), list[Tensor]()

    def keep(activation: Tensor, hook: Any, *, site: str, layer: int) -> Tensor:
        # Detached: a hook that held the tensor it hangs on would keep the whole graph alive.
        values = activation.detach().flatten(2)
        activation.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: take(site, layer, values, gradient.flatten(2))
        )
        # All later layers lie behind the lowest one: a backward to it passes every other place.
        if (site, layer) in lowest:
            targets.append(activation)
        return activation

    hooks = [
        (model.hook_name(site, layer), partial(keep, site=site, layer=layer))
        for site, layer in wanted
    ]
    with model.hooks(hooks), torch.enable_grad():
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
    """What one batch of items gives: one row per item, already reduced over its tokens.

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
    aggregation: str = "maximum",
    control: bool = False,
) -> ItemScores:
    """Score every neuron on each item of a batch, at the model's projections by default.

    Raises:
        InputError: Logits or scores are NaN or infinite.

    Example:
        ``item_scores(model, batch, gold_tokens(prompts, model.tokenizer)).scores["gate"].shape``
    """
    reduce = AGGREGATIONS[aggregation]
    sites = model.projections if sites is None else sites
    paddings = {site: padded_columns(model.token_mask(batch, site)) for site in sites}
    found = {site: [torch.empty(0)] * model.layers(site) for site in sites}

    def take(site: str, layer: int, values: Tensor, gradient: Tensor) -> None:
        # Layers may lie on several devices; what is on the right one is not copied.
        here = paddings[site] = paddings[site].to(values.device)
        wide = torch.promote_types(values.dtype, torch.float32)
        found[site][layer] = reduce(values.to(wide) * gradient.to(wide), here).to(model.device)

    places = [(site, layer) for site in sites for layer in range(model.layers(site))]
    done = attribution_pass(model, batch, gold, places, take)
    weight = (done.p_gold * done.unit)[:, None, None]
    scores = {}
    for site, layers in found.items():
        rows = torch.stack(layers, 1).to(weight.device) * weight
        check_scores(rows, site, batch)
        scores[site] = rows.clamp(min=0) if control else rows
    return ItemScores(done.p_gold, done.right, scores)


def check_scores(rows: Float[Tensor, "item layer neuron"], site: str, batch: Batch) -> None:
    """Refuse scores that are NaN or infinite, naming the site, the layer and the question."""
    if not torch.isfinite(rows.sum()):  # a cheap look first: one bad value spoils the sum
        for item, layer, neuron in (~torch.isfinite(rows)).nonzero().tolist():
            raise InputError(
                f"attribution at site {site!r}, layer {layer}, neuron {neuron} is NaN or infinite "
                f"on question {batch.prompts[item].question.id!r}: load the model in bfloat16 or "
                "float32 (float16 overflows), or check its weights."
            )


class AttributionSums:
    """An accumulator of item scores per culture, in float64: ``update``, ``merge``, ``scores``.

    Example:
        ``sums = AttributionSums(); sums.update(rows, batch.prompts); sums.scores({})``
    """

    def __init__(self) -> None:
        """Start with nothing summed."""
        self._totals: dict[str, dict[str, Tensor]] = {}
        self._facts: dict[str, dict[str, float]] = {"items": {}, "p_gold": {}, "right": {}}
        self.ids: list[str] = []
        self.groups: set[str] = set()

    def update(self, rows: ItemScores, prompts: Sequence[Prompt]) -> None:
        """Add a batch."""
        cultures = [prompt.question.culture for prompt in prompts]
        names = sorted(set(cultures))
        device = rows.p_gold.device
        index = torch.tensor([names.index(culture) for culture in cultures], device=device)
        for site, scores in rows.scores.items():
            for position, name in enumerate(names):
                self._add(site, name, scores[index == position].sum(0, dtype=torch.float64))
        p_gold, right = rows.p_gold.tolist(), rows.right.tolist()
        for culture, p, hit in zip(cultures, p_gold, right, strict=True):
            self._count(culture, {"items": 1, "p_gold": p, "right": int(hit)})
        self.ids += [prompt.question.id for prompt in prompts]
        self.groups |= {prompt.question.group for prompt in prompts}

    def _add(self, site: str, culture: str, values: Tensor) -> None:
        held = self._totals.setdefault(site, {})
        if culture in held:
            held[culture] += values.to(held[culture].device)
        else:
            held[culture] = values.clone()

    def _count(self, culture: str, facts: Mapping[str, float | int]) -> None:
        for name, value in facts.items():
            self._facts[name][culture] = self._facts[name].get(culture, 0) + value

    def merge(self, other: NeuronScores) -> None:
        """Add sums that were made, or saved, before.

        Raises:
            InputError: An item is in both.
        """
        twice = set(self.ids) & set(other.metadata["ids"])
        if twice:
            raise InputError(f"question {min(twice)!r} was scored in both sums to be merged.")
        for position, culture in enumerate(other.cultures):
            for site, values in other.scores.items():
                self._add(site, culture, values[position])
            self._count(culture, {name: other.metadata[name][culture] for name in self._facts})
        self.ids += other.metadata["ids"]
        self.groups |= set(other.metadata["groups"])

    def scores(self, metadata: Mapping[str, Any]) -> NeuronScores:
        """Freeze what has been summed, cultures in alphabetical order.

        Raises:
            InputError: Nothing was summed.
        """
        cultures = tuple(sorted(self._facts["items"]))
        if not cultures:
            raise InputError("no items were scored, so there is nothing to sum.")
        sums = {
            site: torch.stack([held[culture].cpu() for culture in cultures])
            for site, held in self._totals.items()
        }
        facts = {"ids": sorted(self.ids), "groups": sorted(self.groups)}
        return NeuronScores(cultures, sums, metadata={**metadata, **self._facts, **facts})


def attribute(
    model: LensModel,
    questions: Sequence[Question],
    *,
    sites: str | Sequence[str] | None = None,
    aggregation: str = "maximum",
    control: bool = False,
    too_long: str = "error",
    batch_size: int = BATCH_SIZE,
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> NeuronScores:
    """Score every neuron by gradient attribution, summed per culture (CULNIG, section 3).

    Args:
        model: The model; its letters are read, so it must be able to answer by letter.
        questions: What to ask.
        sites: One site or several, scored in the same pass; by default the model's projections,
            gate, q, k and v (CULNIG), of an encoder-decoder in both stacks.
        aggregation: How an item's tokens are joined: ``"maximum"`` (CULNIG), ``"sum"`` or
            ``"last"``.
        control: Ask the control twins instead, without the question, and clamp scores at 0.
        too_long: What to do with prompts longer than the context.
        batch_size: Questions per forward and backward; halved where memory runs out.
        progress: Show a progress bar.
        run: A run folder; finished shards are kept and found again.

    Returns:
        Sums over items, float64, ``culture layer neuron`` at each site. The metadata hold the
        question ``ids`` and, per culture, the number of ``items``, the sum of ``p_gold``, and how
        many items were answered ``right``.

    Raises:
        InputError: An unknown site or aggregation, a label that is not a single token, or logits
            that are NaN or infinite.

    Example:
        ``attribute(model, questions).save("task.safetensors")``
    """
    chosen = check_sites(model.projections if sites is None else sites, model.sites)
    if aggregation not in AGGREGATIONS:
        raise unknown("aggregation", aggregation, AGGREGATIONS)
    check_questions(questions, min_cultures=1)
    asked = [control_twin(question) for question in questions] if control else questions
    prompts = build_prompts(
        asked, model.processor, context=model.context, too_long=too_long, progress=progress
    )
    gold = gold_tokens(prompts, model.tokenizer)
    settings = {
        "model": model.name,
        "weights": model.fingerprint,
        "dtype": str(model.dtype),
        "sites": list(chosen),
        "aggregation": aggregation,
        "control": control,
    }
    sums, where = AttributionSums(), None
    if run is not None:
        check_unhooked(model)
        parts = [
            (p.question.id, p.question.culture, p.all_ids, gold[p.question.id], picture_key(p))
            for p in prompts
        ]
        key = content_key(settings, parts)
        where = Run.open(run).piece("attribution", key, ".safetensors")
        if where.exists():
            sums.merge(NeuronScores.load(where))
    step = partial(
        item_scores, model, gold=gold, sites=chosen, aggregation=aggregation, control=control
    )
    shard = SHARD if where is not None else max(len(prompts), 1)
    for start in range(len(sums.ids), len(prompts), shard):
        work = batches(prompts[start : start + shard], batch_size, model.pad_id)
        label = "scoring control twins" if control else "scoring neurons"
        for batch, rows in run_batches(
            work, step, pad_id=model.pad_id, progress=progress, label=label
        ):
            sums.update(rows, batch.prompts)
        if where is not None:
            sums.scores(settings).save(where)
    metadata = {
        **settings,
        "revision": model.revision,
        "benchmark": benchmarks_of(questions),
        "versions": versions(),
    }
    return sums.scores(metadata)
