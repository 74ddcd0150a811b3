"""CULNIG, culture-specific neurons: needed for the questions of one culture.

The steps for a culture c (CULNIG, arXiv 2510.08284, section 3, and its published code):
1. Score of a neuron: c's task sum minus c's control sum, each divided by the number of all items.
2. Top ``share`` of the gate, q, k and v neurons together; of features, heads or other units where
   those were scored instead.
3. Minus the neurons in the top ``countryrc_share`` by c's own CountryRC score. Their places are
   not filled again.
4. Of these, the neurons with z >= ``z``, z the standard score of c among all cultures of the task,
   with the population standard deviation (0 where that is 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.checks import finite, optional, real
from culture_lens.errors import InputError
from culture_lens.models.sites import PROJECTIONS, SITES, part_of, sites_reading
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons, Shape
from culture_lens.neurons.scores import NeuronScores, check_pooled_share, pooled_top
from culture_lens.neurons.with_units import layers_with_units
from culture_lens.selectors.wordings import wording_stability

SPECIFIC_SHARE, COUNTRYRC_SHARE, LEAST_Z = 0.003, 0.01, 0.5


def chosen_from(sites: Iterable[str]) -> list[str]:
    """Give those of some sites that are gate, q, k or v; where none is, those of further units.

    Raises:
        InputError: They are other sites of neurons, which CULNIG does not read.

    Example:
        >>> chosen_from(["act", "gate", "sae"]), chosen_from(["act", "sae"])
        (['gate'], ['sae'])
    """
    given = list(sites)
    further = [site for site in given if part_of(site) not in SITES]
    found = sites_reading(PROJECTIONS, given) or further
    if not found:
        raise InputError(
            f"CULNIG chooses neurons at gate, q, k, v, or features and heads; not at "
            f"{', '.join(given)}."
        )
    return found


def layers_of(scores: CulnigScores, sites: Iterable[str]) -> dict[str, list[int]]:
    """List the layers of some sites that have units to choose, such as those with an autoencoder.

    Example:
        ``layers_of(scores, ["gate"])`` is ``{"gate": [0, 1, ...]}``
    """
    tables = scores.task.scores
    return {s: layers_with_units(scores.task.metadata, s, tables[s].shape[1]) for s in sites}


def top_of(
    tables: Mapping[str, Float[Tensor, "layer neuron"]],
    layers: Mapping[str, list[int]],
    share: float,
) -> Neurons:
    """Choose the top share of some sites together, among the layers that have units."""
    found = pooled_top({site: tables[site][have] for site, have in layers.items()}, share)
    places = {}
    for site, have in layers.items():
        layer, index = found.places[site].unbind(1)
        places[site] = torch.stack([torch.tensor(have)[layer], index], 1)
    return Neurons(places, found.scores)


def check_specific(
    shapes: Mapping[str, Shape],
    *,
    share: float = SPECIFIC_SHARE,
    countryrc_share: float = COUNTRYRC_SHARE,
    z: float | None = LEAST_Z,
) -> None:
    """Refuse sites or shares with which ``culnig_specific`` cannot choose.

    Raises:
        InputError: A share outside (0, 1] or that chooses no neuron, or no site to choose at.

    Example:
        >>> check_specific({"gate": (30, 1536)}, share=0.01)
    """
    chosen = {site: shapes[site] for site in chosen_from(shapes)}
    optional(finite)("z", z)
    real("countryrc_share", countryrc_share)
    check_pooled_share(chosen, share)
    if countryrc_share:
        check_pooled_share(chosen, countryrc_share)


def standard_scores(
    scores: Float[Tensor, "culture layer neuron"],
) -> Float[Tensor, "culture layer neuron"]:
    """Standardise over cultures with the population standard deviation; 0 where that is 0.

    Example:
        >>> standard_scores(torch.tensor([[[1.0, 2.0]], [[3.0, 2.0]]])).flatten().tolist()
        [-1.0, 0.0, 1.0, 0.0]
    """
    centred = scores - scores.mean(0)
    deviation = centred.square().mean(0).sqrt()
    # The mean of equal scores may differ in its last bit, and the deviation is then not quite 0.
    alike = (scores == scores[0]).all(0) | (deviation == 0)
    return torch.where(alike, 0, centred / deviation)


def eligible(
    scores: CulnigScores,
    tables: Mapping[str, Float[Tensor, "culture layer neuron"]],
    countryrc_share: float,
    z: float | None,
) -> dict[str, Bool[Tensor, "culture layer neuron"]]:
    """Mark the neurons that steps 3 and 4 leave to each culture.

    Args:
        scores: The three scorings.
        tables: Per site, the scores that neurons are ranked by.
        countryrc_share: See ``culnig_specific``.
        z: See ``culnig_specific``.
    """
    allowed = standing_out(tables, z)
    layers = layers_of(scores, tables)
    for culture, readers in readers_of(scores.countryrc, layers, countryrc_share).items():
        own = scores.task.cultures.index(culture)
        for site, places in readers.places.items():
            allowed[site][own, places[:, 0], places[:, 1]] = False
    return allowed


def standing_out(
    tables: Mapping[str, Float[Tensor, "culture layer neuron"]], z: float | None
) -> dict[str, Bool[Tensor, "culture layer neuron"]]:
    """Mark the neurons whose standard score among cultures is at least z; all for None."""
    return {
        site: torch.ones_like(values, dtype=torch.bool)
        if z is None
        else standard_scores(values) >= z
        for site, values in tables.items()
    }


def readers_of(
    countryrc: NeuronScores, layers: Mapping[str, list[int]], share: float
) -> dict[str, Neurons]:
    """Choose each culture's top share of some sites by its own CountryRC score; 0 for none."""
    if not share:
        return dict.fromkeys(countryrc.cultures, Neurons({}))
    return {
        culture: top_of({site: countryrc.scores[site][row] for site in layers}, layers, share)
        for row, culture in enumerate(countryrc.cultures)
    }


