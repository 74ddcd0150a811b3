"""What the selector ``knowledge`` reads is put together from passes that are proved elsewhere."""

from dataclasses import replace

import pytest
import torch

from culture_lens.attribution.activity import SQUARES
from culture_lens.attribution.gradients import attribute
from culture_lens.attribution.knowledge import halves_of, knowledge_scores
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.question import Question
from tests.helpers.forwards import must_not_run
from tests.helpers.knowledge import drawn, neuron_scores
from tests.helpers.lm import exact
from tests.helpers.marks import mostly_slow, quiet
from tests.helpers.questions import many, toy_questions

CULTURES = ("Ethiopia", "Japan", "Mexico")
HOW = {"scoring": "option_likelihood", "path": "integrated", "points": 2, "progress": False}


def task():
    """Two topics of three cultures."""
    return toy_questions(2, CULTURES)


def passages(*cultures):
    return [
        Question(f"c/{name}", name, f"It came from {name}. Where from?", CULTURES, n)
        for n, name in enumerate(CULTURES)
        if name in cultures
    ]


def scored(model=None, questions=None, **options):
    given = {"countryrc": passages("Ethiopia", "Japan"), "sites": "act", **HOW, **options}
    return knowledge_scores(model or exact("llama"), questions or task(), **given)


@quiet
@pytest.mark.slow
def test_scores_are_those_of_their_passes():
    model, found = exact("llama"), scored()
    how = {**HOW, "objective": "logit_difference", "sites": "act"}
    whole = attribute(model, task(), **how)
    assert found.cultures == CULTURES and found.sites == ("act",)
    assert torch.allclose(found.task.scores["act"], whole.scores["act"], rtol=1e-9, atol=1e-15)
    assert torch.allclose(found.contributions("act"), whole.scores["act"] / 2, rtol=1e-9)
    country = attribute(model, passages("Ethiopia", "Japan"), **how)
    assert torch.equal(found.country.scores["act"], country.scores["act"])
    table = found.of_the_country("act")
    assert torch.equal(table[:2], country.scores["act"]) and (table[2] == 0).all()
    for name in ("items", "right", "ids", "groups", "objective", "path", "points"):
        assert found.task.metadata[name] == whole.metadata[name], name
    for name in ("p_gold", "gap", "change"):
        assert found.task.metadata[name] == pytest.approx(whole.metadata[name], rel=1e-9)
    assert found.metadata["items"] == 6
    seen = {name for part in found.metadata["looked_at"].values() for name in part["ids"]}
    assert seen == {q.id for q in [*task(), *passages("Ethiopia", "Japan")]}


@quiet
def test_halves_are_those_of_question_groups():
    """Two groups, one in each half; together they are the task."""
    found = scored(path="none")
    groups = [{q.group for q in half} for half in halves_of(task())]
    assert groups == [{"food"}, {"sport"}]
    ids = [{name.split("/")[0] for name in half.metadata["ids"]} for half in found.halves]
    assert ids == [{"food"}, {"sport"}]
    both = found.halves[0].scores["act"] + found.halves[1].scores["act"]
    assert torch.equal(both, found.task.scores["act"])


def test_halves_are_dealt_by_the_names_of_groups():
    questions = many(5)  # g0 .. g4, two cultures each
    one, other = halves_of(list(reversed(questions)))
    assert [{q.group for q in half} for half in (one, other)] == [{"g0", "g2", "g4"}, {"g1", "g3"}]
    assert halves_of(many(1)) == ()
    apart = [replace(q, group=q.culture) for q in questions]
    assert halves_of(apart) == (), "a half would lack a culture"


@quiet
@pytest.mark.slow
def test_a_half_that_lacks_a_culture_is_no_half():
    """All questions are scored at once then, also from the other cultures' means."""
    apart = [replace(q, group=q.culture) for q in task()]
    found = scored(questions=apart, baseline="others")
    assert found.halves == () and found.task.metadata["items"] == dict.fromkeys(CULTURES, 2)


@quiet
def test_benchmarks_of_both_halves_are_named():
    mixed = [replace(q, benchmark="a" if q.group == "food" else "b") for q in task()]
    assert scored(questions=mixed, path="none").task.metadata["benchmark"] == "a, b"


