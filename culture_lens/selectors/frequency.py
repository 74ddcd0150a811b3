"""Selection frequency: how often each neuron is chosen again in bootstrap samples of the items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from culture_lens.activations.summary import SUMMARY, ActivationSummary
from culture_lens.checks import check_arguments
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet
from culture_lens.neurons.scores import NEVER, NeuronScores, best
from culture_lens.selectors.registry import SELECTORS

if TYPE_CHECKING:
    import pandas as pd


@check_arguments(summary=SUMMARY, found=FOUND_SET)
def selection_frequency(summary: ActivationSummary, found: NeuronSet) -> pd.DataFrame:
    """Give the share of bootstrap samples in which each neuron of a set is chosen again.

    In every sample as many neurons are chosen for each culture and site as the set has.

    Args:
        summary: The summary that the set was chosen from, with bootstrap samples.
        found: The set, chosen by an activation selector.

    Returns:
        Columns culture, site, layer, index, score, frequency.

    Raises:
        InputError: The summary holds no bootstrap samples, or the set is of no activation selector.

    Example:
        ``selection_frequency(summary, select(summary, "conact"))["frequency"].mean()``
    """
    if found.method not in SELECTORS:
        raise InputError(
            f"the set was chosen by {found.method or 'nothing that is recorded'!r}: frequencies "
            f"are those of activation selectors, {', '.join(SELECTORS)}."
        )
    selector, options = SELECTORS[found.method], found.metadata.get("options", {})
    table = found.to_pandas()
    places = list(zip(table["site"], table["layer"], table["index"], strict=True))
    hits = np.zeros(len(table))
    samples = list(summary.resampled())
    if not samples:
        raise InputError(
            "the summary holds no bootstrap samples: record with summarise(..., replicates=20)."
        )
    for sample in samples:
        again = as_many(selector(sample, **options), found)
        hits += [
            place in again[culture] for culture, place in zip(table["culture"], places, strict=True)
        ]
    return table.assign(frequency=hits / len(samples))


def as_many(scores: NeuronScores, found: NeuronSet) -> dict[str, set[tuple[str, int, int]]]:
    """Choose as many neurons for each culture and site as a set has."""
    taken: dict[str, set[tuple[str, int, int]]] = {culture: set() for culture in found}
    for culture in found:
        own = scores.cultures.index(culture)
        for site, places in found[culture].places.items():
            values = scores.scores[site][own]
            if site in scores.ranking:
                values = torch.where(scores.ranking[site] > NEVER, values, NEVER)
            chosen = best(values, values > NEVER, len(places))
            taken[culture] |= {(site, layer, index) for layer, index in chosen.tolist()}
    return taken
