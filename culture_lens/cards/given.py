"""What cards are made from besides the model and the questions: sets, scores, a matrix.

What a culture's set does is read off the matrix where it measured the same, and asked otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from culture_lens.cards.choices import Again, Sets, chosen_again, named_sets
from culture_lens.cards.effects import Asking, P, drawn, set_effect
from culture_lens.cards.places import Place, as_neurons
from culture_lens.cards.ranks import Tables, tables_of
from culture_lens.cards.records import Chosen, SetEffect
from culture_lens.errors import InputError
from culture_lens.experiments.conditions import FOUND
from culture_lens.experiments.matrix import AblationMatrix

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Given:
    """What cards are made from besides the model and the questions.

    Attributes:
        sets: Neuron sets by selector.
        tables: Scores by selector or scoring.
        matrix: What ablating the sets does, or None.
        again: How often neurons are chosen again.
        samples: Of so many bootstrap samples.
    """

    sets: Sets
    tables: Tables
    matrix: AblationMatrix | None
    again: Again
    samples: int


def read_given(found: Any, scores: Any, matrix: AblationMatrix | None) -> Given:
    """Check what cards are made from.

    Raises:
        InputError: Something else, or a matrix of other neurons.
    """
    sets, tables = named_sets(found), tables_of(scores)
    made_of = matrix.metadata.get("neuron_set") if matrix is not None else None
    if sets and made_of and made_of not in [one.content for one in sets.values()]:
        raise InputError(
            f"the matrix is of other neurons than found ({', '.join(sets)}): give the set that "
            "ablation_matrix was called with."
        )
    again, samples = chosen_again(sets, scores)
    return Given(sets, tables, matrix, again, samples)


def sets_of(
    asking: Asking,
    place: Place,
    given: Given,
    chosen: Sequence[Chosen],
    number: int | None,
    whole: dict[tuple[str, str], pd.Series],
) -> tuple[SetEffect, ...]:
    """Measure what each set that has the neuron does with it and without it.

    Half of the number of items is asked, of the set's culture, the same for all its neurons.
    """
    cultures = {question.id: question.culture for question in asking.questions}
    found = []
    for one in chosen if given.sets else ():
        held = given.sets[one.selector]
        own, key = held[one.culture], (one.selector, one.culture)
        wanted = drawn(asking.questions, [one.culture], number)
        ids = [name for name in wanted if cultures[name] == one.culture]
        if key not in whole:
            known = from_matrix(asking, given, held.content, one.culture)
            whole[key] = asking.ablated(own, ids, "ablating its set")[P] if known is None else known
        ids = [name for name in ids if name in whole[key].index]
        if not ids:
            continue
        rest, without = own - as_neurons([place]), None
        if len(rest):
            without = asking.ablated(rest, ids, "its set without it")[P]
        found.append(set_effect(asking, *key, len(own), whole[key].loc[ids], without))
    return tuple(found)


def from_matrix(asking: Asking, given: Given, content: str, culture: str) -> pd.Series | None:
    """Read P(gold) under a culture's set from the matrix; None where it is of another kind."""
    matrix = given.matrix
    if matrix is None or matrix.metadata.get("neuron_set") != content:
        return None
    same = matrix.metadata.get("scoring") == asking.scoring.name
    if not same or matrix.metadata.get("value") != "zero" or P not in matrix.frame:
        return None
    frame = matrix.frame
    rows = frame[(frame["condition"] == FOUND) & (frame["mask"] == culture)]
    values: pd.Series = rows.set_index("id")[P].astype(float)
    return values
