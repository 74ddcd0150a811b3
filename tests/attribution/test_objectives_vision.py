"""Objectives and paths on vision-language models are those of the plain reference."""

import pytest

from tests.helpers.attributed import (
    LIKELIHOOD,
    assert_equal,
    expected,
    found,
    options_of,
    prompts_of,
)
from tests.helpers.marks import mostly_slow
from tests.helpers.reference_attribution import vlm_item
from tests.helpers.vlm import NAMES, continued, lens, raw
from tests.helpers.vlm_items import EDITED, F64, FAST, item, questions

DIFFERENCE = {**LIKELIHOOD, "objective": "logit_difference"}
WAYS = {
    "difference": DIFFERENCE,
    "difference, whole, options": {
        **DIFFERENCE, "path": "integrated", "points": 2, "positions": "options",
    },
    "letter, difference, layerwise, sum": {
        "objective": "logit_difference", "path": "integrated_layerwise", "points": 2,
        "aggregation": "sum",
    },
}  # fmt: skip
EVERY = [(name, way) for name in NAMES for way in WAYS if name in FAST or way == "difference"]


@pytest.mark.parametrize(("name", "way"), mostly_slow(EVERY, fast=[("llava", "difference")]))
def test_objectives_equal_the_reference(name, way):
    """On pictures of several sizes, two questions on one, and without."""
    model, how = lens(name, F64), WAYS[way]
    numbers = EDITED if way == "difference" else EDITED[::3]
    asked = [questions()[number] for number in numbers]
    items = []
    for number, prompt in zip(numbers, prompts_of(model, asked, how), strict=True):
        options, letter = options_of(model, prompt)
        inputs = item(name, number, F64, prompt.style)
        answer = prompt.question.answer
        made = vlm_item(raw(name, F64), inputs, continued, options, answer, letter)
        items.append((prompt.question.culture, made))
    sites = ("act", "gate", "q", "v")
    scores = found(model, asked, sites, how, batch_size=3)
    assert_equal(scores, expected(items, sites, how))