@quiet
@pytest.mark.slow
def test_a_run_finds_everything_again(monkeypatch, tmp_path):
    first = scored(run=tmp_path)
    must_not_run(monkeypatch)
    again = scored(run=tmp_path)
    for name in ("task", "country", "activity"):
        for site, table in getattr(first, name).scores.items():
            assert torch.equal(getattr(again, name).scores[site], table)


@pytest.mark.parametrize("layers", mostly_slow([8, 9], fast=[8, 9]))
def test_defaults_follow_the_model(monkeypatch, layers):
    """Layer by layer up to 8 layers; by letter where the model answers so."""
    from culture_lens.attribution.knowledge import default_options

    model = replace(exact("llama"), n_layers=layers, scoring="letter")
    expected = {"objective": "logit_difference", "scoring": "letter"}
    path = "integrated_layerwise" if layers == 8 else "integrated"
    assert default_options(model) == {**expected, "path": path}
    other = replace(model, scoring="option_likelihood")
    assert default_options(other)["scoring"] == "option_likelihood"


# ------------------------------------------------------------------ the record


def test_what_varies_on_paper():
    """Items of activity 1 and 3: mean 2, mean square 5, so 1 - 4/5; never active, always alike."""
    items = {"a": 2, "b": 2}
    sums = torch.tensor([[4.0, 0.0, 6.0]] * 2)[:, None]
    squares = torch.tensor([[10.0, 0.0, 18.0]] * 2)[:, None]
    _, made = drawn(0, items, halves=False)
    shape = {"act": torch.zeros(2, 1, 3)}
    scores = replace(
        made,
        task=neuron_scores(shape, items),
        country=neuron_scores(shape, items),
        activity=neuron_scores({"act": sums, SQUARES + "act": squares}, items),
    )
    assert scores.varying("act")[0, 0].tolist() == pytest.approx([0.2, 0, 0], abs=1e-12)


def test_scores_that_do_not_belong_together_are_refused():
    _, scores = drawn(0)
    for name, facts in (
        ("model", {"model": "other"}),
        ("objective", {"objective": "logit_difference"}),
        ("points", {"points": 3}),
    ):
        country = replace(scores.country, metadata={**scores.country.metadata, **facts})
        with pytest.raises(InputError, match=f"CountryRC scores differ in {name}"):
            replace(scores, country=country)
    fewer = {site: table[:2] for site, table in scores.activity.scores.items()}
    activity = replace(scores.activity, cultures=scores.cultures[:2], scores=fewer)
    with pytest.raises(InputError, match="activity was recorded for Brazil, China"):
        replace(scores, activity=activity)


def test_names_of_countryrc_become_those_of_the_task():
    _, scores = drawn(0, {"UK": 2, "Japan": 2}, ["UK", "Japan"])
    named = replace(scores.country, cultures=("United Kingdom", "Japan"),
                    metadata={**scores.country.metadata,
                              "items": {"United Kingdom": 2, "Japan": 2}})  # fmt: skip
    with pytest.warns(CultureLensWarning, match="'United Kingdom' is taken for 'UK'"):
        renamed = replace(scores, country=named)
    assert torch.equal(renamed.of_the_country("act"), scores.of_the_country("act"))


def test_bad_input_is_refused_before_the_model_runs(monkeypatch):
    must_not_run(monkeypatch)
    for options, said in (
        ({"path": "integrate"}, "unknown path"),
        ({"points": 0}, "points=0"),
        ({"objective": "P"}, "unknown objective"),
        ({"scoring": "letter", "positions": "options"}, "positions='options'"),
        ({"per_culture": 0}, "per_culture"),
        ({"countryrc": passages("Japan"), "countryrc_wordings": "w"}, "countryrc_wordings"),
        ({"questions": toy_questions(2, ("Japan",))}, "only 1 culture"),
        ({"questions": toy_questions(2, ("Japan", "France"))}, "CountryRC asks about Ethiopia"),
        ({"unknown": 1}, "unknown option"),
    ):
        with pytest.raises(InputError, match=said):
            scored(**options)
