"""Fusion: a culture's neurons over several prompt languages or wordings, as one ranking.

The same questions asked in several ways l give one summary each. The margin of culture c,

    m[l,c,n] = P[l,c,n] - max over other cultures c' of P[l,c',n]

is ConAct's score where c has the highest P, and below 0 elsewhere. Over the ways:

* **overlap**: only neurons that c wins in every way; in the order in which they enter the
  intersection of the ways' top-k sets as k grows: the worst of a neuron's ranks decides.
* **joint**: mean over l of z[l,c,n], z the margin standardised over the neurons of a site.
* **consistent**: mean over l of z[l,c,n] - lambda * standard deviation over l of z[l,c,n]
  (consistency-regularised fusion, arXiv 2608.08772): what depends on the wording loses.

Of the last two a neuron may be taken for c only where its mean margin is above 0, so that, as with
ConAct, no neuron is in the sets of two cultures.

``variance_shares`` says how much of P there is to fuse: shares of culture, language, and both
together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.storage.runs import versions

FUSIONS = ("consistent", "joint", "overlap")
SAME = ("model", "weights", "dtype")
KEPT = ("model", "revision", "weights", "dtype", "style", "roles", "only_correct")
"""What a neuron set remembers of the summaries, where they agree."""


def fuse(
    summaries: Mapping[str, ActivationSummary],
    how: str = "consistent",
    *,
    consistency: float = 1.0,
) -> NeuronScores:
    """Fuse the margins of several prompt languages or wordings into one score per neuron.

    Args:
        summaries: Name of each language or wording -> its summary, all of one model, the same
            sites and the same cultures.
        how: ``"consistent"``, ``"joint"`` or ``"overlap"``; see the module.
        consistency: Lambda of ``"consistent"``; 0 gives ``"joint"``. The paper could not be read:
            that z is over the neurons of a site, that the deviation over languages is the
            population's, and the default of 1 are this package's reading.

    Returns:
        Scores; minus infinity where a neuron cannot be taken for a culture.

    Raises:
        InputError: Fewer than two summaries, summaries of different models, sites, shapes or
            cultures, fewer than two cultures, an unknown way to fuse, a negative ``consistency``,
            or margins that are all the same.

    Example:
        ``fuse({"en": english, "ja": japanese}, "joint").top(share=0.005)["Japan"]``
    """
    if how not in FUSIONS:
        raise unknown("way to fuse", how, FUSIONS)
    if not 0 <= consistency < float("inf"):
        raise InputError(f"consistency={consistency}: give a number from 0 on; 1 by default.")
    first = check_alike(summaries)
    scores = {}
    for site in first.sites:
        tables = {name: signed_margins(s.probability(site)) for name, s in summaries.items()}
        margins = torch.stack(list(tables.values()))
        if how == "overlap":
            scores[site] = -worst_rank(margins)
            continue
        z = torch.stack(
            [standardised(m, f"{name!r} at site {site!r}") for name, m in tables.items()]
        )
        fused = z.mean(0)
        if how == "consistent":
            fused = fused - consistency * z.std(0, unbiased=False)
        scores[site] = torch.where(margins.mean(0) > 0, fused, NEVER)
    options = {"consistency": consistency} if how == "consistent" else {}
    made = {"selector": f"fusion_{how}", "options": options}
    return NeuronScores(first.cultures, scores, metadata={**remembered(summaries), **made})


def check_alike(summaries: Mapping[str, ActivationSummary]) -> ActivationSummary:
    """Refuse summaries that cannot be compared neuron by neuron; give the first.

    Raises:
        InputError: Names the two, and what differs.
    """
    if len(summaries) < 2:
        raise InputError(
            f"fusion needs at least two languages or wordings, got {len(summaries)}: give "
            "{name: summarise(model, questions in that language), ...}; of one, see select."
        )
    (name, first), *others = summaries.items()
    if len(first.cultures) < 2:
        raise InputError(f"{name!r} holds only {', '.join(first.cultures)}: two are needed.")
    for other, summary in others:
        for what, mine, theirs in (
            ("cultures", first.cultures, summary.cultures),
            ("sites", sorted(first.sites), sorted(summary.sites)),
            *((fact, first.metadata.get(fact), summary.metadata.get(fact)) for fact in SAME),
            ("shapes", shapes_of(first), shapes_of(summary)),
        ):
            if mine != theirs:
                raise InputError(
                    f"the summaries of {name!r} and {other!r} differ in {what} ({mine} and "
                    f"{theirs}): fuse summaries of one model, the same sites and cultures."
                )
    return first


def shapes_of(summary: ActivationSummary) -> dict[str, tuple[int, ...]]:
    """Give layers and neurons of every site."""
    return {site: tuple(summary.counts[site].shape[1:]) for site in sorted(summary.sites)}


def signed_margins(
    probability: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Subtract from each culture's P the highest P of the others.

    Example:
        >>> signed_margins(torch.tensor([[[0.75]], [[0.0]], [[0.25]]])).flatten().tolist()
        [0.5, -0.75, -0.5]
    """
    top = probability.topk(2, dim=0)
    cultures = torch.arange(len(probability))[:, None, None]
    rival = torch.where(cultures == top.indices[0], top.values[1], top.values[0])
    return probability - rival


