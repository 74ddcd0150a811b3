"""Who chose a neuron: the sets that it is in, and how often bootstrap samples choose it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from culture_lens.activations.summary import ActivationSummary
from culture_lens.cards.places import Place
from culture_lens.cards.ranks import CONTROL, COUNTRYRC, Tables, ranks_of
from culture_lens.cards.records import Chosen
from culture_lens.checks import mapping
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.selectors.frequency import selection_frequency
from culture_lens.selectors.registry import DEFAULT_SHARE, DEFAULT_SHARES, SELECTORS

Sets = Mapping[str, NeuronSet]
"""Neuron sets by the name of their selector."""
Again = Mapping[tuple[str, str, Place], int]
"""Selector, culture and neuron -> bootstrap samples in which it is chosen again."""


def named_sets(found: Any) -> dict[str, NeuronSet]:
    """Read one set, or several by name.

    Raises:
        InputError: Anything else.
    """
    if found is None:
        return {}
    if isinstance(found, Mapping):
        return dict(mapping(FOUND_SET, "{name: NeuronSet}")("found", found))
    held: NeuronSet = FOUND_SET("found", found)
    return {held.method or "found": held}


def chosen_again(sets: Sets, scores: Any) -> tuple[dict[tuple[str, str, Place], int], int]:
    """Count the bootstrap samples that choose the neurons of sets again.

    Returns:
        The counts, and the number of samples: 0 where no summary with samples was given.
    """
    given = scores if isinstance(scores, (list, tuple)) else [scores]
    summaries = [one for one in given if isinstance(one, ActivationSummary)]
    samples = sum(1 for _ in summaries[0].resampled()) if summaries else 0
    counts: dict[tuple[str, str, Place], int] = {}
    for name, found in sets.items():
        if not samples or found.method not in SELECTORS:
            continue
        for row in selection_frequency(summaries[0], found).itertuples():
            place = (str(row.site), int(row.layer), int(row.index))
            counts[name, str(row.culture), place] = round(row.frequency * samples)
    return counts, samples


def chosen_by(sets: Sets, place: Place, again: Again, samples: int) -> tuple[Chosen, ...]:
    """List the sets and cultures that have a neuron."""
    found = []
    for name, one in sets.items():
        for culture in one:
            if place in one[culture].members():
                count = again.get((name, culture, place))
                score = score_in(one, culture, place)
                held = 0 if count is None else samples
                found.append(Chosen(name, culture, score, count, held))
    return tuple(found)


def score_in(found: NeuronSet, culture: str, place: Place) -> float | None:
    """Give the score that a set keeps of a neuron; None where it keeps none."""
    site, *at = place
    own = found[culture]
    if site not in own.scores:
        return None
    return float(own.scores[site][own.places[site].tolist().index(at)])


def among_the_first(tables: Tables, place: Place) -> tuple[Chosen, ...]:
    """List the selectors whose default share of a table a neuron is in; where no sets are given."""
    found = []
    for name, table in tables.items():
        if name.startswith((COUNTRYRC, CONTROL)):
            continue
        share = DEFAULT_SHARES.get(name, DEFAULT_SHARE)
        for rank in ranks_of({name: table}, place, table.cultures):
            if 0 < rank.rank <= int(share * rank.neurons):
                found.append(Chosen(f"{name}, top {share:.1%}", rank.culture, rank.score))
    return tuple(found)


def listed(chosen: Sequence[Chosen]) -> tuple[str, ...]:
    """List the cultures that chose a neuron, each once."""
    return tuple(dict.fromkeys(one.culture for one in chosen))


__all__ = ["among_the_first", "chosen_again", "chosen_by", "listed", "named_sets"]
