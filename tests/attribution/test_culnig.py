"""CULNIG's three scorings: which belong together, whom CountryRC asks about, resumed runs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.attribution.countryrc import countryrc_for
from culture_lens.attribution.culnig import CulnigScores, culnig_scores
from culture_lens.attribution.gradients import attribute
from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.question import PromptFormat
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import select
from tests.helpers import reference_culnig as reference
from tests.helpers.culnig import (
    METHODS,
    as_culnig,
    as_scores,
    countryrc_questions,
    drawn,
    members,
    reference_tables,
)
from tests.helpers.forwards import counting
from tests.helpers.lm import exact, exact_raw, lens
from tests.helpers.questions import one_of_each, toy_questions

pytestmark = pytest.mark.filterwarnings("ignore:.*no more than guessing")


# ------------------------------------------------------------------ what is refused


def test_scorings_that_do_not_belong_together():
    tables = drawn(0)
    good = as_culnig(tables, 4)
    wrong_ids = as_scores(tables[1], ["0", "1", "2", "9"], control=True)
    with pytest.raises(InputError, match="control and task do not match: 2 items"):
        CulnigScores(good.task, wrong_ids, good.countryrc)
    fewer = {c: t for c, t in tables[1].items() if c != "China"}
    with pytest.raises(InputError, match="control and task do not match"):
        ids = good.task.metadata["ids"]
        CulnigScores(good.task, as_scores(fewer, ids, control=True), good.countryrc)
    with pytest.raises(InputError, match="swapped|twice"):
        CulnigScores(good.control, good.task, good.countryrc)
    with pytest.raises(InputError, match="swapped|twice"):
        CulnigScores(good.task, good.task, good.countryrc)
    abroad = as_scores({"Peru": tables[2]["Iran"]}, ["a"])
    with pytest.raises(InputError, match="CountryRC was scored for Peru, which the task lacks"):
        CulnigScores(good.task, good.control, abroad)
    for fact in ("model", "weights", "dtype", "aggregation"):
        other = as_scores(tables[2], ["a"], **{fact: "another"})
        with pytest.raises(InputError, match=f"differ in {fact}"):
            CulnigScores(good.task, good.control, other)
    narrow = as_scores(tables[2], ["a"], sites=("gate", "q"))
    with pytest.raises(InputError, match="differ in sites or shapes"):
        CulnigScores(good.task, good.control, narrow)


@pytest.mark.parametrize("site", reference.SITES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_site_without_any_score(which, site):
    tables = drawn(0)
    for by_site in tables[which].values():
        by_site[site] = np.zeros_like(by_site[site])
    name = ("task", "control", "countryrc")[which]
    with pytest.raises(InputError, match=f"all {name} scores of site {site!r} are 0"):
        as_culnig(tables, 4)


# ------------------------------------------------------------------ end to end


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gemma3", "phi3", "gpt2"])
def test_other_architectures_find_what_the_reference_finds(architecture):
    model, (identify, _) = exact(architecture), split_questions(toy_questions())
    scores = culnig_scores(model, identify, countryrc=countryrc_questions(), progress=False)
    tables = reference_tables(model, exact_raw(architecture), identify, countryrc_questions())
    n = len(identify)
    general, specific = (options for _, options in METHODS)
    found = members(select(scores, "culnig_general", **general))
    assert found == {"general": reference.culture_general(*tables, n, n, **general)}
    found = members(select(scores, "culnig_specific", **specific))
    cultures = ("France", "Japan", "Mexico")
    assert found == reference.culture_specific(*tables, n, n, cultures, **specific)


@pytest.mark.slow
def test_without_more_countryrc_asks_about_the_questions_own_cultures(monkeypatch):
    asked = []

    def note(model, questions, **options):
        asked.append((questions, options))
        return real(model, questions, **options)

    real = attribute
    monkeypatch.setattr("culture_lens.attribution.culnig.attribute", note)
    questions = toy_questions(1)
    scores = culnig_scores(lens("llama"), questions, countries=["Japan", "Mexico"], progress=False)
    controls = [options.get("control", False) for _, options in asked]
    assert controls == [False, True, False, False, False, False]  # CountryRC in four wordings
    assert [q.id for q in asked[0][0]] == [q.id for q in asked[1][0]] == [q.id for q in questions]
    templates = load_benchmark("countryrc", split="identify")
    about = [q for questions, _ in asked[2:] for q in questions]
    assert {q.culture for q in about} == {"Japan", "Mexico"} == set(scores.countryrc.cultures)
    assert {q.group for q in about} == {q.group for q in templates}
    assert {q.split for q in about} == {"identify"}
    names = {option for q in about for option in q.options}
    assert names == {"Ethiopia", "France", "Japan", "Mexico"}
    assert {len(q.options) for q in about} == {4}


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_an_interrupted_run_goes_on(monkeypatch, tmp_path, stop_after):
    """8 questions in shards of 4: 2 batches for the task, 2 for control, and 4 for CountryRC.

    Its 8 questions are in four wordings, each scored by itself, two questions at a time.
    """
    model, (identify, _) = lens("llama"), split_questions(toy_questions())
    questions = countryrc_questions()[:8]
    assert len(identify) == 8
    monkeypatch.setattr("culture_lens.storage.finished.SHARD", 4)
    options = {"countryrc": questions, "progress": False, "batch_size": 4}
    clean = culnig_scores(model, identify, run=tmp_path / "clean", **options)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        counting(patch, stop_after)
        culnig_scores(model, identify, run=tmp_path / "run", **options)
    with monkeypatch.context() as patch:
        calls = counting(patch)
        found = culnig_scores(model, identify, run=tmp_path / "run", **options)
    assert len(calls) == 8 - stop_after
    for name in ("task", "control", "countryrc"):
        one, other = getattr(found, name), getattr(clean, name)
        for site, values in one.scores.items():
            assert torch.equal(values, other.scores[site])


# ------------------------------------------------------------------ refused before anything runs


def test_countryrc_questions_about_others_are_refused_before_the_model_runs(idle):
    abroad = [replace(q, culture="Peru") for q in countryrc_questions()]
    with pytest.raises(InputError, match="CountryRC asks about Peru, which the questions lack"):
        culnig_scores(idle, toy_questions(), countryrc=abroad, progress=False)


@pytest.mark.parametrize("which", ["task", "countryrc"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": PromptFormat(label_form="space", labels="WXYZ")}, "is not one token"),
        ({"text": "word " * 600}, "do not fit the context"),
    ],
    ids=("label", "length"),
)
def test_prompts_that_cannot_be_scored_are_refused_before_anything_is(idle, which, change, message):
    """CountryRC is scored last; what is wrong with it must not show after hours of the others."""
    task, named = toy_questions(), countryrc_questions()
    if which == "task":
        task = [replace(q, **change) for q in task]
    else:
        named = [replace(q, **change) for q in named]
    with pytest.raises(InputError, match=message):
        culnig_scores(lens("qwen2"), task, countryrc=named, progress=False)


@pytest.mark.slow
def test_questions_too_long_are_left_out_of_task_and_control():
    """The twin of a question that does not fit does fit: it must go all the same."""
    model, questions = lens("llama"), toy_questions()
    long = [replace(questions[0], text="word " * 600), *questions[1:]]
    with pytest.warns(CultureLensWarning, match="left out"):
        scores = culnig_scores(
            model, long, countryrc=countryrc_questions(), too_long="skip", progress=False
        )
    kept = sorted(q.id for q in questions[1:])
    assert scores.task.metadata["ids"] == scores.control.metadata["ids"] == kept


# ------------------------------------------------------------------ where it is used


def test_countryrc_scores_under_other_names_give_the_same_neurons():
    tables = drawn(0)
    same = as_culnig(tables, 4)
    codes = {"Brazil": "BRA", "Iran": "iran", "Japan": "JPN"}
    reading = as_scores(
        {codes[culture]: by_site for culture, by_site in tables[2].items()},
        ["a", "b"],
        control=False,
        right={"BRA": 1, "iran": 2, "JPN": 3},
    )
    with pytest.warns(CultureLensWarning, match="CountryRC's scores: 'BRA' is taken for 'Brazil'"):
        other = CulnigScores(same.task, same.control, reading)
    assert set(other.countryrc.cultures) == set(codes)
    assert other.countryrc.metadata["right"] == {"Brazil": 1, "Iran": 2, "Japan": 3}
    for method in ("culnig_general", "culnig_specific"):
        assert members(select(other, method)) == members(select(same, method))


@pytest.mark.parametrize(
    ("countries", "written"),
    [
        (["KOR", "US"], {"South Korea": "South Korea", "United States": "United States"}),
        (
            {"South_Korea": "Korea", "US": "the States"},
            {"South Korea": "Korea", "United States": "the States"},
        ),
    ],
)
def test_countryrc_asks_under_the_questions_names(countries, written):
    """No option is the right answer under another name."""
    task = one_of_each("South Korea", "United States", "Iran", "Mexico", "Spain")
    with pytest.warns(CultureLensWarning, match="'US' is taken for 'United States'"):
        about = countryrc_for(task, countries)
    assert {q.culture: q.options[q.answer] for q in about} == written
    assert {option for q in about for option in q.options} == {
        *written.values(), "Iran", "Mexico", "Spain"
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no more than guessing")
def test_countryrc_questions_under_other_names_are_scored():
    codes = {"Japan": "JPN", "Mexico": "MEX"}
    about = countryrc_for(toy_questions(1), list(codes))[::15]
    about = [replace(q, culture=codes[q.culture]) for q in about]
    with pytest.warns(CultureLensWarning, match="CountryRC's questions"):
        scores = culnig_scores(lens("llama"), toy_questions(1), countryrc=about, progress=False)
    assert set(scores.countryrc.cultures) == set(codes)
