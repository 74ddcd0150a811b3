"""What is to be compared is checked before the model runs."""

from dataclasses import replace

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.comparison.compare import compare_selectors
from culture_lens.questions.question import PromptFormat
from tests.helpers.comparison import SHARES
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selectors": ["best"]}, "unknown ranking 'best'"),
        ({"selectors": []}, "at least one selector"),
        ({"random_seeds": 0}, "random_seeds of 1 or more"),
        ({"shares": ()}, "at least one share"),
        ({"shares": (0.1, 1.5)}, r"share=1.5 is outside \(0, 1\]"),
        ({"shares": (0.001,)}, "choose 0 of 144 neurons"),
        ({"shares": (0.1, 0.1001)}, "choose 14, 14 of 144 neurons"),
        ({"cultures": ("Japan", "Peru")}, "unknown culture of both halves 'Peru'"),
        ({"cultures": ("Japan",)}, "at least two cultures that both halves ask about, got Japan"),
        ({"identify_share": 1.0}, "none are left to evaluate on"),
        ({"countries": ["Peru"]}, "Peru"),
        ({"scoring": "guess"}, "unknown scoring"),
        ({"batch_size": 0}, "batch_size"),
        ({"gradient_batch_size": 0}, "batch_size"),
        ({"attribution_scoring": "words"}, "unknown scoring of attributions"),
        ({"summary_options": {"nothing": 1}}, "unknown option 'nothing'"),
        ({"summary_options": {"roles": "answers"}}, "answers"),
        ({"summary_options": {"sites": "gate"}}, "leave out sites"),
        ({"summary_options": {"magnitudes": False}}, "magnitudes=True"),
    ],
    ids=str,
)
def test_mistakes_are_refused_before_the_model_runs(idle, options, message):
    given = {"shares": SHARES, **options}
    with pytest.raises(InputError, match=message):
        compare_selectors(idle, toy_questions(), progress=False, **given)


def test_questions_that_culnig_cannot_use_are_refused_before_the_model_runs(idle):
    """By likelihood they could be answered; attribution needs labels of one token."""
    form = PromptFormat(label_form="space", labels="WXYZ")
    odd = [replace(q, prompt=form) for q in toy_questions()]
    with pytest.raises(InputError, match="is not one token"):
        compare_selectors(lens("qwen2"), odd, shares=SHARES, progress=False)
    with pytest.raises(InputError, match="is not one token"):
        compare_selectors(
            lens("qwen2"), odd, ["lap"], shares=SHARES, scoring="letter", progress=False
        )
    abroad = [replace(q, culture="Peru", id=f"rc/{q.id}", group="rc") for q in toy_questions()]
    with pytest.raises(InputError, match="CountryRC asks about Peru"):
        compare_selectors(idle, toy_questions(), shares=SHARES, countryrc=abroad, progress=False)


@pytest.mark.slow
def test_questions_of_a_group_that_identified_are_not_asked():
    """A benchmark's own split may cut through a group."""
    questions = [
        replace(q, split="identify" if q.category in ("food", "sport") else "evaluate")
        for q in toy_questions()
    ]
    cut = [replace(q, group="food") if q.id == "city/Japan" else q for q in questions]
    with pytest.warns(CultureLensWarning, match="1 of 8 questions held out share a group"):
        found = compare_selectors(lens("llama"), cut, ["lap"], shares=(0.1,), progress=False)
    assert "city/Japan" not in set(found.frame["id"]) and found.metadata["items"] == 7


def test_cultures_in_one_half_only_are_told():
    questions = [q for q in toy_questions() if q.culture != "France" or q.category != "city"]
    held = [replace(q, split="evaluate" if q.category == "city" else "identify") for q in questions]
    with pytest.warns(CultureLensWarning, match="France: in one half"):
        found = compare_selectors(lens("llama"), held, ["lap"], shares=(0.1,), progress=False)
    assert found.matrix("lap", 0.1).masks == ("Ethiopia", "Japan", "Mexico")
