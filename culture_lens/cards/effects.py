"""What a model loses with a neuron: ablated alone, measured beside predicted; its set without it.

Every change is of P(gold), ablated minus unmodified, averaged over items, its interval clustered by
question group. Items that are asked with a neuron ablated are drawn by a hash of their ids, half of
its own cultures and half of others, so that they do not depend on what it does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from culture_lens.cards.activity import quiet_mean
from culture_lens.cards.records import Effect, SetEffect, Signs
from culture_lens.cards.tokens import TokenActivations
from culture_lens.evaluation.evaluate import answer_prompts
from culture_lens.evaluation.scoring import Scoring
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.running import Running
from culture_lens.questions.question import Question, shuffled

OTHERS = "other cultures"
Ps = Mapping[str, float]
"""P(gold) of items, by their ids."""


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

    @property
    def base(self) -> dict[str, float]:
        """P(gold) of the unmodified model."""
        answers = self.recorded.answers
        return dict(zip(answers["id"], answers["p_gold"].astype(float), strict=True))

    @property
    def questions(self) -> list[Question]:
        """What was asked."""
        return [item.question for item in self.recorded.items]

    def ablated(self, neurons: Neurons, ids: Iterable[str], label: str) -> dict[str, float]:
        """Give P(gold) of some items with neurons ablated."""
        wanted = set(ids)
        prompts = [p for p in self.recorded.prompts if p.question.id in wanted]
        if not prompts:
            return {}
        frame = answer_prompts(
            self.model, prompts, self.scoring, neurons, label=label, running=self.running
        )
        return dict(zip(frame["id"], frame["p_gold"].astype(float), strict=True))


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
    measured: Ps,
    predicted: Float[np.ndarray, " item"] | None,
) -> tuple[Effect, ...]:
    """Average changes over each culture's items, its own first, and over all others together.

    Args:
        asking: The items.
        own: The neuron's cultures.
        measured: P(gold) with the neuron ablated, of the items that were drawn.
        predicted: The predicted change of every item, or None.
    """
    questions, base = asking.questions, asking.base
    cultures = sorted({q.culture for q in questions}, key=lambda name: (name not in own, name))
    parts = [(name, {q.id for q in questions if q.culture == name}) for name in cultures]
    parts.append((OTHERS, {q.id for q in questions if q.culture not in own}))
    known = {} if predicted is None else dict(zip(base, predicted.tolist(), strict=True))
    changes = {name: p - base[name] for name, p in measured.items()}
    groups = {q.id: q.group for q in questions}
    found = []
    for label, ids in parts:
        both = []
        for values in (known, changes):
            inside = [name for name in values if name in ids]
            mean = quiet_mean(np.array([values[n] for n in inside]), [groups[n] for n in inside])
            both += [mean if inside else None, len(inside)]
        if both[1] or both[3]:
            found.append(Effect(label, *both))
    return tuple(found)


def set_effect(
    asking: Asking, selector: str, culture: str, size: int, whole: Ps, without: Ps
) -> SetEffect:
    """Average the changes under a set, and under the set without the neuron, over its items."""
    base, groups = asking.base, {q.id: q.group for q in asking.questions}
    ids = list(whole)
    means = [
        quiet_mean(np.array([after[n] - base[n] for n in ids]), [groups[n] for n in ids])
        for after in (whole, without)
        if after
    ]
    return SetEffect(
        selector, culture, size, len(ids), means[0], means[1] if len(means) > 1 else None
    )


def signs_of(predicted: Float[np.ndarray, "item 2"]) -> Signs | None:
    """Say where a predicted effect comes from: which sign, and how few items.

    Example:
        >>> signs_of(np.array([[-0.1, 0.0], [0.0, -0.3], [0.0, 0.0], [0.0, 0.0]])).few
        0.25
    """
    if not len(predicted):
        return None
    size = np.sort(np.abs(predicted.sum(1)))[::-1]
    half = np.searchsorted(size.cumsum(), size.sum() / 2) + 1 if size.sum() else len(size)
    positive, negative = predicted.mean(0).tolist()
    return Signs(positive, negative, min(1.0, float(half) / len(size)), len(size))
