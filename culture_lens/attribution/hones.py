"""HONES: what MLP neurons write towards the right answer, as far as it depends on certain heads.

Head-Oriented Neuron Explanation and Steering (Wang, Hu and Jiang, arXiv 2604.17941), without
gradients. x is an item of a culture, y its right answer, u_y the sum of the unembedding rows of
y's tokens divided by its norm, W_n the output weights of neuron n, a_n its activation at the last
token of the prompt (the site ``post``), and do(h) the model in which z of head h is, at every
token, the mean of z of the other heads of its layer:

1. w_h  = max(0, U - U[do(h)])                U: mean over x of the utility; the largest K are kept
2. c_n  = mean over x of a_n <W_n, u_y>       direct vocabulary projection
3. I_n  = sum over h of w_h max(0, c_n - c_n[do(h)]) / sum over h of w_h

The text of the paper could not be read: the equations are those of its published code
(petergit1/HONES). There a task takes the place of a culture, and U is the task's own metric. Here
U is P(y|x), the probability of the right option: one head hardly ever changes an accuracy on some
tens of questions. A head whose ablation does not lower U has weight 0; where that is so of all
heads, all scores of the culture are 0, and the published code's fallback, c_n itself, is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from culture_lens.attribution.gradients import prepared
from culture_lens.attribution.scoring import get_attribution_scoring
from culture_lens.attribution.settings import Attribution
from culture_lens.checks import check_arguments, names, optional, text, whole
from culture_lens.errors import InputError
from culture_lens.interventions.folding import projection
from culture_lens.interventions.heads import Heads, heads_of
from culture_lens.models.checks import MODEL, check_logits
from culture_lens.models.continuations import wide
from culture_lens.models.heads import count_heads
from culture_lens.models.lens_model import LensModel
from culture_lens.models.rows import options_running
from culture_lens.neurons.scores import NeuronScores
from culture_lens.prompts.batches import Batches, batches
from culture_lens.prompts.prompt import Batch, Prompt
from culture_lens.prompts.run_batches import run_batches
from culture_lens.prompts.running import Running, RunningOptions, read_options
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of, check_questions
from culture_lens.questions.splits import at_most
from culture_lens.questions.unseen import looked_at
from culture_lens.storage.progress import progress_bar
from culture_lens.storage.runs import versions

TOP_HEADS = 30
"""K of the published code for LLaVA-1.5-7B, which has 1024 heads."""
PlainHead = tuple[int, int]
"""Layer and head."""
Contributions = Float[Tensor, "item layer neuron"]


def others_mean(
    z: Float[Tensor, "batch pos head d_head"], head: int
) -> Float[Tensor, "batch pos head d_head"]:
    """Put the mean of the other heads in the place of a head.

    Example:
        >>> others_mean(torch.tensor([[[[1.0], [2.0], [6.0]]]]), 0).flatten().tolist()
        [4.0, 2.0, 6.0]
    """
    rest = (z.sum(2) - z[:, :, head]) / (z.shape[2] - 1)
    return torch.cat([z[:, :, :head], rest[:, :, None], z[:, :, head + 1 :]], 2)


def replaced_by_mean(model: LensModel, head: PlainHead) -> list[tuple[str, Any]]:
    """Make the hook of do(h)."""
    layer, index = head
    heads = count_heads(model)

    def run(z: Tensor, hook: Any) -> Tensor:
        apart = z.reshape(*z.shape[:2], heads, -1)
        return others_mean(apart, index).reshape(z.shape)

    return [(model.hook_name("z", layer), run)]


@torch.no_grad()
def utility(model: LensModel, batch: Batch, scoring: str) -> Float[Tensor, " item"]:
    """Give P(y|x) of each item: of the label, or among the options by their mean likelihood."""
    gold = [prompt.question.answer for prompt in batch.prompts]
    if scoring == "letter":
        logits = model.logits(batch)
        check_logits(logits, batch)
        labels = [prompt.labels[at] for prompt, at in zip(batch.prompts, gold, strict=True)]
        return wide(logits).softmax(-1)[range(len(gold)), labels].double().cpu()
    rows = [torch.stack([own.mean() for own in o]) for o in model.continuation_log_probs(batch)]
    return torch.stack([row.softmax(0)[at] for row, at in zip(rows, gold, strict=True)]).double()


def aligned(model: LensModel, prompts: Sequence[Prompt]) -> Contributions:
    """Compute <W_n, u_y> of every neuron for the answer of each prompt, in float32 or wider.

    Raises:
        InputError: The weights of an MLP's output are quantised or offloaded.
    """
    head = wide(model.bridge.original_model.get_output_embeddings().weight.detach())
    answers = [p.continuations[p.question.answer] if p.continuations
               else (p.labels[p.question.answer],) for p in prompts]  # fmt: skip
    direction = torch.stack([head[list(tokens)].sum(0) for tokens in answers])
    direction = direction / direction.norm(dim=-1, keepdim=True)
    rows = []
    for layer in range(model.layers("post")):
        found = projection(model, "post", layer)
        if found is None:
            raise InputError(
                f"hones needs the output weights of the MLPs of {model.name!r}, which are "
                "quantised or offloaded: load the model in float16, bfloat16 or float32."
            )
        weight, axis = found
        out = wide(weight.detach()) if axis == 1 else wide(weight.detach()).T
        rows.append((direction.to(out.device) @ out).to(model.device))
    return torch.stack(rows, 1)


@torch.no_grad()
def contributions(
    model: LensModel, batch: Batch, along: Contributions, hooks: Sequence[tuple[str, Any]] = ()
) -> Float[Tensor, "layer neuron"]:
    """Sum a_n <W_n, u_y> at the last token over the items of a batch, float64."""
    found: dict[int, Tensor] = {}

    def keep(activation: Tensor, hook: Any, *, layer: int) -> None:
        if options_running() is None:
            found[layer] = wide(activation[:, -1]).to(along.device)

    layers = range(model.layers("post"))
    reads = [(model.hook_name("post", layer), partial(keep, layer=layer)) for layer in layers]
    with model.hooks([*hooks, *reads]):
        model.logits(batch)
    last = torch.stack([found[layer] for layer in layers], 1)
    return (last * along).double().sum(0).cpu()


@check_arguments(
    model=MODEL,
    questions=QUESTIONS,
    scoring=optional(text),
    top_heads=whole(1),
    sites=optional(names),
    per_culture=optional(whole(1)),
)
def hones_scores(
    model: LensModel,
    questions: Sequence[Question],
    *,
    heads: Heads | None = None,
    top_heads: int = TOP_HEADS,
    scoring: str | None = None,
    sites: str | Sequence[str] | None = None,
    per_culture: int | None = None,
    **running: Unpack[RunningOptions],
) -> NeuronScores:
    """Score MLP neurons by what they write towards the right answer through a culture's heads.

    Every head takes one forward of every question, and every kept head a second one.

    Args:
        model: The model; not an encoder-decoder.
        questions: The questions.
        heads: The heads that are tried; all by default.
        top_heads: K, how many of them are kept for each culture.
        scoring: ``"letter"`` or ``"option_likelihood"``; as the model answers by default.
        sites: ``"act"`` (the default) or ``"post"``: what the neurons are called; the scores are
            the same, as either is 0 where the other is.
        per_culture: At most so many items of each culture.
        **running: Batch size, progress, prompts that are too long; see ``Running``. Nothing that
            is half done is kept in a run folder.

    Returns:
        I, ``culture layer neuron``. The metadata hold each culture's ``heads``, as layer, head and
        weight.

    Raises:
        InputError: An encoder-decoder, another site, heads that the model lacks, a layer of a
            single head, or questions that cannot be asked.

    Example:
        ``select(hones_scores(model, questions, per_culture=20), "hones", share=0.005)``
    """
    (how,) = read_options(running, Running)
    asked = at_most(questions, per_culture)
    check_questions(asked, min_cultures=1)
    site = check_site(model, sites)
    given = heads_of(model, all_heads(model) if heads is None else heads)
    tried = [(layer, head) for own in given for layer in own.layers for head in own.layers[layer]]
    attribution = Attribution(scoring=read_by(scoring or model.scoring))
    prompts = prepared(model, asked, attribution, how)
    cultures = tuple(sorted({prompt.question.culture for prompt in prompts}))
    rows, kept = [], {}
    with progress_bar(
        total=len(cultures) * (len(tried) + top_heads), desc="hones", progress=how.progress
    ) as bar:
        for culture in cultures:
            own = [prompt for prompt in prompts if prompt.question.culture == culture]
            work = batches(own, how.rows(), model.pad_id)
            weights = head_weights(model, work, tried, attribution.scoring, bar)
            best = sorted(tried, key=lambda head: -weights[head])[:top_heads]
            kept[culture] = [(*head, weights[head]) for head in best if weights[head] > 0]
            rows.append(through(model, work, kept[culture], bar))
    settings = {"model": model.name, "weights": model.fingerprint, "dtype": str(model.dtype)}
    facts = {
        "scoring": attribution.scoring,
        "top_heads": top_heads,
        "heads": kept,
        "versions": versions(),
    }
    seen = {"ids": sorted(p.question.id for p in prompts), **looked_at(questions)}
    metadata = {**settings, **facts, **seen, "benchmark": benchmarks_of(questions)}
    return NeuronScores(cultures, {site: torch.stack(rows)}, metadata=metadata)


def read_by(scoring: str) -> Any:
    """Give the scoring of attributions that reads answers as an evaluation does.

    Raises:
        InputError: No such scoring.
    """
    likelihood = scoring.startswith("option_likelihood")
    name = "letter" if scoring.startswith("letter") else scoring
    return get_attribution_scoring("option_likelihood" if likelihood else name).name


def check_site(model: LensModel, sites: str | Sequence[str] | None) -> str:
    """Give the one site that the neurons are called by."""
    named = [sites] if isinstance(sites, str) else list(sites or ["act"])
    if "post" not in model.sites or len(named) != 1 or named[0] not in ("act", "post"):
        raise InputError(
            f"hones scores the neurons of MLPs of one stack, at 'act' or 'post', not {named} of "
            f"{model.name!r}: leave sites out, or take another selector."
        )
    if count_heads(model) < 2:
        raise InputError(f"hones needs two heads in a layer; {model.name!r} has one.")
    return named[0]


def all_heads(model: LensModel) -> list[PlainHead]:
    """List all heads."""
    return [(la, h) for la in range(model.layers("z")) for h in range(count_heads(model))]


def head_weights(
    model: LensModel, work: Batches, heads: Sequence[PlainHead], scoring: str, bar: Any
) -> Mapping[PlainHead, float]:
    """Compute w_h of each head: how much the mean utility drops under do(h), at least 0."""

    def mean() -> float:
        step = partial(utility, model, scoring=scoring)
        found = run_batches(work, step, pad_id=model.pad_id, progress=False)
        return float(torch.cat([rows for _, rows in found]).mean())

    base, weights = mean(), {}
    for head in heads:
        with model.hooks(replaced_by_mean(model, head)):
            weights[head] = max(0.0, base - mean())
        bar.update(1)
    return weights


def through(
    model: LensModel, work: Batches, heads: Sequence[tuple[int, int, float]], bar: Any
) -> Float[Tensor, "layer neuron"]:
    """Compute I of every neuron: the weighted mean of the drops of c_n, at least 0 each."""
    items, width = work.items, model.shape("post")
    drops = torch.zeros(len(heads), *width, dtype=torch.float64)
    for batch in work:
        along = aligned(model, batch.prompts)
        base = contributions(model, batch, along)
        for at, (layer, head, _) in enumerate(heads):
            hooks = replaced_by_mean(model, (layer, head))
            drops[at] += base - contributions(model, batch, along, hooks)
            bar.update(1 / len(work))
    weights = torch.tensor([weight for *_, weight in heads], dtype=torch.float64)
    if not len(weights):
        return torch.zeros(width, dtype=torch.float64)
    found: Tensor = torch.einsum("h,hln->ln", weights, (drops / items).clamp(min=0))
    return found / weights.sum()


__all__ = ["hones_scores", "others_mean"]
