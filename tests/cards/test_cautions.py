"""Every warning on a card that deserves it, and none on one that does what it should."""

from dataclasses import replace

import pytest

from culture_lens.cards.cautions import cautions
from culture_lens.cards.records import Activity, Chosen, Lens, Rank, SetEffect, Signs
from tests.helpers.cards import NONE, SMALL, card, effect, est

OTHERS = effect("other cultures", NONE, SMALL)
LOST, SHIFTED = est(-0.2, -0.3, -0.1), est(-2.0, -3.0, -1.0)


def effects(*own):
    return {"effects": (*own, OTHERS)}


def around(value):
    return est(value, value - 0.05, value + 0.05)


def named(name, beside):
    tokens = (("tokens of the name", name), ("tokens beside it", beside))
    return {"by_name": tuple(Activity(label, 12, around(p), around(p)) for label, p in tokens)}


def ranked(table, score=1, rank=1):
    return {"ranks": (Rank(table, "Japan", float(score), rank, 200, 200),)}


def of_set(whole, without):
    rest = None if without is None else around(without)
    return {"sets": (SetEffect("conact", "Japan", 9, 12, around(whole), rest),)}


IDLE = effects(effect("Japan", NONE, SMALL), effect("Peru", NONE, SMALL))
CASES = {
    "No effect alone: P(gold) changes by +0.001": IDLE,
    "Fires for Japan whatever is asked, and does nothing alone": IDLE,
    "No effect on answers alone": effects(effect("Japan", NONE, SHIFTED)),
    "No effect alone is predicted": effects(effect("Japan", None, None, SMALL, items=0)),
    "Matters for single items: P(gold) of one of them changes by −0.400": effects(
        effect("Japan", NONE, SMALL, largest=-0.4)
    ),
    "Works against the right answer": effects(
        effect("Japan", est(0.2, 0.1, 0.3), est(2.0, 1.0, 3.0))
    ),
    "Fires for the country's name: positive on 80.0% of its tokens": named(0.8, 0.1),
    "Names the country: above 99.5%": ranked("CountryRC (gate)"),
    "Answers without the question": ranked("control twins"),
    "Shared by cultures, which may be kin: the log-odds change for each (Japan": effects(
        effect("Japan", LOST, SHIFTED),
        effect("Peru", LOST, est(-1.5, -2, -1)),
        effect("Chad", NONE, SMALL),
    ),
    "Not of one culture": {
        **effects(*(effect(name, LOST, SHIFTED) for name in ("Japan", "Peru", "Chad"))),
    },
    "Acts while it is negative": {"signs": Signs(-0.5, -1.5, SHIFTED, est(-1.5, -2, -1))},
    "Rests on few items: 1 of 20": effects(
        effect("Japan", NONE, SMALL, items=20, largest=-0.9, few=1)
    ),
    "Unstable: chosen by 3 of 20 bootstrap samples": {
        "chosen": (Chosen("conact", "Japan", 0.5, 3, 20),)
    },
    "Its set has no effect": of_set(0.0, 0.0),
    "Its set has no effect that can be told from 0: conact": {
        "sets": (SetEffect("conact", "Japan", 9, 12, est(-0.4, -0.9, 0.1), None),)
    },
    "No effect alone that can be told from 0: P(gold) changes by −0.2": effects(
        effect("Japan", est(-0.2, -0.5, 0.1), SMALL)
    ),
    "Its set does not need it": of_set(-0.3, -0.295),
    "Not as predicted": effects(effect("Japan", LOST, SHIFTED, est(-0.1, -0.2, 0.0))),
    "Hardly writes": {"lens": Lens((), (), (), 100, 0.01, 1.0, 0.4)},
}  # fmt: skip


@pytest.mark.parametrize("told", CASES)
def test_a_card_that_deserves_a_warning_has_it(told):
    texts = cautions(card(**CASES[told]))
    assert any(text.startswith(told) for text in texts), texts


@pytest.mark.parametrize(
    "changes",
    [
        {},
        named(0.12, 0.1),
        ranked("CountryRC", rank=3),
        ranked("CountryRC", score=-1),
        {"signs": Signs(-0.5, -1.5, SHIFTED, est(-0.5, -1, 0))},
        {"signs": Signs(-0.5, -1.5, SHIFTED)},
        effects(effect("Japan", LOST, SHIFTED, items=20, largest=-0.2, few=1)),
        {"chosen": (Chosen("conact", "Japan", 0.5, 10, 20), Chosen("lap", "Japan", None))},
        of_set(-0.3, -0.1),
        of_set(-0.3, None),
        effects(effect("Japan", LOST, SHIFTED, est(-2.5, -3, -2))),
    ],
)
def test_one_that_does_not_has_none(changes):
    assert cautions(card(**changes)) == ()


def test_where_it_fires_is_said_of_pictures():
    parts = (
        Activity("picture", 12, est(0.8, 0.7, 0.9), est(1.0, 0.9, 1.1)),
        Activity("text", 12, est(0.1, 0.0, 0.2), est(0.0, -0.1, 0.1)),
    )
    (told,) = [t for t in cautions(card(**IDLE, by_part=parts)) if t.startswith("Fires")]
    assert "Japan’s pictures" in told


def test_a_neuron_that_fires_alike_everywhere_marks_nothing():
    alike = (
        Activity("Japan", 12, est(0.4, 0.3, 0.5), est(0.2, 0.1, 0.3), 0.05),
        Activity("Peru", 12, est(0.35, 0.25, 0.45), est(0.2, 0.1, 0.3)),
    )
    assert not [t for t in cautions(card(**IDLE, by_culture=alike)) if t.startswith("Fires")]


def test_one_that_fires_for_some_of_its_items_only_marks_nothing():
    made = card(**IDLE)
    some = tuple(replace(row, varying=0.6) for row in made.by_culture)
    assert not [t for t in cautions(card(**IDLE, by_culture=some)) if t.startswith("Fires")]