def culnig_specific(
    scores: CulnigScores,
    *,
    share: float = SPECIFIC_SHARE,
    countryrc_share: float = COUNTRYRC_SHARE,
    z: float | None = LEAST_Z,
) -> NeuronSet:
    """Choose the culture-specific neurons of each culture in CountryRC (CULNIG, section 3).

    Args:
        scores: The three scorings.
        share: Share of the gate, q, k and v neurons, taken together; of features, heads or
            other units where those were scored instead.
        countryrc_share: Neurons in this top share of the culture's own CountryRC score are left
            out; 0 leaves none out.
        z: Smallest standard score among cultures; ``None`` keeps all.

    Returns:
        Culture -> neurons; scores are task minus control per item. The metadata hold their
        stability over the wordings of CountryRC; see ``selectors.wordings``.

    Raises:
        InputError: A share outside its range or that chooses no neuron, or only sites of neurons
            were scored that are not gate, q, k or v.

    Example:
        ``culnig_specific(scores, z=1.0)["Japan"]``
    """
    every = scores.contrast()
    contrast = {site: every[site] for site in chosen_from(every)}
    high, layers = standing_out(contrast, z), layers_of(scores, contrast)
    candidates: dict[str, Neurons] = {}
    for culture in scores.countryrc.cultures:
        own = scores.task.cultures.index(culture)
        top = top_of({site: values[own] for site, values in contrast.items()}, layers, share)
        candidates[culture] = top.among({site: marks[own] for site, marks in high.items()})

    def without_readers(countryrc: NeuronScores) -> dict[str, Neurons]:
        readers = readers_of(countryrc, layers, countryrc_share)
        return {culture: own - readers[culture] for culture, own in candidates.items()}

    shapes = {site: (values.shape[1], values.shape[2]) for site, values in contrast.items()}
    stability = wording_stability(scores, candidates, without_readers, [list(contrast)])
    return NeuronSet(without_readers(scores.countryrc), shapes, stability)
