"""Recordings and cards written by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd

from culture_lens.cards.card import NeuronCard
from culture_lens.cards.records import Activity, Effect, Signs
from culture_lens.cards.shown_item import ShownItem, Token
from culture_lens.cards.tokens import ItemTokens, TokenActivations
from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question
from culture_lens.statistics.estimates import Estimate

NEURON = ("act", 0, 3)
NAN = float("nan")


def est(value, low=NAN, high=NAN):
    return Estimate(float(value), float(low), float(high))


def item(name, values, counted=None, culture="Japan", text="What is it?", tokens=None, roles=None):
    """One item of one neuron, with a value for each token."""
    values = np.array(values, dtype=np.float32)
    counted = np.ones(len(values), dtype=bool) if counted is None else np.array(counted, dtype=bool)
    roles = np.full(len(values), 3) if roles is None else np.array(roles)
    tokens = tuple(tokens or (f"t{at}" for at in range(len(values))))
    question = Question(name, culture, text, ("tea", "milk"), 0, category="drink", group=name)
    return ItemTokens(question, tokens, roles, counted, values[None])


def recording(*items):
    """A recording of these items; P(gold) is 0.5 everywhere."""
    frame = pd.DataFrame(
        {
            "id": [one.question.id for one in items],
            "p_gold": 0.5,
            "correct": True,
            "prediction": 0,
        }
    )
    prompts = tuple(
        Prompt(one.question, "".join(one.tokens), (), tuple(one.roles.tolist()), "choices")
        for one in items
    )
    return TokenActivations((NEURON,), tuple(items), frame, prompts)


def shown(**changes):
    item = ShownItem(
        which="highest", id="q1", culture="Japan", category="drink",
        tokens=(Token("What", "question", 1.0), Token(" now", "question", -0.5)),
        grids=(), picture=b"", options=("tea", "milk"), gold=0, given=1,
        p_gold=0.75, p_without=0.25, maximum=1.0, minimum=-0.5,
    )  # fmt: skip
    return replace(item, **changes)


def effect(label, p_gold, log_odds, predicted=None, items=12, largest=0.0, few=5):
    """A measured effect; not predicted unless said."""
    return Effect(label, items, p_gold, log_odds, largest, few, 12 if predicted else 0, predicted)


NONE, SMALL = est(0.001, -0.01, 0.01), est(0.02, -0.05, 0.08)


def card(**changes):
    """A card of a neuron that does what it should for Japan; nothing to warn of."""
    made = NeuronCard(
        neuron=NEURON, cultures=("Japan",), chosen=(), sign="positive", items=(shown(),),
        by_culture=(
            Activity("Japan", 12, est(0.4, 0.3, 0.5), est(0.2, 0.1, 0.3), 0.05),
            Activity("Peru", 12, est(0.1, 0.0, 0.2), est(0.0, -0.1, 0.05)),
        ),
        by_part=(), by_category=(), by_name=(),
        effects=(
            effect("Japan", est(-0.2, -0.3, -0.1), est(-2.0, -3.0, -1.0)),
            effect("Peru", NONE, SMALL),
            effect("other cultures", NONE, SMALL),
        ),
        sets=(), signs=Signs(-1.5, -0.5), ranks=(), lens=None, warnings=(), left_out=(),
        metadata={"model": "m", "scoring": "letter", "items": 24},
    )  # fmt: skip
    return replace(made, **changes)