def standardised(
    margins: Float[Tensor, "culture layer neuron"], where: str
) -> Float[Tensor, "culture layer neuron"]:
    """Standardise each culture's margins over all neurons of a site.

    Raises:
        InputError: They are all the same, so that there is nothing to rank.

    Example:
        >>> standardised(torch.tensor([[[1.0, 3.0]]]), "").flatten().tolist()
        [-1.0, 1.0]
    """
    flat = margins.flatten(1)
    spread = flat.std(1, unbiased=False)
    if (spread == 0).any() or (flat == flat[:, :1]).all(1).any():
        raise InputError(
            f"the margins of a culture in {where} are the same for all neurons: no neuron stands "
            "out there; look at its prompts and counts, or leave this language out."
        )
    z: Tensor = (margins - flat.mean(1)[:, None, None]) / spread[:, None, None]
    return z


def worst_rank(
    margins: Float[Tensor, "language culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Give the worst of a neuron's ranks over languages; infinity where one of them is not won.

    The best has rank 1; ties keep the order of layers and indices, as where neurons are chosen.

    Example:
        >>> worst_rank(torch.tensor([[[[0.1, 0.3]]], [[[0.5, 0.2]]]])).flatten().tolist()
        [2.0, 2.0]
    """
    flat = margins.flatten(2)
    order = flat.argsort(dim=2, descending=True, stable=True)
    ranks = torch.empty_like(order)
    ranks.scatter_(2, order, torch.arange(1, flat.shape[2] + 1).expand_as(order).contiguous())
    worst = ranks.amax(0).double().view(margins.shape[1:])
    return torch.where((margins > 0).all(0), worst, -NEVER)


def remembered(summaries: Mapping[str, ActivationSummary]) -> dict[str, Any]:
    """Give what a neuron set should remember, the question groups of all languages among it."""
    facts = [summary.metadata for summary in summaries.values()]
    shared = [fact for fact in KEPT if fact in facts[0]]
    alike = {k: facts[0][k] for k in shared if all(f.get(k) == facts[0][k] for f in facts)}
    benchmarks = {name for f in facts for name in str(f.get("benchmark", "")).split(", ") if name}
    return {
        **alike,
        "benchmark": ", ".join(sorted(benchmarks)),
        "fused": list(summaries),
        "items": sum(int(summary.items.sum()) for summary in summaries.values()),
        "groups": sorted({group for f in facts for group in f.get("groups", ())}),
        "versions": versions(),
    }


__all__ = ["FUSIONS", "fuse"]
