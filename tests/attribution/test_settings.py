"""What an attribution refuses, before a model runs, and what its settings say."""

from dataclasses import replace

import pytest

from culture_lens.attribution.gradients import attribute
from culture_lens.attribution.objectives import get_objective
from culture_lens.attribution.paths import Path
from culture_lens.attribution.scoring import get_attribution_scoring
from culture_lens.attribution.settings import Attribution
from culture_lens.errors import InputError
from culture_lens.prompts.build import build_prompts
from tests.helpers.attributed import LIKELIHOOD, asked
from tests.helpers.forwards import must_not_run
from tests.helpers.questions import with_options
from tests.helpers.t5 import lens as t5_lens

REFUSED = [
    ({"objective": "logit_diff"}, "unknown objective 'logit_diff'.*'logit_difference'"),
    ({"scoring": "letters"}, "unknown scoring of attributions 'letters'.*'letter'"),
    ({"scoring": "letter_options"}, "unknown scoring of attributions 'letter_options'"),
    ({"path": "integrate"}, "unknown path 'integrate'.*'integrated'"),
    ({"path": "integrated", "points": 0}, "points=0: a path needs at least one point"),
    ({"path": "integrated", "points": -2}, "points=-2"),
    ({"path": "integrated", "points": True}, "points"),
    ({"path": "integrated", "baseline": "mean"}, "unknown baseline 'mean'"),
    ({"baseline": "others"}, "baseline='others' is where a path begins.*path='integrated'"),
    ({"aggregation": "mean"}, "unknown aggregation 'mean'"),
    ({"positions": "option"}, "unknown positions 'option'.*'options'"),
    ({"positions": "options"}, "positions='options'.*scoring='option_likelihood'"),
    ({**LIKELIHOOD, "positions": "options", "aggregation": "last"}, "another aggregation"),
    ({"objectives": "probability"}, "unknown option 'objectives'.*'objective'"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[str(case[0]) for case in REFUSED])
def test_settings_that_cannot_be_are_refused_before_the_model_runs(idle, options, said):
    with pytest.raises(InputError, match=said) as caught:
        attribute(idle, asked(), progress=False, **options)
    assert "\n" not in str(caught.value)


def test_the_other_cultures_need_two_cultures(idle):
    how = {"path": "integrated", "baseline": "others"}
    alone = [question for question in asked() if question.culture == "Japan"]
    with pytest.raises(InputError, match="there is only Japan.*baseline='zero'"):
        attribute(idle, alone, progress=False, **how)


def test_the_other_cultures_of_sites_that_are_not_recorded_together(monkeypatch):
    model = t5_lens("flan")
    must_not_run(monkeypatch)
    with pytest.raises(InputError, match="two calls"):
        attribute(model, asked(), progress=False, path="integrated", baseline="others")


def test_an_option_without_tokens_is_refused_before_the_model_runs(monkeypatch):
    """Of characters that the tokenizer leaves out; by letter it has a label all the same."""
    model = t5_lens("flan")
    question = with_options(asked()[0], ("rice", "\u200b"), 0)
    prompts = build_prompts([question], model.processor, style="cloze")
    empty = [replace(p, continuations=(p.continuations[0], ())) for p in prompts]
    monkeypatch.setattr("culture_lens.attribution.gradients.build_prompts", lambda *_, **__: empty)
    must_not_run(monkeypatch)
    with pytest.raises(InputError, match="'food/Japan': the option .* has no tokens.*by letter"):
        attribute(model, [question], progress=False, **LIKELIHOOD)


def test_positions_without_any_token_are_refused_before_the_model_runs(idle):
    single = [with_options(question, ("A", "B"), 0) for question in asked()]
    how = {**LIKELIHOOD, "positions": "options", "progress": False}
    with pytest.raises(InputError, match="every option is a single token"):
        attribute(idle, single, **how)
    with pytest.raises(AssertionError, match="the model was run"):
        attribute(idle, [*single[1:], asked()[0]], **how)


def test_names_by_themselves():
    for get, name in ((get_objective, "P"), (get_attribution_scoring, "words")):
        with pytest.raises(InputError, match=f"unknown .*'{name}'"):
            get(name)
    assert Path("integrated", points=4).shares == (0.125, 0.375, 0.625, 0.875)
    assert Path("integrated", points=1).shares == (0.5,)
    assert Path().shares == (1.0,)


def test_only_culnig_weighs_by_the_probability():
    assert Attribution().weighted
    assert not Attribution(objective="log_probability").weighted
    assert not Attribution(objective="logit_difference").weighted


def test_which_tokens_count():
    """Visit 0 is the prompts', later ones are those of options."""
    table = {"all": (True, True), "prompt": (True, False), "options": (False, True)}
    for positions, expected in table.items():
        how = Attribution(scoring="option_likelihood", positions=positions)
        assert (how.counts(0), how.counts(1)) == expected
        assert how.counts(2) == how.counts(1)
    last = Attribution(scoring="option_likelihood", aggregation="last")
    assert (last.counts(0), last.counts(1)) == (True, False)
