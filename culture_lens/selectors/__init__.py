"""Selectors, one rule per file: which neurons belong to a culture.

Activation selectors, ActivationSummary -> NeuronScores, all from one summary:

==================  ====================================================  =====================
name                score of neuron (l, n) for culture c                  where it comes from
==================  ====================================================  =====================
lap                 P[c]                                                  ConAct's paper
lape                low entropy of P over cultures                        Tang et al. 2024
mad                 mean activation of c minus that of the others         ConAct's paper, reading
(i) mad_probability     P[c] minus mean P of the others                       ConAct's paper,
reading (ii) conact (cas)        P[c] minus the second highest P, where c is highest   ConAct's
paper random              a random number                                       baseline
==================  ====================================================  =====================

Gradient selectors, CulnigScores -> NeuronSet, both from the same three scorings:

==================  ====================================================  =====================
culnig_general      high for all cultures together, low on CountryRC      CULNIG
culnig_specific     high for c, low on CountryRC, and above the others    CULNIG
==================  ====================================================  =====================
"""

from __future__ import annotations

from culture_lens.selectors.culnig_general import GENERAL
from culture_lens.selectors.false_discovery import Inference, infer, selection_frequency
from culture_lens.selectors.random import matched_random
from culture_lens.selectors.registry import (
    DEFAULT_SHARE,
    GRADIENT_SELECTORS,
    SELECTORS,
    SHARES,
    get_selector,
)
from culture_lens.selectors.selection import Selection, check_fits, choose, plan, select

__all__ = [
    "DEFAULT_SHARE",
    "GENERAL",
    "GRADIENT_SELECTORS",
    "SELECTORS",
    "SHARES",
    "Inference",
    "Selection",
    "check_fits",
    "choose",
    "get_selector",
    "infer",
    "matched_random",
    "plan",
    "select",
    "selection_frequency",
]
