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
from culture_lens.errors import InputError
from culture_lens.models.sites import sites_reading
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons, Shape
from culture_lens.neurons.scores import NeuronScores, check_pooled_share, pooled_top
from culture_lens.selectors.culnig_specific import COUNTRYRC_SHARE
from culture_lens.selectors.wordings import wording_stability

GENERAL = "general"
"""The one label in a set of culture-general neurons."""
FAMILIES = {"mlp": ("gate",), "attention": ("q", "k", "v")}
MLP_SHARE, ATTENTION_SHARE = 0.01, 0.002


def families(sites: Iterable[str]) -> dict[str, list[str]]:
    """Sort sites into MLP and attention; families without a site are left out.

    Raises:
        InputError: None of the sites is gate, q, k or v.

    Example:
        >>> families(["gate", "q", "act"])
        {'mlp': ['gate'], 'attention': ['q']}
    """
    given = list(sites)
    found = {name: sites_reading(wanted, given) for name, wanted in FAMILIES.items()}
    if not any(found.values()):
        raise InputError(
            f"culture-general neurons are chosen at gate, q, k, v; not {', '.join(given)}."
        )
    return {name: present for name, present in found.items() if present}


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


def reads_countries(countryrc: NeuronScores, sites: Iterable[str], share: float) -> Neurons:
    """Choose the top share of some sites by CountryRC score, summed over cultures; 0 for none."""
    if not share:
        return Neurons({})
    return pooled_top({site: countryrc.scores[site].sum(0) for site in sites}, share)


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
        mlp_share: Share of the gate neurons with the highest score.
        attention_share: Share of the q, k and v neurons, taken together.
        countryrc_mlp_share: Gate neurons in this top share of CountryRC are left out; 0 leaves
            none out.
        countryrc_attention_share: The same for q, k and v.

    Returns:
        A set with the one label ``"general"``; scores are task minus control per item. The
        metadata hold its stability over the wordings of CountryRC; see ``selectors.wordings``.

    Raises:
        InputError: A share outside its range or that chooses no neuron, or none of the sites gate,
            q, k, v was scored.

    Example:
        ``culnig_general(scores, mlp_share=0.02)["general"]``
    """
    contrast = {site: values.sum(0) for site, values in scores.contrast().items()}
    shares = {
        "mlp": (mlp_share, countryrc_mlp_share),
        "attention": (attention_share, countryrc_attention_share),
    }
    found = families(contrast)
    candidates = joined(
        pooled_top({site: contrast[site] for site in sites}, shares[family][0])
        for family, sites in found.items()
    )

    def without_readers(countryrc: NeuronScores) -> dict[str, Neurons]:
        readers = joined(
            reads_countries(countryrc, sites, shares[family][1]) for family, sites in found.items()
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
