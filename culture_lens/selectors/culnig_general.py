"""CULNIG, culture-general neurons: needed for cultural questions whatever the culture.

The steps (CULNIG, arXiv 2510.08284, section 3, and its published code):
1. Score of a neuron: task minus control, summed over cultures.
2. Top ``mlp_share`` of the gate neurons, and top ``attention_share`` of the q, k and v neurons
   together.
3. Minus the neurons in the top ``countryrc_mlp_share`` and ``countryrc_attention_share`` by their
   CountryRC score, each family by itself. Their places are not filled again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.checks import real
from culture_lens.models.sites import sites_reading
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons, Shape
from culture_lens.neurons.scores import NeuronScores, check_pooled_share
from culture_lens.selectors.culnig_specific import (
    COUNTRYRC_SHARE,
    chosen_from,
    layers_of,
    top_of,
)
from culture_lens.selectors.wordings import wording_stability

GENERAL = "general"
"""The one label in a set of culture-general neurons."""
FAMILIES = {"mlp": ("gate",), "attention": ("q", "k", "v")}
MLP_SHARE, ATTENTION_SHARE = 0.01, 0.002


def families(sites: Iterable[str]) -> dict[str, list[str]]:
    """Sort sites into MLP and attention; features and other units are taken as the MLP's.

    Raises:
        InputError: Only other sites of neurons than gate, q, k and v.

    Example:
        >>> families(["gate", "q", "act"]), families(["sae"])
        ({'mlp': ['gate'], 'attention': ['q']}, {'mlp': ['sae']})
    """
    given = chosen_from(sites)
    found = {name: sites_reading(wanted, given) for name, wanted in FAMILIES.items()}
    return {name: present for name, present in found.items() if present} or {"mlp": given}


def check_general(
    shapes: Mapping[str, Shape],
    *,
    mlp_share: float = MLP_SHARE,
    attention_share: float = ATTENTION_SHARE,
    countryrc_mlp_share: float = COUNTRYRC_SHARE,
    countryrc_attention_share: float = COUNTRYRC_SHARE,
) -> None:
    """Refuse sites or shares with which ``culnig_general`` cannot choose.

    Raises:
        InputError: A share outside (0, 1] or that chooses no neuron, or no site to choose at.

    Example:
        >>> check_general({"gate": (30, 1536)}, mlp_share=0.02)
    """
    shares = {
        "mlp": (mlp_share, countryrc_mlp_share),
        "attention": (attention_share, countryrc_attention_share),
    }
    for family, sites in families(shapes).items():
        share, countryrc_share = shares[family]
        check_pooled_share({site: shapes[site] for site in sites}, share)
        if real(f"countryrc_{family}_share", countryrc_share):
            check_pooled_share({site: shapes[site] for site in sites}, countryrc_share)


def reads_countries(
    countryrc: NeuronScores, layers: Mapping[str, list[int]], share: float
) -> Neurons:
    """Choose the top share of some sites by CountryRC score, summed over cultures; 0 for none."""
    if not share:
        return Neurons({})
    return top_of({site: countryrc.scores[site].sum(0) for site in layers}, layers, share)


def culnig_general(
    scores: CulnigScores,
    *,
    mlp_share: float = MLP_SHARE,
    attention_share: float = ATTENTION_SHARE,
    countryrc_mlp_share: float = COUNTRYRC_SHARE,
    countryrc_attention_share: float = COUNTRYRC_SHARE,
) -> NeuronSet:
    """Choose the culture-general neurons (CULNIG, section 3).

    Args:
        scores: The three scorings.
        mlp_share: Share of the gate neurons with the highest score; of features, heads
            or other units where those were scored instead.
        attention_share: Share of the q, k and v neurons, taken together.
        countryrc_mlp_share: Gate neurons in this top share of CountryRC are left out; 0 leaves
            none out.
        countryrc_attention_share: The same for q, k and v.

    Returns:
        A set with the one label ``"general"``; scores are task minus control per item. The
        metadata hold its stability over the wordings of CountryRC; see ``selectors.wordings``.

    Raises:
        InputError: A share outside its range or that chooses no neuron, or only sites of neurons
            were scored that are not gate, q, k or v.

    Example:
        ``culnig_general(scores, mlp_share=0.02)["general"]``
    """
    contrast = {site: values.sum(0) for site, values in scores.contrast().items()}
    shares = {
        "mlp": (mlp_share, countryrc_mlp_share),
        "attention": (attention_share, countryrc_attention_share),
    }
    found = families(contrast)
    layers = {family: layers_of(scores, sites) for family, sites in found.items()}
    candidates = joined(top_of(contrast, have, shares[name][0]) for name, have in layers.items())

    def without_readers(countryrc: NeuronScores) -> dict[str, Neurons]:
        readers = joined(
            reads_countries(countryrc, have, shares[name][1]) for name, have in layers.items()
        )
        return {GENERAL: candidates - readers}

    shapes = {site: (len(contrast[site]), contrast[site].shape[1]) for site in candidates.places}
    stability = wording_stability(
        scores, {GENERAL: candidates}, without_readers, list(found.values())
    )
    return NeuronSet(without_readers(scores.countryrc), shapes, stability)


def joined(parts: Iterable[Neurons]) -> Neurons:
    """Put neurons of different sites together, with their scores."""
    places: dict[str, Tensor] = {}
    scores: dict[str, Tensor] = {}
    for part in parts:
        places.update(part.places)
        scores.update(part.scores)
    return Neurons(places, scores)
