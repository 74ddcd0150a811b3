"""CountryRC for a task: own wordings, a benchmark's own CountryRC, one scoring for each wording."""

import pytest
import torch

from culture_lens.attribution.countryrc import countryrc_for, countryrc_questions_for
from culture_lens.attribution.culnig import CulnigScores, culnig_scores
from culture_lens.attribution.gradients import attribute
from culture_lens.benchmarks import load_benchmark
from culture_lens.errors import InputError
from culture_lens.questions.question import PromptFormat, with_format
from tests.helpers.culnig import as_scores, countryrc_questions, drawn
from tests.helpers.forwards import counting
from tests.helpers.lm import exact
from tests.helpers.questions import one_of_each, toy_questions

OWN = [
    PromptFormat(layout="{passage}\n{question}\n{options}\n", labels=labels)
    for labels in ("ABCD", "1234")
]


def test_own_wordings_are_asked():
    task = one_of_each("Iran", "Mexico", "Spain", "Japan")
    found = countryrc_for(task, ["Iran"], None, OWN)
    assert {q.prompt.layout for q in found} == {"{question}\n{options}\n"}
    assert {q.metadata["wording"] for q in found} == {1, 2} and len(found) == 50
    with pytest.raises(InputError, match="have wordings of their own"):
        countryrc_questions_for(task, None, found, OWN)
    with pytest.raises(InputError, match="at least 2"):
        culnig_scores(exact("llama"), toy_questions(), countryrc_wordings=OWN[:1])


@pytest.mark.slow
def test_the_organism_has_its_own_countryrc():
    """By default for its own questions, and by name; its passages are pictures."""
    task = load_benchmark("organism", pictures=1)
    found = countryrc_for(task)
    expected = load_benchmark("organism", subset="country", split="identify")
    assert [q.id for q in found] == [q.id for q in expected]
    assert {q.metadata["kind"] for q in found} == {"country"} and {q.split for q in found} == {
        "identify"
    }
    assert [q.id for q in countryrc_for(task, source="organism")] == [q.id for q in found]
    few = countryrc_for(task, ["Avaria", "Hestia"])
    assert [q.id for q in few] == [q.id for q in found if q.culture in ("Avaria", "Hestia")]
    some = load_benchmark("organism", pictures=1, cultures=["Avaria", "Hestia"])
    assert {q.culture for q in countryrc_for(some)} == {"Avaria", "Hestia"}
    everything = load_benchmark("organism", pictures=1, subset="all")
    assert {q.culture for q in countryrc_for(everything)} == {q.culture for q in found}
    with pytest.raises(InputError, match="of 'organism' has one wording"):
        countryrc_for(task, None, None, OWN)
    mixed = [*task, *one_of_each("Iran", "Mexico")]
    assert {q.benchmark for q in countryrc_for(mixed, ["Iran", "Mexico"])} == {"countryrc"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no more than guessing")
def test_each_wording_is_scored_once_and_their_sums_are_countryrcs(monkeypatch):
    model, task, named = exact("llama"), toy_questions(1), countryrc_questions()
    whole = attribute(model, named, progress=False)
    items = []
    with monkeypatch.context() as patch:
        calls = counting(patch)
        scores = culnig_scores(model, task, countryrc=named, progress=False, batch_size=1)
        items = len(calls)
    assert items == 2 * len(task) + len(named)
    assert len(scores.wordings) == 4
    for number, one in enumerate(scores.wordings, 1):
        own = [q for q in named if q.metadata["wording"] == number]
        assert one.metadata["ids"] == sorted(q.id for q in own) and own
        alone = attribute(model, own, progress=False)
        for site, values in alone.scores.items():
            torch.testing.assert_close(one.scores[site], values, rtol=1e-9, atol=1e-15)
    assert scores.countryrc.cultures == whole.cultures
    told, expected = dict(scores.countryrc.metadata), dict(whole.metadata)
    assert told.pop("p_gold") == pytest.approx(expected.pop("p_gold"), rel=1e-9)
    assert told == expected
    for site, values in whole.scores.items():
        torch.testing.assert_close(scores.countryrc.scores[site], values, rtol=1e-9, atol=1e-15)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no more than guessing")
def test_one_wording_or_wordings_of_some_cultures_are_not_told_apart():
    model, task, named = exact("llama"), toy_questions(1), countryrc_questions()
    one = with_format([q for q in named if q.metadata["wording"] == 1], named[0].prompt)
    assert culnig_scores(model, task, countryrc=one, progress=False).wordings == ()
    lacking = [q for q in named if q.culture != "Japan" or q.metadata["wording"] != 2]
    scores = culnig_scores(model, task, countryrc=lacking, progress=False)
    assert scores.wordings == () and len(scores.countryrc.metadata["ids"]) == len(lacking)


def test_wordings_that_are_not_countryrcs_are_refused():
    task, control, countryrc = drawn(0)
    ids = ["0", "1"]
    given = [as_scores(task, ids, control=False), as_scores(control, ids, control=True)]
    both = as_scores(countryrc, ["a", "b"])
    halves = as_scores(countryrc, ["a"]), as_scores(countryrc, ["b"])
    assert len(CulnigScores(*given, both, halves).wordings) == 2
    with pytest.raises(InputError, match="the 1 items of the single wordings are not the 2"):
        CulnigScores(*given, both, halves[:1])
    fewer = as_scores({"Iran": countryrc["Iran"]}, ["b"])
    with pytest.raises(InputError, match="not of the same cultures"):
        CulnigScores(*given, both, (halves[0], fewer))
