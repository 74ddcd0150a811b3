"""KnowledgeScores: what is read off it by hand, and scores that do not belong together."""

from dataclasses import replace

import pytest

from culture_lens.attribution.knowledge import KnowledgeScores, halves_of
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.question import Question
from tests.helpers.known import CULTURES, FACTS, activity, known, table


def test_sums_are_divided_by_each_cultures_items():
    scores = known()
    assert scores.contributions("act")[:, 0].tolist() == [[2, 0], [1, 2], [0, 1]]
    # Peru has no CountryRC items: 0.
    assert scores.of_the_country("act")[:, 0].tolist() == [[0.5, 0], [0.5, 0], [0, 0]]
    assert scores.varying("act")[:, 0].tolist() == [[0.5, 0.5]] * 3


def test_a_neuron_that_is_never_active_does_not_vary():
    scores = known(activity=activity([[0.0, 1.0]] * 3, [[0.0, 1.0]] * 3))
    assert scores.varying("act").tolist() == [[[0, 0]]] * 3


def test_rounding_gives_no_share_below_0():
    scores = known(activity=activity([[1.0 + 1e-9, 1.0]] * 3, [[1.0, 1.0]] * 3))
    assert scores.varying("act").min() == 0


def test_names_that_are_written_otherwise_become_the_tasks():
    names = ("UK", "Peru")
    task = replace(known().task, cultures=("Japan", "United Kingdom", "Peru"))
    items = {"Japan": 2, "United Kingdom": 4, "Peru": 1}
    task = replace(task, metadata={**task.metadata, "items": items})
    country = table([[8.0, 0.0], [0.0, 3.0]], CULTURES[1:], ids=("c",))
    country = replace(
        country, cultures=names, metadata={**country.metadata, "items": {"UK": 4, "Peru": 1}}
    )
    active = replace(known().activity, cultures=task.cultures)
    with pytest.warns(CultureLensWarning, match="'UK' is taken for 'United Kingdom'"):
        scores = KnowledgeScores(task, country, active)
    assert scores.country.cultures == ("United Kingdom", "Peru")
    assert scores.of_the_country("act")[:, 0].tolist() == [[0, 0], [2, 0], [0, 3]]


def test_what_was_looked_at_is_that_of_task_and_country():
    metadata = known().metadata
    assert metadata["items"] == 2 and "ids" not in metadata
    assert metadata["groups"] == ["a", "b", "c"]


@pytest.mark.parametrize("fact", [*FACTS][:-1])
def test_a_country_of_another_model_or_attribution_is_refused(fact):
    country = table([[1.0, 0.0]], CULTURES[:1], ids=("c",), **{fact: "other"})
    with pytest.raises(InputError, match=f"task and CountryRC scores differ in {fact}"):
        known(country=country)


def test_other_sites_are_refused():
    with pytest.raises(InputError, match="differ in sites or shapes"):
        known(country=table([[1.0, 0.0]], CULTURES[:1], site="gate"))
    with pytest.raises(InputError, match="differ in sites or shapes"):
        known(country=table([[1.0, 0.0, 0.0]], CULTURES[:1]))


def test_activity_of_other_cultures_is_refused():
    other = activity([[1.0, 2.0]] * 2, [[2.0, 8.0]] * 2, CULTURES[:2])
    with pytest.raises(InputError, match="activity was recorded for Japan, Mexico, and the task"):
        known(activity=other)


def test_activity_of_other_sites_or_shapes_is_refused():
    with pytest.raises(InputError, match="activity.*act"):
        known(activity=table([[1.0, 2.0]] * 3, site="gate"))
    with pytest.raises(InputError, match="activity"):
        known(activity=activity([[1.0]] * 3, [[2.0]] * 3))


def test_a_country_that_the_task_lacks_is_refused():
    own = [table([[4.0, 0.0]], [culture]) for culture in ("Japan", "Peru")]
    active = activity([[1.0, 2.0]], [[2.0, 8.0]], ["Japan"])
    with pytest.raises(InputError, match="Peru"):
        KnowledgeScores(own[0], own[1], active)


def half(ids, cultures=CULTURES, **changes):
    return table([[2.0, 0.0]] * len(cultures), cultures, ids, **changes)


@pytest.mark.parametrize(
    "halves",
    [
        (half("ab"),),
        (half("a"), table([[2.0, 0.0, 1.0]] * 3)),
        (half("a"), half("b", CULTURES[:2])),
        (half("a"), half("b", site="gate")),
        (half("a"), half("b"), half("")),
    ],
    ids=["one", "another width", "a culture less", "another site", "three"],
)
def test_halves_that_are_not_the_tasks_are_refused(halves):
    with pytest.raises(InputError, match="halves: give two, each with all cultures"):
        known(halves=halves)


def test_halves_of_the_task_are_taken():
    assert len(known(halves=(half("a"), half("b"))).halves) == 2


def test_halves_keep_groups_whole_and_are_the_same_for_any_order():
    questions = [
        Question(f"{g}/{n}", "Japan", "?", ("a", "b"), 0, group=f"g{g}")
        for g in range(5)
        for n in range(2)
    ]
    first, second = halves_of(questions)
    assert {q.group for q in first} == {"g0", "g2", "g4"}
    assert {q.group for q in second} == {"g1", "g3"}
    again = halves_of(questions[::-1])
    assert [{q.id for q in half} for half in again] == [{q.id for q in h} for h in (first, second)]
    assert halves_of(questions[:2]) == ()
    alone = Question("9", "Peru", "?", ("a", "b"), 0, group="g9")
    assert halves_of([*questions, alone]) == ()  # one half would lack Peru


def test_halves_have_every_culture_where_groups_are_of_one_culture():
    """Rows without groups are groups of their own, often named by number, then culture."""
    questions = [
        Question(f"{n}/{culture}", culture, "?", ("a", "b"), 0, group=f"{n}/{culture}")
        for n in range(4)
        for culture in "ABCD"
    ]
    for half in halves_of(questions):
        assert {c: sum(q.culture == c for q in half) for c in "ABCD"} == dict.fromkeys("ABCD", 2)
