"""neuron_card and neuron_cards: everything about one neuron, or about many in the same passes.

1. One forward of every question records all neurons' tokens and the model's answers; a backward
   from it predicts what ablating each neuron alone does.
2. For each neuron some questions are asked with it ablated, and with its set ablated without it.
3. What else was given (sets, scores, a matrix) is looked up; what was not is left out, and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from typing_extensions import Unpack

from culture_lens.cards.activity import activity, by_category, by_culture, by_name, by_part
from culture_lens.cards.card import NeuronCard, NeuronCards
from culture_lens.cards.cautions import cautions
from culture_lens.cards.choices import among_the_first, chosen_by, listed
from culture_lens.cards.effects import LOG_ODDS, Asking, P, drawn, effects_of
from culture_lens.cards.given import Given, read_given, sets_of
from culture_lens.cards.gold_logits import lens_of
from culture_lens.cards.left_out import absent
from culture_lens.cards.places import Place, as_neurons, checked_places
from culture_lens.cards.prediction import can_predict, tokens_and_changes
from culture_lens.cards.ranks import ranks_of
from culture_lens.cards.records import Activity, Chosen
from culture_lens.cards.settings import CardOptions, CardSettings
from culture_lens.cards.showing import ids_shown, items_shown, rows_shown
from culture_lens.cards.signs import sign_in_words, signs_of
from culture_lens.cards.tokens import is_of_prompt, token_activations
from culture_lens.checks import check_arguments, optional
from culture_lens.errors import InputError
from culture_lens.evaluation.scoring import get_scoring
from culture_lens.experiments.matrix import MATRIX, AblationMatrix
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.running import Running, read_options
from culture_lens.questions.question import QUESTIONS, Question, benchmarks_of
from culture_lens.questions.unseen import unseen

if TYPE_CHECKING:
    import pandas as pd


@check_arguments(model=MODEL, questions=QUESTIONS, matrix=optional(MATRIX))
def neuron_cards(
    model: LensModel,
    neurons: Any,
    questions: Sequence[Question],
    *,
    found: Any = None,
    scores: Any = None,
    matrix: AblationMatrix | None = None,
    **options: Unpack[CardOptions],
) -> NeuronCards:
    """Make the cards of several neurons, in the same passes over the questions.

    Args:
        model: The model.
        neurons: A list of ``(site, layer, index)``, ``Neurons``, or a ``NeuronSet``.
        questions: What to ask. Questions that were given to find the sets are left out, with their
            groups; see ``unseen``.
        found: The ``NeuronSet`` that the neurons are from, or several by name: says who chose a
            neuron, and what its set does without it.
        scores: Says how a neuron ranks. An ``ActivationSummary`` (with bootstrap samples also how
            often it is chosen again), ``CulnigScores`` (with CountryRC and control twins),
            ``KnowledgeScores``, ``NeuronScores``, or a list of these.
        matrix: The ``AblationMatrix`` of ``found``: spares asking under the whole sets again.
        **options: The fields of ``CardSettings`` and of ``Running``.

    Raises:
        InputError: A neuron that the model lacks, no questions that did not find the sets, or a
            matrix of other neurons.

    Example:
        ``neuron_cards(model, found["Japan"].top(20), questions, found=found)``
    """
    settings, how = read_options(options, CardSettings, Running)
    places, given = checked_places(model, neurons), read_given(found, scores, matrix)
    for one in given.sets.values():
        one.check_model(model)
        questions = unseen(one, questions, settings.seen)
    scoring = get_scoring(settings.scoring or model.scoring)
    cards: dict[Place, NeuronCard] = {}
    for side in sides(model, places):
        predicted = None
        if can_predict(scoring.name):
            recorded, predicted = tokens_and_changes(
                model, side, questions, scoring.name, settings.roles, how
            )
        else:
            recorded = token_activations(
                model,
                side,
                questions,
                scoring=scoring.name,
                roles=settings.roles,
                **running_of(how),
            )
        asking = Asking(model, recorded, scoring, how)
        whole: dict[tuple[str, str], pd.Series] = {}
        for row, place in enumerate(side):
            own = None if predicted is None else predicted[:, row]
            cards[place] = one_card(asking, place, given, settings, own, whole)
    return NeuronCards(tuple(cards[place] for place in places))


@check_arguments(model=MODEL, questions=QUESTIONS, matrix=optional(MATRIX))
def neuron_card(
    model: LensModel,
    neuron: Any,
    questions: Sequence[Question],
    *,
    found: Any = None,
    scores: Any = None,
    matrix: AblationMatrix | None = None,
    **options: Unpack[CardOptions],
) -> NeuronCard:
    """Look at one neuron: what it fires on, what is lost with it, how it ranks, what it writes.

    Args:
        model: The model.
        neuron: ``(site, layer, index)``, or ``(layer, index)`` at the model's default site.
        questions: What to ask; see ``neuron_cards``, as for the others.
        found: See there.
        scores: See there.
        matrix: See there.
        **options: See there.

    Raises:
        InputError: More than one neuron, or anything that ``neuron_cards`` refuses.

    Example:
        ``neuron_card(model, ("act", 3, 7), questions, scores=summary).save("neuron.html")``
    """
    places = checked_places(model, neuron)
    if len(places) > 1:
        raise InputError(f"these are {len(places)} neurons: neuron_cards makes their cards.")
    made = neuron_cards(
        model, places, questions, found=found, scores=scores, matrix=matrix, **options
    )
    return made.cards[0]


def running_of(how: Running) -> dict[str, Any]:
    """Give what a recording pass takes of ``Running``; it keeps nothing in a run folder."""
    return {"batch_size": how.batch_size, "too_long": how.too_long, "progress": how.progress}


def sides(model: LensModel, places: Sequence[Place]) -> list[list[Place]]:
    """Split neurons over a prompt's tokens from those over a decoder's."""
    parts: dict[bool, list[Place]] = {}
    for place in places:
        parts.setdefault(is_of_prompt(model, place[0]), []).append(place)
    return list(parts.values())


def one_card(
    asking: Asking,
    place: Place,
    given: Given,
    settings: CardSettings,
    predicted: Float[np.ndarray, "item 2"] | None,
    whole: dict[tuple[str, str], pd.Series],
) -> NeuronCard:
    """Make the card of one recorded neuron.

    Args:
        asking: The items, and how to ask them again.
        place: The neuron.
        given: Sets, scores, matrix.
        settings: What is shown and measured.
        predicted: The predicted change of every item, by the sign of tokens.
        whole: P(gold) under whole sets by id, kept for later cards.
    """
    items, row = asking.recorded.items, asking.recorded.row(place)
    chosen = chosen_of(given, place)
    cultures, rows = by_culture(items, row), rows_shown(asking, place, settings.shown)
    sums = None if predicted is None else predicted.sum(1)
    own = listed(chosen) or strongest(asking, cultures, sums)
    wanted = drawn(asking.questions, own, settings.measured)
    after = asking.ablated(as_neurons([place]), [*wanted, *ids_shown(rows)], "ablating it alone")
    if not chosen and settings.measured is None:
        own = strongest(asking, cultures, (after - asking.base).loc[wanted, LOG_ODDS].to_numpy())
    mine = [item for item in items if item.question.culture in own]
    signs = signs_of(asking, place, own, after.loc[wanted], predicted)
    card = NeuronCard(
        neuron=place,
        cultures=own,
        chosen=chosen,
        sign=sign_in_words(signs, activity("own", mine, row).magnitude.value),
        items=items_shown(asking, place, rows, after[P]),
        by_culture=cultures,
        by_part=by_part(mine, row),
        by_category=by_category(mine, row),
        by_name=by_name(mine, row),
        effects=effects_of(asking, own, after.loc[wanted], sums),
        sets=sets_of(asking, place, given, chosen, settings.measured, whole),
        signs=signs,
        ranks=ranks_of(given.tables, place, own),
        lens=lens_of(asking, place, own),
        warnings=(),
        left_out=absent(asking, place, given),
        metadata=facts(asking, settings),
    )
    return replace(card, warnings=cautions(card))


def chosen_of(given: Given, place: Place) -> tuple[Chosen, ...]:
    """List who chose a neuron: the sets that have it, or without sets the best of each table."""
    if not given.sets:
        return among_the_first(given.tables, place)
    return chosen_by(given.sets, place, given.again, given.samples)


def strongest(
    asking: Asking, cultures: Sequence[Activity], changes: Float[np.ndarray, " item"] | None
) -> tuple[str, ...]:
    """Name the culture that a neuron which nobody chose is needed most for, or fires most for.

    Args:
        asking: The items.
        cultures: How it fires for each culture.
        changes: The change of every item's log-odds, measured or predicted, or None.
    """
    if changes is None:
        return (max(cultures, key=lambda one: one.active.value).label,)
    held: dict[str, list[float]] = {}
    for question, change in zip(asking.questions, changes, strict=True):
        held.setdefault(question.culture, []).append(float(change))
    return (min(sorted(held), key=lambda name: float(np.mean(held[name]))),)


def facts(asking: Asking, settings: CardSettings) -> Mapping[str, Any]:
    """Say what a card was made with."""
    return {
        "model": asking.model.name,
        "revision": asking.model.revision,
        "benchmark": benchmarks_of(asking.questions),
        "scoring": asking.scoring.name,
        "items": len(asking.questions),
        "measured": settings.measured,
    }


__all__ = ["neuron_card", "neuron_cards"]
