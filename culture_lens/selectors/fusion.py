"""Fusion: one ranking of a culture's neurons over several prompt languages or wordings.

The same questions asked in several languages or wordings l give one summary each. The margin of
culture c,

    m[l,c,n] = P[l,c,n] - max over other cultures c' of P[l,c',n]

is ConAct's score where c has the highest P, and below 0 elsewhere. Over l:

* **overlap**: only neurons whose margin is above 0 in every l, ranked by the worst of their ranks:
  the order in which they enter the intersection of the top-k sets as k grows.
* **joint**: mean over l of z[l,c,n], z the margin standardised over the neurons of a site.
* **consistent**: mean over l of z[l,c,n] - lambda * standard deviation over l of z[l,c,n]
  (consistency-regularised fusion, arXiv 2608.08772): neurons that depend on the wording rank lower.

With the last two a neuron may be chosen for c only where its mean margin is above 0, so that, as
with ConAct, no neuron is in the sets of two cultures.

``variance_shares`` measures how far P depends on culture, on language, and on both together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import SUMMARY, ActivationSummary
from culture_lens.checks import check_arguments, mapping, real, text
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.neurons.with_units import layers_with_units
from culture_lens.questions.unseen import joined
from culture_lens.selectors.conact import margins
from culture_lens.storage.runs import versions

if TYPE_CHECKING:  # other names are refused at run time, with the nearest one
    FusionName = Literal["consistent", "joint", "overlap"]

FUSIONS: tuple[FusionName, ...] = ("consistent", "joint", "overlap")
MODEL_FACTS = ("model", "weights", "dtype")
SUMMARIES = mapping(SUMMARY, "{name: summary} with one for each language or wording")
REMEMBERED = ("model", "revision", "weights", "units", "dtype", "style", "roles", "only_correct")
"""What a neuron set remembers of the summaries, where they agree."""


@check_arguments(summaries=SUMMARIES, how=text, consistency=real)
def fuse(
    summaries: Mapping[str, ActivationSummary],
    how: FusionName = "consistent",
    *,
    consistency: float = 1.0,
) -> NeuronScores:
    """Fuse the margins of several prompt languages or wordings into one score per neuron.

    Args:
        summaries: Name of each language or wording -> its summary, all of one model, the same
            sites and the same cultures.
        how: ``"consistent"``, ``"joint"`` or ``"overlap"``; see the module.
        consistency: Lambda of ``"consistent"``; 0 gives ``"joint"``. The paper could not be read:
            standardising over the neurons of a site, the population standard deviation over
            languages, and the default of 1 are this package's choices.

    Returns:
        Scores; minus infinity where a neuron cannot be chosen for a culture.

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
        tables = {name: margins(s.probability(site)) for name, s in summaries.items()}
        stacked = torch.stack(list(tables.values()))
        if how == "overlap":
            scores[site] = -worst_rank(stacked)
            continue
        layers = layers_with_units(first.metadata, site, stacked.shape[2])
        z = torch.stack(
            [standardised(m, f"{name!r} at site {site!r}", layers) for name, m in tables.items()]
        )
        fused = z.mean(0)
        if how == "consistent":
            fused = fused - consistency * z.std(0, unbiased=False)
        scores[site] = torch.where(stacked.mean(0) > 0, fused, NEVER)
    options = {"consistency": consistency} if how == "consistent" else {}
    made = {"selector": f"fusion_{how}", "options": options}
    return NeuronScores(first.cultures, scores, metadata={**fused_metadata(summaries), **made})


def check_alike(summaries: Mapping[str, ActivationSummary]) -> ActivationSummary:
    """Refuse summaries that cannot be compared neuron by neuron; return the first.

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
            ("units", first.metadata.get("units"), summary.metadata.get("units")),
            *((fact, first.metadata.get(fact), summary.metadata.get(fact)) for fact in MODEL_FACTS),
            ("shapes", site_shapes(first), site_shapes(summary)),
        ):
            if mine != theirs:
                raise InputError(
                    f"the summaries of {name!r} and {other!r} differ in {what} ({mine} and "
                    f"{theirs}): fuse summaries of one model, the same sites and cultures."
                )
    return first


def site_shapes(summary: ActivationSummary) -> dict[str, tuple[int, ...]]:
    """Give layers and neurons of every site."""
    return {site: tuple(summary.counts[site].shape[1:]) for site in sorted(summary.sites)}


def standardised(
    margins: Float[Tensor, "culture layer neuron"], where: str, layers: Sequence[int]
) -> Float[Tensor, "culture layer neuron"]:
    """Standardise each culture's margins over all neurons of a site, in the layers that have some.

    Raises:
        InputError: They are all the same, so that there is nothing to rank.

    Example:
        >>> standardised(torch.tensor([[[1.0, 3.0]]]), "", [0]).flatten().tolist()
        [-1.0, 1.0]
    """
    flat = margins[:, list(layers)].flatten(1)
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
    """Give the worst of a neuron's ranks over languages; infinity where a margin is not above 0.

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


def fused_metadata(summaries: Mapping[str, ActivationSummary]) -> dict[str, Any]:
    """Give the metadata of the fused scores, with what was looked at in any language."""
    facts = [summary.metadata for summary in summaries.values()]
    shared = [fact for fact in REMEMBERED if fact in facts[0]]
    alike = {k: facts[0][k] for k in shared if all(f.get(k) == facts[0][k] for f in facts)}
    benchmarks = {name for f in facts for name in str(f.get("benchmark", "")).split(", ") if name}
    return {
        **alike,
        "benchmark": ", ".join(sorted(benchmarks)),
        "fused": list(summaries),
        "items": sum(int(summary.items.sum()) for summary in summaries.values()),
        **joined(*facts),
        "versions": versions(),
    }


__all__ = ["FUSIONS", "fuse"]
