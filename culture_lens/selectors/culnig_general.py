"""CULNIG, culture-general neurons: needed for cultural questions whatever the culture.

The steps (CULNIG, arXiv 2510.08284, section 3, and its published code):
1. Score of a neuron: task minus control, summed over cultures.
2. Top ``mlp_share`` of the gate neurons, and top ``attention_share`` of the q, k and v neurons
   together.
3. Minus the neurons in the top ``countryrc_mlp_share`` and ``countryrc_attention_share`` by their
   CountryRC score, each family by itself. Their places are not filled again.
"""

from __future__ import annotations

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.errors import InputError
from culture_lens.models.sites import sites_reading
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.neurons.scores import pooled_top

GENERAL = "general"
"""The one label in a set of culture-general neurons."""
FAMILIES = {"mlp": ("gate",), "attention": ("q", "k", "v")}


def culnig_general(
    scores: CulnigScores,
    *,
    mlp_share: float = 0.01,
    attention_share: float = 0.002,
    countryrc_mlp_share: float = 0.01,
    countryrc_attention_share: float = 0.01,
) -> NeuronSet:
    """Choose the culture-general neurons (CULNIG, section 3).

    Args:
        scores: The three scorings.
        mlp_share: Share of the gate neurons with the highest score.
        attention_share: Share of the q, k and v neurons, taken together.
        countryrc_mlp_share: Gate neurons in this top share of CountryRC are left out; 0 leaves
            none out.
        countryrc_attention_share: Likewise for q, k and v.

    Returns:
        A set with the one label ``"general"``; scores are task minus control per item.

    Raises:
        InputError: A share outside its range or that chooses no neuron, or none of the sites gate,
            q, k, v was scored.

    Example:
        ``culnig_general(scores, mlp_share=0.02)["general"]``
    """
    contrast = {site: values.sum(0) for site, values in scores.contrast().items()}
    reading = {site: values.sum(0) for site, values in scores.countryrc.scores.items()}
    shares = {
        "mlp": (mlp_share, countryrc_mlp_share),
        "attention": (attention_share, countryrc_attention_share),
    }
    chosen = Neurons({})
    for family, sites in FAMILIES.items():
        present = sites_reading(sites, contrast)
        if present:
            share, reading_share = shares[family]
            best = pooled_top({site: contrast[site] for site in present}, share)
            if reading_share:
                best -= pooled_top({site: reading[site] for site in present}, reading_share)
            chosen = Neurons({**chosen.places, **best.places}, {**chosen.scores, **best.scores})
    if not chosen.places:
        raise InputError(
            f"culture-general neurons are chosen at gate, q, k, v; not {scores.sites}."
        )
    shapes = {site: (len(contrast[site]), contrast[site].shape[1]) for site in chosen.places}
    return NeuronSet({GENERAL: chosen}, shapes)
