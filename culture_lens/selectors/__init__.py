"""Selectors, one rule per file: which neurons belong to a culture.

Activation selectors, ActivationSummary -> NeuronScores, all from one summary:

===================  =====================================================  ======================
name                 score of neuron (l, n) for culture c                   source
===================  =====================================================  ======================
``lap``              P[c]                                                   ConAct's paper
``lape``             low entropy of P over cultures                         Tang et al. 2024
``mad``              mean activation of c minus that of the others          ConAct's paper,
                                                                            interpretation (i)
``mad_probability``  P[c] minus the mean P of the others                    ConAct's paper,
                                                                            interpretation (ii)
``conact``           P[c] minus the second highest P, where c is highest    ConAct's paper
``random``           a random number                                        baseline
===================  =====================================================  ======================

Gradient selectors, CulnigScores -> NeuronSet, both from the same three scorings:

===================  =====================================================  ======================
``culnig_general``   high for all cultures together, low on CountryRC       CULNIG
``culnig_specific``  high for c, low on CountryRC, above other cultures     CULNIG
===================  =====================================================  ======================

A gradient selector of KnowledgeScores, the one of this package:

===================  =====================================================  ======================
``knowledge``        contributes to right answers for c, hardly for others  culture_lens
===================  =====================================================  ======================

A selector of what ``hones_scores`` gives, without gradients:

===================  =====================================================  ======================
``hones``            writes to c's right answers through the heads they     Wang et al.,
                     depend on                                              arXiv 2604.17941
===================  =====================================================  ======================

``registry`` names them all and says how to add one.
"""

from __future__ import annotations

from culture_lens.selectors.culnig_general import GENERAL
from culture_lens.selectors.false_discovery import Inference, infer
from culture_lens.selectors.frequency import selection_frequency
from culture_lens.selectors.random import matched_random
from culture_lens.selectors.registry import (
    DEFAULT_SHARE,
    DEFAULT_SHARES,
    GRADIENT_SELECTORS,
    HEAD_SELECTORS,
    KNOWLEDGE_SELECTORS,
    SELECTORS,
    get_selector,
)
from culture_lens.selectors.selection import Selection, check_fits, choose, plan, select

__all__ = [
    "DEFAULT_SHARE",
    "DEFAULT_SHARES",
    "GENERAL",
    "GRADIENT_SELECTORS",
    "HEAD_SELECTORS",
    "KNOWLEDGE_SELECTORS",
    "SELECTORS",
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
