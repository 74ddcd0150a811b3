"""Every selector as a ranking of all neurons, so that any number can be taken from each.

Selectors have default shares that differ, so their set sizes differ. To compare selectors, each
ranks the neurons of a culture in the order in which it would choose them, and the same number is
taken from all. Neurons that a selector never chooses (a control's top neurons, another culture's)
are left out of its ranking.

CULNIG is ranked at the gate alone, and once as published, with gate, q, k and v ranked together.
Each of its steps is also left out in turn: the control, CountryRC, the standard score. ``gradient``
is its first step alone, the task's attribution; ``gradient_contrast`` subtracts from that the mean
of the other cultures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Int
from torch import Tensor

from culture_lens.activations.summary import ActivationSummary
from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.knowledge import KnowledgeScores
from culture_lens.errors import InputError, unknown
from culture_lens.models.sites import PROJECTIONS, sites_reading
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.neurons.with_units import layers_with_units
from culture_lens.selectors.culnig_general import reads_countries
from culture_lens.selectors.culnig_specific import (
    COUNTRYRC_SHARE,
    LEAST_Z,
    eligible,
    layers_of,
)
from culture_lens.selectors.mad import against_others
from culture_lens.selectors.random import random
from culture_lens.selectors.registry import (
    HEAD_SELECTORS,
    KNOWLEDGE_SELECTORS,
    SELECTORS,
    key_of,
)

GATE = ("gate",)


@dataclass(frozen=True, eq=False)
class Sources:
    """The inputs of rankings.

    Attributes:
        summary: Of a recording pass, for activation selectors.
        scores: CULNIG's three scorings, for gradient selectors.
        knowledge: The scores that ``knowledge`` reads.
        stratified: Of a recording pass whose items are weighted by strata.
        heads: The scores that ``hones`` reads.
    """

    summary: ActivationSummary | None = None
    scores: CulnigScores | None = None
    knowledge: KnowledgeScores | None = None
    stratified: ActivationSummary | None = None
    heads: NeuronScores | None = None


Ranking = Callable[[Sources], NeuronScores]
"""A rule that ranks all neurons for every culture."""


def activation_ranking(sources: Sources, *, name: str) -> NeuronScores:
    """Rank by an activation selector.

    Raises:
        InputError: The sources hold no summary.
    """
    if sources.summary is None:
        raise InputError(f"{name} ranks by an ActivationSummary; see summarise.")
    found = SELECTORS[name](sources.summary)
    # A selector with a ranking of its own (LAPE) chooses over all cultures first.
    scores = {
        site: torch.where(found.ranking[site] > NEVER, values, NEVER)
        if site in found.ranking
        else values
        for site, values in found.scores.items()
    }
    return NeuronScores(found.cultures, scores, metadata=found.metadata)


def gradient_ranking(
    sources: Sources,
    *,
    sites: Sequence[str] = GATE,
    control: bool = True,
    contrast: bool = False,
    countryrc_share: float = COUNTRYRC_SHARE,
    z: float | None = LEAST_Z,
) -> NeuronScores:
    """Rank by attribution, with some or all of CULNIG's steps; see ``culnig_specific``.

    Args:
        sources: What to rank from.
        sites: Sites whose neurons are ranked together.
        control: Subtract the control's score.
        contrast: Subtract the mean of the other cultures.
        countryrc_share: Neurons in this top share of CountryRC are left out; 0 leaves none out.
        z: Smallest standard score among cultures; None for any.

    Raises:
        InputError: The sources hold no scorings, or none at these sites.
    """
    scores = scorings(sources)
    tables = scores.contrast() if control else scores.task.scores
    tables = {site: tables[site] for site in sites_reading(sites, tables)}
    if not tables:
        raise InputError(f"nothing was scored at {', '.join(sites)}; see culnig_scores(sites=)")
    allowed = eligible(scores, tables, countryrc_share, z)
    ranked = {
        site: torch.where(allowed[site], against_others(values) if contrast else values, NEVER)
        for site, values in tables.items()
    }
    return NeuronScores(scores.task.cultures, ranked, metadata=scores.metadata)


def knowledge_ranking(sources: Sources) -> NeuronScores:
    """Rank by ``knowledge``.

    Raises:
        InputError: The sources hold no such scores.
    """
    if sources.knowledge is None:
        raise InputError("knowledge ranks by KnowledgeScores; see knowledge_scores.")
    return KNOWLEDGE_SELECTORS["knowledge"](sources.knowledge)


def hones_ranking(sources: Sources, *, contrast: bool = False) -> NeuronScores:
    """Rank by ``hones``, each culture by itself or compared with the others.

    Raises:
        InputError: The sources hold no such scores.
    """
    if sources.heads is None:
        raise InputError("hones ranks by NeuronScores; see hones_scores.")
    return HEAD_SELECTORS["hones"](sources.heads, contrast=contrast)


def general_ranking(sources: Sources) -> NeuronScores:
    """Rank for culture in general (``culnig_general``), in the same order for every culture.

    Raises:
        InputError: The sources hold no scorings.
    """
    scores = scorings(sources)
    contrast = scores.contrast()
    ranked: dict[str, torch.Tensor] = {}
    for site in sites_reading(GATE, contrast):
        score = contrast[site].sum(0)
        layers = layers_of(scores, [site])
        high = reads_countries(scores.countryrc, layers, COUNTRYRC_SHARE).places[site]
        score[high[:, 0], high[:, 1]] = NEVER
        ranked[site] = score.expand_as(contrast[site])
    return NeuronScores(scores.task.cultures, ranked, metadata=scores.metadata)


def scorings(sources: Sources) -> CulnigScores:
    """Give CULNIG's three scorings.

    Raises:
        InputError: The sources hold none.
    """
    if sources.scores is None:
        raise InputError("gradient selectors rank by CulnigScores; see culnig_scores.")
    return sources.scores


attribution_ranking = partial(gradient_ranking, control=False, countryrc_share=0.0, z=None)

RANKINGS: Mapping[str, Ranking] = {
    **{
        name: partial(activation_ranking, name=name)
        for name in ("lap", "lape", "mad", "mad_probability", "conact")
    },
    "knowledge": knowledge_ranking,
    "hones": hones_ranking,
    "hones_contrast": partial(hones_ranking, contrast=True),
    "gradient": attribution_ranking,
    "gradient_contrast": partial(attribution_ranking, contrast=True),
    "culnig_specific": gradient_ranking,
    "culnig_no_control": partial(gradient_ranking, control=False),
    "culnig_no_countryrc": partial(gradient_ranking, countryrc_share=0.0),
    "culnig_no_z": partial(gradient_ranking, z=None),
    "culnig_all_projections": partial(gradient_ranking, sites=PROJECTIONS),
    "culnig_general": general_ranking,
    "random": partial(activation_ranking, name="random"),
}
"""Name -> ranking; a selector that is to be compared with others is added here."""


def get_ranking(name: str, among: Mapping[str, Ranking] = RANKINGS) -> Ranking:
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


def order_of(scores: NeuronScores, culture: str) -> tuple[tuple[str, ...], Int[Tensor, "neuron 3"]]:
    """Order the neurons of a culture, the best first: the sites, and of each neuron its place.

    A place is the number of the site, the layer and the index. Neurons that cannot be chosen, and
    layers without units, are left out; ties keep the order of sites, layers and indices.

    Raises:
        InputError: No such culture.

    Example:
        >>> table = torch.tensor([[[0.1, 0.3]], [[NEVER, 0.2]]])
        >>> order_of(NeuronScores(("a", "b"), {"act": table}), "a")[1].tolist()
        [[0, 0, 1], [0, 0, 0]]
    """
    if culture not in scores.cultures:
        raise unknown("culture", culture, scores.cultures)
    own = scores.cultures.index(culture)
    layers = {
        site: layers_with_units(scores.metadata, site, values.shape[1])
        for site, values in scores.scores.items()
    }
    flat = torch.cat([scores.scores[site][own, have].flatten() for site, have in layers.items()])
    places = torch.cat(
        [
            numbered(number, have, scores.scores[site].shape[2])
            for number, (site, have) in enumerate(layers.items())
        ]
    )
    order = torch.sort(flat, descending=True, stable=True).indices
    return tuple(scores.scores), places[order[flat[order] > NEVER]]


def numbered(site: int, layers: Sequence[int], width: int) -> Int[Tensor, "neuron 3"]:
    """List the places of some layers of a site: its number, layer and index."""
    return torch.cartesian_prod(torch.tensor([site]), torch.tensor(layers), torch.arange(width))


def in_order(scores: NeuronScores, culture: str) -> list[tuple[str, int, int]]:
    """List the neurons of a culture, the best first, as ``(site, layer, index)``; see ``order_of``.

    Raises:
        InputError: No such culture.

    Example:
        >>> table = torch.tensor([[[0.1, 0.3]], [[NEVER, 0.2]]])
        >>> in_order(NeuronScores(("a", "b"), {"act": table}), "a")
        [('act', 0, 1), ('act', 0, 0)]
    """
    sites, places = order_of(scores, culture)
    return [(sites[site], layer, index) for site, layer, index in places.tolist()]


def first(scores: NeuronScores, culture: str, number: int) -> Neurons:
    """Take the first neurons of a culture, or all where its ranking has fewer.

    Example:
        ``first(get_ranking("mad")(Sources(summary)), "Japan", 100)``
    """
    places: dict[str, list[tuple[int, int]]] = {}
    for site, layer, index in in_order(scores, culture)[:number]:
        places.setdefault(site, []).append((layer, index))
    return Neurons.of(dict(sorted(places.items())))


__all__ = ["RANKINGS", "Sources", "first", "get_ranking", "in_order", "order_of", "rank"]
