"""Every selector as a ranking of all neurons, so that any number of them can be taken from each.

Selectors choose by shares of their own, and none of two would choose as many. To compare them, the
neurons of a culture are put in the order in which each selector would take them, and as many are
taken from all. What a selector refuses at any number (a control's top neurons, another culture's)
has no place in its order.

CULNIG is ranked at the gate alone, and once as published, with q, k and v competing for places.
Its parts are also switched off in turn: the control, CountryRC, the standard score. Beside it
stands its first part by itself, the task's attribution, and that minus the mean of the other
cultures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from culture_lens.activations.statistics import ActivationSummary
from culture_lens.attribution.culnig import CulnigScores
from culture_lens.errors import InputError, unknown
from culture_lens.models.sites import PROJECTIONS, sites_reading
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.neurons.scores import NEVER, NeuronScores, pooled_top
from culture_lens.selectors.culnig_specific import standard_scores
from culture_lens.selectors.mad import against_others
from culture_lens.selectors.random import random
from culture_lens.selectors.registry import SELECTORS, key_of

GATE = ("gate",)


@dataclass(frozen=True, eq=False)
class Sources:
    """What selectors rank from.

    Attributes:
        summary: Of a recording pass; the activation selectors read it.
        scores: CULNIG's three scorings; the gradient selectors read them.
        stratified: Of a pass that counts with the weights of strata, for rankings of its own.
    """

    summary: ActivationSummary | None = None
    scores: CulnigScores | None = None
    stratified: ActivationSummary | None = None


def activation_ranking(name: str) -> Callable[[Sources], NeuronScores]:
    """Rank by an activation selector."""

    def rank(sources: Sources) -> NeuronScores:
        if sources.summary is None:
            raise InputError(f"{name} ranks by an ActivationSummary; see summarise.")
        found = SELECTORS[name](sources.summary)
        # LAPE chooses over all cultures first: what it leaves out there has no place.
        scores = {
            site: torch.where(found.ranking[site] > NEVER, values, NEVER)
            if site in found.ranking
            else values
            for site, values in found.scores.items()
        }
        return NeuronScores(found.cultures, scores)

    return rank


def gradient_ranking(
    *,
    sites: Sequence[str] = GATE,
    control: bool = True,
    contrast: bool = False,
    countryrc_share: float = 0.01,
    z: float | None = 0.5,
) -> Callable[[Sources], NeuronScores]:
    """Rank by attribution, with the parts of CULNIG that are asked for.

    Args:
        sites: Where neurons compete for places.
        control: Subtract the control's score.
        contrast: Subtract the mean of the other cultures.
        countryrc_share: Neurons in this top share of CountryRC have no place; 0 leaves none out.
        z: Smallest standard score among cultures; None for any.
    """

    def rank(sources: Sources) -> NeuronScores:
        if sources.scores is None:
            raise InputError("gradient selectors rank by CulnigScores; see culnig_scores.")
        every = sources.scores
        tables = every.contrast() if control else every.task.scores
        tables = {site: tables[site] for site in sites_reading(sites, tables)}
        if not tables:
            raise InputError(f"nothing was scored at {', '.join(sites)}; see culnig_scores(sites=)")
        ranked = {
            site: against_others(values) if contrast else values.clone()
            for site, values in tables.items()
        }
        if z is not None:
            for site, values in tables.items():
                ranked[site][standard_scores(values) < z] = NEVER
        if countryrc_share:
            reading = every.countryrc
            for named, culture in enumerate(reading.cultures):
                own = every.task.cultures.index(culture)
                high = {site: reading.scores[site][named] for site in ranked}
                for site, places in pooled_top(high, countryrc_share).places.items():
                    ranked[site][own, places[:, 0], places[:, 1]] = NEVER
        return NeuronScores(every.task.cultures, ranked)

    return rank


def general_ranking(sources: Sources) -> NeuronScores:
    """Rank for culture in general, in the same order for every culture."""
    if sources.scores is None:
        raise InputError("gradient selectors rank by CulnigScores; see culnig_scores.")
    contrast = sources.scores.contrast()
    ranked: dict[str, torch.Tensor] = {}
    for site in sites_reading(GATE, contrast):
        score = contrast[site].sum(0)
        high = pooled_top({site: sources.scores.countryrc.scores[site].sum(0)}, 0.01).places[site]
        score[high[:, 0], high[:, 1]] = NEVER
        ranked[site] = score.expand_as(contrast[site])
    return NeuronScores(sources.scores.task.cultures, ranked)


RANKINGS: Mapping[str, Callable[[Sources], NeuronScores]] = {
    **{
        name: activation_ranking(name)
        for name in ("lap", "lape", "mad", "mad_probability", "conact")
    },
    "gradient": gradient_ranking(control=False, countryrc_share=0.0, z=None),
    "gradient_contrast": gradient_ranking(
        control=False, contrast=True, countryrc_share=0.0, z=None
    ),
    "culnig_specific": gradient_ranking(),
    "culnig_no_control": gradient_ranking(control=False),
    "culnig_no_countryrc": gradient_ranking(countryrc_share=0.0),
    "culnig_no_z": gradient_ranking(z=None),
    "culnig_all_projections": gradient_ranking(sites=PROJECTIONS),
    "culnig_general": general_ranking,
    "random": activation_ranking("random"),
}
"""Name -> ranking of all neurons of each culture."""


def get_ranking(
    name: str, among: Mapping[str, Callable[[Sources], NeuronScores]] = RANKINGS
) -> Callable[[Sources], NeuronScores]:
    """Find a ranking by name; hyphens and underscores are the same.

    Raises:
        InputError: No such ranking.

    Example:
        >>> get_ranking("conact") is RANKINGS["conact"]
        True
    """
    key = key_of(name)
    if key not in among:
        raise unknown("ranking", name, among)
    return among[key]


def rank(
    name: str,
    sources: Sources,
    *,
    seed: int = 0,
    among: Mapping[str, Callable[[Sources], NeuronScores]] = RANKINGS,
) -> NeuronScores:
    """Rank all neurons of each culture by a selector; random ones are drawn by the seed.

    Args:
        name: A name from ``among``; hyphens and underscores are the same.
        sources: What selectors rank from.
        seed: Draws the ranking of ``"random"``; of no use to the others.
        among: The rankings by name.

    Raises:
        InputError: No such ranking, or a source that it needs is missing.

    Example:
        ``rank("random", Sources(summary), seed=3)``
    """
    ranking = get_ranking(name, among)
    if key_of(name) == "random" and sources.summary is not None:
        return random(sources.summary, seed=seed)
    return ranking(sources)


def in_order(scores: NeuronScores, culture: str) -> list[tuple[str, int, int]]:
    """List the neurons of a culture, the best first, as ``(site, layer, index)``.

    Those that cannot be chosen are not in it; ties keep the order of sites, layers and indices.

    Raises:
        InputError: No such culture.

    Example:
        >>> table = torch.tensor([[[0.1, 0.3]], [[NEVER, 0.2]]])
        >>> in_order(NeuronScores(("a", "b"), {"act": table}), "a")
        [('act', 0, 1), ('act', 0, 0)]
    """
    if culture not in scores.cultures:
        raise unknown("culture", culture, scores.cultures)
    own = scores.cultures.index(culture)
    flat = torch.cat([values[own].flatten() for values in scores.scores.values()])
    places = [
        (site, layer, index)
        for site, values in scores.scores.items()
        for layer in range(values.shape[1])
        for index in range(values.shape[2])
    ]
    order = torch.sort(flat, descending=True, stable=True).indices.tolist()
    return [places[place] for place in order if flat[place] > NEVER]


def first(scores: NeuronScores, culture: str, number: int) -> Neurons:
    """Take so many of a culture's neurons, or all that there are where fewer have a place.

    Example:
        ``first(get_ranking("mad")(Sources(summary)), "Japan", 100)``
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for site, layer, index in in_order(scores, culture)[:number]:
        places.setdefault(site, []).append((layer, index))
    return Neurons.of(dict(sorted(places.items())))


__all__ = ["RANKINGS", "Sources", "first", "get_ranking", "in_order", "rank"]
