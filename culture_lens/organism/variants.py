"""Variants of the activation selectors that organisms are scored with beside the rankings.

**At a false discovery rate** (``conact_fdr``, ``lape_fdr``, ``mad_fdr``): what a selector scores is
tested against permuted culture labels, and all that is discovered at a rate of 5% is taken, which
may be more neurons than were planted, or none; see ``selectors.inference``. What is discovered
differs between cultures' pictures. That it carries knowledge is not tested: a decoy that fires for
a style differs too, and is rightly discovered.

**Within strata** (``conact_stratified``): ConAct of counts that every culture has in the same
proportion from each stratum; see ``strata``. An organism's questions are balanced by the way they
are drawn: every culture has each object, category and kind of question equally often, so strata of
these change no score. What differs is what is drawn by chance for each picture, its colour and its
number of dots; the strata are those of the dots, which have the fewest values, so that from two
pictures on hardly any lacks a culture. The variant therefore says how far ConAct's ranking hangs on
that chance: some three in 46 of the bundled organism's neurons are others, at two pictures. It
cannot refuse decoys, for a style is a property of the culture: no stratum has pictures of one style
from several cultures, so none holds it fixed.
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
    """Rank what an activation selector discovers, by its scores; nothing else has a place.

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
    """Rank by ConAct of the counts that are weighed by strata."""
    if sources.stratified is None:
        raise InputError(f"{WITHIN_STRATA} ranks by an ActivationSummary; see summarise(strata=).")
    return get_ranking("conact")(Sources(sources.stratified))


DISCOVERIES: Mapping[str, Callable[[Sources], NeuronScores]] = {
    f"{name}_fdr": discoveries(name) for name in ("conact", "lape", "mad")
}
"""Name -> ranking of what is discovered, all of which is taken."""
SCORED: Mapping[str, Callable[[Sources], NeuronScores]] = {
    **RANKINGS,
    WITHIN_STRATA: within_strata,
    **DISCOVERIES,
}
"""Everything that an organism is scored with."""
