"""Variants of the activation selectors that organisms are scored with beside the rankings.

**At a false discovery rate** (``conact_fdr``, ``lape_fdr``, ``mad_fdr``): a selector's scores are
tested against permuted culture labels, and all neurons discovered at a rate of 5% are taken, which
may be more than were planted, or none; see ``selectors.false_discovery``. A discovered neuron
differs between the pictures of cultures; whether it carries knowledge is not tested. A decoy that
fires for a style differs too, and is discovered.

**Within strata** (``conact_stratified``): ConAct of counts weighted so that every culture has the
same proportion of each stratum; see ``questions.strata``. The questions of an organism are balanced
by design: every culture has each object, category and kind of question equally often, so that
strata of these change no score. Colour and number of dots are drawn by chance for each picture. The
strata are the numbers of dots, which have the fewest values, so that with two pictures or more
hardly any stratum lacks a culture. The variant shows how much ConAct's ranking depends on that
chance: about three in 46 neurons of the bundled organism change, at two pictures. It cannot exclude
decoys: a style belongs to one culture, so that no stratum has pictures of one style from several.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from culture_lens.errors import InputError
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.selectors.ranking import RANKINGS, Sources, get_ranking
from culture_lens.selectors.selection import select

RATE = 0.05
STRATUM = "dots"
WITHIN_STRATA = "conact_stratified"


def discoveries(name: str) -> Callable[[Sources], NeuronScores]:
    """Rank the neurons that an activation selector discovers by their scores, and no others.

    Example:
        ``in_order(discoveries("conact")(Sources(summary)), "Avaria")``
    """

    def rank(sources: Sources) -> NeuronScores:
        if sources.summary is None:
            raise InputError(f"{name}_fdr ranks by an ActivationSummary with replicates.")
        found = select(sources.summary, name, fdr=RATE)
        scores = {
            site: torch.full((len(found), *shape), NEVER, dtype=torch.float64)
            for site, shape in found.shapes.items()
        }
        for row, culture in enumerate(found):
            for site, places in found[culture].places.items():
                scores[site][row, places[:, 0], places[:, 1]] = found[culture].scores[site]
        return NeuronScores(found.cultures, scores)

    return rank


def within_strata(sources: Sources) -> NeuronScores:
    """Rank by ConAct of the counts weighted by strata."""
    if sources.stratified is None:
        raise InputError(f"{WITHIN_STRATA} ranks by an ActivationSummary; see summarise(strata=).")
    return get_ranking("conact")(Sources(sources.stratified))


DISCOVERIES: Mapping[str, Callable[[Sources], NeuronScores]] = {
    f"{name}_fdr": discoveries(name) for name in ("conact", "lape", "mad")
}
"""Name -> ranking of the discovered neurons, all of which are taken."""
SCORED: Mapping[str, Callable[[Sources], NeuronScores]] = {
    **RANKINGS,
    WITHIN_STRATA: within_strata,
    **DISCOVERIES,
}
"""All rankings that an organism is scored with."""
