"""find_culture_neurons by knowledge: what it composes, halves that find and confirm, mistakes."""

import warnings
from dataclasses import replace

import pandas as pd
import pytest

from culture_lens.attribution.knowledge import halves_of, knowledge_scores
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation import confirmed
from culture_lens.evaluation.confirm import confirm
from culture_lens.find import find_culture_neurons
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import select
from tests.helpers.comparison import two_passages
from tests.helpers.confirmed import TWO, drawn_questions
from tests.helpers.culnig import members
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import lens

CHEAP = {"path": "integrated", "points": 1, "scoring": "letter"}
"""One point on the way: what is composed does not depend on it."""


@pytest.fixture(autouse=True)
def guessing_is_no_news():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        yield


def passages():
    """One of each culture."""
    return list({q.culture: q for q in two_passages() if q.culture in TWO}.values())


def found_by(questions, **options):
    further = {**CHEAP, "countryrc": passages(), **options.pop("summary_options", {})}
    return find_culture_neurons(
        lens("llama"), questions, method="knowledge", summary_options=further,
        **{"batch_size": 16, "progress": False, **options},
    )  # fmt: skip


def scored(questions):
    return knowledge_scores(
        lens("llama"), questions, countryrc=passages(), batch_size=16, progress=False, **CHEAP
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [{"k": 5}, {"share": 0.1}])
def test_finding_equals_scoring_and_selecting(number):
    questions = drawn_questions(12)
    found = found_by(questions, **number)
    identify, rest = split_questions(questions)
    assert members(found) == members(select(scored(identify), "knowledge", **number))
    assert all(len(found[culture]) == number.get("k", 14) for culture in TWO)
    assert found.metadata["selector"] == "knowledge"
    assert found.metadata["objective"] == "logit_difference"
    assert set(found.metadata["agreement"]) == set(TWO)
    assert {q.group for q in identify} <= set(found.metadata["groups"])
    assert not {q.group for q in rest} & set(found.metadata["groups"])


MORE = {"candidate_share": 0.4}
"""5% of a tiny model's neurons are fewer than 20 groups."""


@pytest.mark.slow
def test_a_rate_finds_on_one_half_and_confirms_on_the_other():
    questions = drawn_questions(14)
    found = found_by(questions, fdr=0.05, identify_share=1.0, **MORE)
    finding, confirming = halves_of(questions)
    assert not {q.group for q in finding} & {q.group for q in confirming}
    assert len(finding) == len(confirming) == 14
    candidates = select(scored(finding), "knowledge", fdr=0.05, **MORE)
    alone = confirm(
        lens("llama"), candidates, confirming, scoring="letter", batch_size=16, progress=False
    )
    assert members(found) == members(alone)
    table = pd.DataFrame(found.metadata["confirmed"])
    assert table.equals(pd.DataFrame(alone.metadata["confirmed"]))
    assert len(table) == 2 * 20 and (table["answers"] == 7).all()
    assert {q.group for q in questions} <= set(found.metadata["groups"])  # none may evaluate it


def test_passages_of_groups_that_confirm_do_not_find(monkeypatch):
    """CountryRC questions may be of the questions' own groups, as the organism's are."""
    questions = drawn_questions(14)
    finding, confirming = ({q.group for q in half} for half in halves_of(questions))
    own = [replace(q, id=f"country/{q.id}") for q in questions]
    given = {}

    def watched(model, asked, **options):
        given.update(asked=asked, **options)
        raise InputError("seen enough")

    monkeypatch.setattr(confirmed, "knowledge_scores", watched)
    with pytest.raises(InputError, match="seen enough"):
        found_by(questions, fdr=0.05, identify_share=1.0, summary_options={"countryrc": own})
    assert {q.group for q in given["asked"]} == {q.group for q in given["countryrc"]} == finding
    assert confirming and not confirming & finding


@pytest.mark.slow
@pytest.mark.parametrize("number", [{"k": 5}, {"fdr": 0.5, "identify_share": 1.0, **MORE}])
def test_a_run_folder_keeps_what_is_done(number, tmp_path, monkeypatch):
    questions = drawn_questions(14)
    first = found_by(questions, run=tmp_path, **number)
    must_not_run(monkeypatch)
    again = found_by(questions, run=tmp_path, **number)
    assert members(again) == members(first)
    assert again.metadata.get("confirmed") == first.metadata.get("confirmed")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fdr": 0.05, "k": 3}, "one of them"),
        ({"fdr": 1.5}, r"outside \(0, 1\)"),
        ({"k": 0}, "at least one neuron"),
        ({"share": 1e-4}, "0 of .* neurons asked for"),
        ({"country_weight": -1.0}, "country_weight"),
        ({"weight": 1}, "no option 'weight'"),
        ({"k": 3, "groups": 5}, "no option 'groups'"),
        ({"fdr": 0.05, "groups": 0}, "groups"),
        ({"fdr": 0.05, "candidate_share": 1.5}, "share"),
        ({"sites": "acts"}, "unknown site 'acts'"),
        ({"summary_options": {"objective": "logits"}}, "unknown objective 'logits'"),
        ({"summary_options": {"path": "straight"}}, "unknown path 'straight'"),
        ({"summary_options": {"points": 0}}, "at least one point"),
        ({"summary_options": {"path": "none", "baseline": "others"}}, "where a path begins"),
        ({"summary_options": {"only_correct": True}}, "unknown option 'only_correct'"),
        ({"summary_options": {"countries": ["Peru"], "countryrc": None}}, "Peru"),
        ({"summary_options": {"per_culture": 0}}, "per_culture"),
    ],
    ids=str,
)
def test_mistakes_are_refused_before_the_model_runs(idle, options, message):
    with pytest.raises(InputError, match=message):
        found_by(
            drawn_questions(8), **({"k": 3} if "summary_options" in options else {}), **options
        )


def test_a_rate_needs_questions_that_confirm(idle):
    alone = [q for q in drawn_questions(8) if q.group == "g0"]
    with pytest.raises(InputError, match="one lacks a culture"):
        found_by(alone, fdr=0.05, identify_share=1.0)


@pytest.mark.slow
def test_too_few_candidates_for_the_groups_are_refused_by_name():
    with pytest.raises(InputError, match="Japan has 7 candidates for 20 groups"):
        found_by(drawn_questions(14), fdr=0.05, identify_share=1.0, groups=20)


@pytest.mark.slow
def test_a_small_model_has_as_many_groups_as_candidates():
    """7 candidates are 5% of 144 neurons: 7 groups of one, and not the 20 of larger models."""
    found = found_by(drawn_questions(14), fdr=0.05, identify_share=1.0)
    assert found.metadata["groups_of_candidates"] == 7
    assert len(found.metadata["confirmed"]) == 2 * 7
    fewer = found_by(drawn_questions(14), fdr=0.05, identify_share=1.0, groups=3)
    assert len(fewer.metadata["confirmed"]) == 2 * 3
