"""What a model loses with a neuron: ablated alone, measured beside predicted; its set without it.

Every change is ablated minus unmodified, averaged over items, its interval clustered by question
group. Items that are asked with a neuron ablated are drawn by a hash of their ids, half of its own
cultures and half of others, so that they do not depend on what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from culture_lens.cards.activity import quiet_mean
from culture_lens.cards.places import Place
from culture_lens.cards.records import Effect, SetEffect
from culture_lens.cards.tokens import TokenActivations
from culture_lens.evaluation.evaluate import answer_prompts
from culture_lens.evaluation.scoring import Scoring
from culture_lens.experiments.measured_values import objective_values
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.running import Running
from culture_lens.questions.question import Question, shuffled
from culture_lens.statistics.estimates import Estimate

if TYPE_CHECKING:
    import pandas as pd

OTHERS = "other cultures"
P, LOG_ODDS = "p_gold", "log_odds"


def told(answers: pd.DataFrame) -> pd.DataFrame:
    """Keep P(gold) and the log-odds of the right option of each answer, by id."""
    odds = objective_values(answers, "logit_difference")
    frame = answers.assign(**{LOG_ODDS: odds}).set_index("id")
    kept: pd.DataFrame = frame[[P, LOG_ODDS]].astype(float)
    return kept


@dataclass(frozen=True, eq=False)
class Asking:
    """A model with the items that it has answered unmodified, to be asked them again.

    Attributes:
        model: The model.
        recorded: The items, their prompts and answers.
        scoring: How answers are read.
        running: Batch size, progress, run folder.
    """

    model: LensModel
    recorded: TokenActivations
    scoring: Scoring
    running: Running

    @cached_property
    def base(self) -> pd.DataFrame:
        """P(gold) and log-odds of the unmodified model, by id."""
        return told(self.recorded.answers)

    @cached_property
    def questions(self) -> list[Question]:
        """What was asked."""
        return [item.question for item in self.recorded.items]

    @cached_property
    def groups(self) -> dict[str, str]:
        """The question group of each id."""
        return {question.id: question.group for question in self.questions}

    def ablated(self, neurons: Neurons | None, ids: Iterable[str], label: str) -> pd.DataFrame:
        """Give P(gold) and log-odds of some items with neurons ablated, by id."""
        wanted = set(ids)
        prompts = [p for p in self.recorded.prompts if p.question.id in wanted]
        if not prompts:
            return self.base.iloc[:0]
        return told(
            answer_prompts(
                self.model, prompts, self.scoring, neurons, label=label, running=self.running
            )
        )

    def without_negative(self, place: Place, ids: Iterable[str]) -> pd.DataFrame:
        """Give the same with a neuron's negative activations set to 0, and no others."""
        site, layer, index = place

        def cut(activation: Tensor, hook: Any) -> Tensor:
            flat = activation.flatten(2).clone()
            flat[..., index] = flat[..., index].clamp(min=0)
            return flat.view(activation.shape)

        here = replace(self.running, run=None, engine=None)  # neither knows of hooks
        alone = replace(self, running=here)
        with self.model.hooks([(self.model.hook_name(site, layer), cut)]):
            return alone.ablated(None, ids, "without its negative activations")

    def mean(self, values: pd.Series) -> Estimate:
        """Estimate the mean of changes by id."""
        return quiet_mean(
            values.to_numpy(dtype=float), [self.groups[name] for name in values.index]
        )


def drawn(questions: Sequence[Question], own: Sequence[str], number: int | None) -> list[str]:
    """Draw the ids of items that are asked with a neuron ablated.

    Args:
        questions: All items.
        own: The neuron's cultures.
        number: How many; all where None.

    Returns:
        Half of them of its own cultures, half of others, more of the one where the other has few.
    """
    if number is None:
        return [question.id for question in questions]
    mine = shuffled([q.id for q in questions if q.culture in own], "card")
    rest = shuffled([q.id for q in questions if q.culture not in own], "card")
    few = max(number - number // 2, number - len(rest))
    return mine[:few] + rest[: number - min(few, len(mine))]


def effects_of(
    asking: Asking,
    own: Sequence[str],
    after: pd.DataFrame,
    predicted: Float[np.ndarray, " item"] | None,
) -> tuple[Effect, ...]:
    """Average changes over each culture's items, its own first, and over all others together.

    Args:
        asking: The items.
        own: The neuron's cultures.
        after: Answers with the neuron ablated, of the items that were drawn.
        predicted: The predicted change of every item's log-odds, or None.
    """
    import pandas as pd

    questions = asking.questions
    cultures = sorted({q.culture for q in questions}, key=lambda name: (name not in own, name))
    parts = [(name, {q.id for q in questions if q.culture == name}) for name in cultures]
    parts.append((OTHERS, {q.id for q in questions if q.culture not in own}))
    changes = after - asking.base.loc[after.index]
    known = pd.Series([] if predicted is None else predicted, dtype=float)
    known.index = asking.base.index[: len(known)]
    found = []
    for label, ids in parts:
        here, there = changes[changes.index.isin(ids)], known[known.index.isin(ids)]
        if not len(here) and not len(there):
            continue
        found.append(
            Effect(
                label,
                len(here),
                asking.mean(here[P]) if len(here) else None,
                asking.mean(here[LOG_ODDS]) if len(here) else None,
                float(here[P].iloc[here[P].abs().argmax()]) if len(here) else float("nan"),
                half_of(here[LOG_ODDS].to_numpy()),
                len(there),
                asking.mean(there) if len(there) else None,
            )
        )
    return tuple(found)


def set_effect(
    asking: Asking,
    selector: str,
    culture: str,
    size: int,
    whole: pd.Series,
    without: pd.Series | None,
) -> SetEffect:
    """Average the changes of P(gold) under a set, and under it without the neuron."""
    base = asking.base.loc[whole.index, P]
    rest = None if without is None else asking.mean(without.loc[whole.index] - base)
    return SetEffect(selector, culture, size, len(whole), asking.mean(whole - base), rest)


def half_of(changes: Float[np.ndarray, " item"]) -> int:
    """Count the items that make half of all absolute changes.

    Example:
        >>> half_of(np.array([-0.1, -0.6, 0.2, 0.0])), half_of(np.zeros(4))
        (1, 2)
    """
    size = np.sort(np.abs(changes))[::-1]
    if not size.sum():
        return len(size) // 2
    return int(np.searchsorted(size.cumsum(), size.sum() / 2)) + 1
