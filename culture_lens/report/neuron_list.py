"""The neurons that a page lists: the first of every culture and selector, and who else chose them.

1. Of every selector and culture the ``MOST`` neurons with the highest scores are listed, and all
   that have a card.
2. For each of them, every selector and culture that chose it is named, with rank and score.
3. Where the run has bootstrap samples, the share of them in which it is chosen again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from culture_lens.cards.places import Place
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.plots.style import DASH, MINUS, percent
from culture_lens.report.card_files import cards_of
from culture_lens.report.results import Results
from culture_lens.storage.runs import Run

MOST = 20
"""Neurons listed for each culture of a selector."""


@dataclass(frozen=True)
class Choice:
    """That a selector chose a neuron for a culture.

    Attributes:
        selector: The selector.
        culture: The culture.
        rank: Its place in the culture's neurons by score, from 1; None without scores.
        of: How many neurons the culture has.
        score: Its score; None where none was recorded.
        frequency: The share of bootstrap samples that chose it again; None without samples.
    """

    selector: str
    culture: str
    rank: int | None
    of: int
    score: float | None
    frequency: float | None = None


@dataclass(frozen=True)
class ListedNeuron:
    """A neuron of the list, with every choice of it, the best rank first."""

    place: Place
    choices: tuple[Choice, ...] = field(default=())

    @property
    def name(self) -> str:
        """Its site, layer and index.

        Example:
            >>> ListedNeuron(("act", 3, 17)).name
            'act, layer 3, neuron 17'
        """
        site, layer, index = self.place
        return f"{site}, layer {layer}, neuron {index}"

    @property
    def best(self) -> Choice | None:
        """The choice with the best rank; None where nobody chose it."""
        return self.choices[0] if self.choices else None

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures that it was chosen for, by any selector."""
        return tuple(dict.fromkeys(choice.culture for choice in self.choices))


def list_neurons(
    sets: Mapping[str, NeuronSet],
    frequencies: Mapping[str, Mapping[Any, float]] | None = None,
    also: Iterable[Place] = (),
) -> list[ListedNeuron]:
    """List the first neurons of every culture, with everyone who chose them.

    Args:
        sets: Selector -> its neurons.
        frequencies: Selector -> (culture, place) -> how often it is chosen again.
        also: Neurons that are listed whoever chose them.

    Returns:
        The neurons by best rank, then by site, layer and index.

    Example:
        ``list_neurons({"conact": found})[0].choices``
    """
    ranked = {
        (selector, culture): by_score(found, culture)
        for selector, found in sets.items()
        for culture in found
    }
    wanted = {place for rows in ranked.values() for place, _, _ in rows[:MOST]} | set(also)
    chosen: dict[Place, list[Choice]] = {place: [] for place in wanted}
    for (selector, culture), rows in ranked.items():
        often = (frequencies or {}).get(selector, {})
        for place, rank, score in rows:
            if place in chosen:
                share = often.get((culture, place))
                chosen[place].append(Choice(selector, culture, rank, len(rows), score, share))
    listed = [ListedNeuron(p, tuple(sorted(held, key=by_rank))) for p, held in chosen.items()]
    return sorted(listed, key=lambda neuron: (by_rank(neuron.best), neuron.place))


def by_rank(choice: Choice | None) -> tuple[float, str, str]:
    """Sort choices by rank; those without one come last."""
    if choice is None:
        return float("inf"), "", ""
    return float(choice.rank or "inf"), choice.selector, choice.culture


def by_score(found: NeuronSet, culture: str) -> list[tuple[Place, int | None, float | None]]:
    """List a culture's neurons with rank and score, the highest score first, ties by place."""
    neurons = found[culture]
    places: list[Place] = [
        (site, layer, index)
        for site, rows in neurons.places.items()
        for layer, index in rows.tolist()
    ]
    if not all(site in neurons.scores for site, rows in neurons.places.items() if len(rows)):
        return [(place, None, None) for place in places]
    scores = [s for site in neurons.places for s in neurons.scores[site].tolist()]
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
    return [(places[i], rank, scores[i]) for rank, i in enumerate(order.tolist(), start=1)]


def bootstrap_frequencies(
    run: Run, sets: Mapping[str, NeuronSet]
) -> dict[str, dict[tuple[str, Place], float]]:
    """Give how often each neuron is chosen again, for sets chosen from the summary of a run.

    Empty where the run keeps no summary, or one without bootstrap samples.

    Raises:
        InputError: The summary is damaged.
    """
    from culture_lens.activations.summary import ActivationSummary
    from culture_lens.selectors.frequency import selection_frequency
    from culture_lens.selectors.registry import SELECTORS

    file = run.named("statistics", "summary", ".safetensors")
    if not file.exists():
        return {}
    summary = ActivationSummary.load(file)
    if next(iter(summary.resampled()), None) is None:
        return {}
    held = {}
    for name, found in sets.items():
        if found.method not in SELECTORS:
            continue
        try:
            table = selection_frequency(summary, found)
        except InputError:  # the set was chosen from another summary
            continue
        held[name] = {
            (row.culture, (row.site, row.layer, row.index)): row.frequency
            for row in table.itertuples(index=False)
        }
    return held


def listing(run: Run, results: Results) -> dict[str, Any]:
    """Write the neurons of a run for its page: as text, with what they are filtered by."""
    from markupsafe import Markup

    sets = {name: found for name, (found, _) in results.items() if found is not None}
    cards = cards_of(run)
    neurons = list_neurons(sets, bootstrap_frequencies(run, sets), cards)
    selectors = list(sets)
    cultures = list(dict.fromkeys(culture for found in sets.values() for culture in found))
    return {
        "selectors": selectors,
        "cultures": cultures,
        "layers": sorted({neuron.place[1] for neuron in neurons}),
        "neurons": [
            {
                "name": neuron.name,
                "layer": neuron.place[1],
                "cultures": ", ".join(neuron.cultures),
                "best": best_in_words(neuron.best),
                "who": " ".join(
                    f"{selectors.index(c.selector)}:{cultures.index(c.culture)}"
                    for c in neuron.choices
                ),
                "choices": [as_text(choice) for choice in neuron.choices],
                "cards": [Markup(card) for card in cards.get(neuron.place, [])],
            }
            for neuron in neurons
        ],
    }


def best_in_words(choice: Choice | None) -> str:
    """Write who ranks a neuron highest.

    Example:
        >>> best_in_words(Choice("conact", "Japan", 3, 230, 0.5))
        'conact, rank 3 of 230'
    """
    if choice is None:
        return "chosen by no selector of this run"
    if choice.rank is None:
        return f"{choice.selector}, without scores"
    return f"{choice.selector}, rank {choice.rank} of {choice.of}"


def as_text(choice: Choice) -> dict[str, str]:
    """Write a choice for a table."""
    rank, score, often = choice.rank, choice.score, choice.frequency
    return {
        "selector": choice.selector,
        "culture": choice.culture,
        "rank": DASH if rank is None else f"{rank} of {choice.of}",
        "score": DASH if score is None else f"{score:.4g}".replace("-", MINUS),
        "frequency": DASH if often is None else percent(often),
    }
