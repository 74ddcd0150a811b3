"""Invariance: units that stay selective for a culture in every wording and format.

    m[w,c,n] = P[w,c,n] - max over other cultures c' of P[w,c',n]      selectivity in wording w

    lowest:    I[c,n] = min over w of m[w,c,n]
    harmonic:  I[c,n] = W / (sum over w of 1 / m[w,c,n])    where every m is above 0

A unit has a score only where it is selective in all W wordings. The lowest says what can be relied
on; the harmonic mean, never below it, lets a strong wording help a little. A plain mean would hide
the one wording that a unit fails in. The score is this package's own, after no paper.

**The null**: labels of cultures are exchanged between whole question groups, the same exchange in
every wording. This is valid if a unit does not tell cultures apart, as cells of one group are then
exchangeable; the wordings of a question stay together, so that what they share is kept. Of
selective units there are ``by_chance`` as many as the permutations have on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import check_arguments, text
from culture_lens.errors import InputError, unknown
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.selectors.conact import margins
from culture_lens.selectors.fusion import SUMMARIES, check_alike, fused_metadata

if TYPE_CHECKING:
    InvarianceName = Literal["lowest", "harmonic"]
else:
    InvarianceName = str  # a wrong name reaches the check that lists the right ones

Margins = Float[Tensor, "wording culture layer neuron"]


def lowest(margin: Margins) -> Float[Tensor, "culture layer neuron"]:
    """Give the lowest margin over wordings.

    Example:
        >>> lowest(torch.tensor([0.5, 0.25]).view(2, 1, 1, 1)).item()
        0.25
    """
    return margin.amin(0)


def harmonic(margin: Margins) -> Float[Tensor, "culture layer neuron"]:
    """Give the harmonic mean of margins over wordings, all of which must be above 0.

    Example:
        >>> harmonic(torch.tensor([0.5, 0.25]).view(2, 1, 1, 1).double()).item()
        0.3333333333333333
    """
    safe = margin.clamp(min=torch.finfo(margin.dtype).tiny)
    return len(margin) / (1 / safe).sum(0)


WAYS = {"lowest": lowest, "harmonic": harmonic}


@check_arguments(summaries=SUMMARIES, how=text)
def invariance(
    summaries: Mapping[str, ActivationSummary], how: InvarianceName = "lowest"
) -> NeuronScores:
    """Score units by how selective they stay over wordings and formats; see the module.

    Args:
        summaries: Name of each wording -> its summary, all of one model, the same sites and
            cultures; of ``in_every_wording`` or of other prompt formats.
        how: ``"lowest"`` or ``"harmonic"``.

    Returns:
        Scores; minus infinity where a unit is not selective in every wording. The metadata hold
        ``invariant``: for each site and culture, how many units are ``found``, and, where all
        summaries hold as many permutations, how many are so ``by_chance``.

    Raises:
        InputError: Fewer than two summaries or cultures, summaries that differ in model, sites,
            shapes or cultures, or an unknown way.

    Example:
        ``invariance({"letters": one, "digits": other}).top(share=0.005)["Japan"]``
    """
    if how not in WAYS:
        raise unknown("way to score invariance", how, WAYS)
    first = check_alike(summaries)
    every = list(summaries.values())
    scores = {site: scored(every, site, how) for site in first.sites}
    found = {site: counted(table) for site, table in scores.items()}
    chance = by_chance(every, how)
    facts = {
        site: {
            culture: {"found": int(found[site][row])}
            | ({"by_chance": float(chance[site][row])} if chance else {})
            for row, culture in enumerate(first.cultures)
        }
        for site in first.sites
    }
    made: dict[str, Any] = {"selector": f"invariance_{how}", "options": {}, "invariant": facts}
    return NeuronScores(first.cultures, scores, metadata={**fused_metadata(summaries), **made})


def scored(
    summaries: list[ActivationSummary], site: str, how: str
) -> Float[Tensor, "culture layer neuron"]:
    """Score the units of a site."""
    margin = torch.stack([margins(summary.probability(site)) for summary in summaries])
    return torch.where((margin > 0).all(0), WAYS[how](margin), NEVER)


def counted(scores: Float[Tensor, "culture layer neuron"]) -> Tensor:
    """Count each culture's units that have a score."""
    return (scores > NEVER).sum((1, 2)).double()


def by_chance(summaries: list[ActivationSummary], how: str) -> dict[str, Tensor]:
    """Count the same under each permutation, on average; nothing where there are none.

    Raises:
        InputError: They hold different permutations.
    """
    held = {(s.replicates.permutations, s.replicates.design) if s.replicates else (0, "")
            for s in summaries}  # fmt: skip
    if len(held) > 1:
        raise InputError(
            "the wordings hold different permutations, so labels are not exchanged alike in each: "
            "record the same questions in every wording, with the same replicates= and seed."
        )
    ((number, _),) = held
    if not number:
        return {}
    sums = {site: torch.zeros(len(summaries[0].cultures)).double() for site in summaries[0].sites}
    for row in zip(*(summary.permuted() for summary in summaries), strict=True):
        for site, total in sums.items():
            total += counted(scored(list(row), site, how))
    return {site: total / number for site, total in sums.items()}


__all__ = ["invariance"]
