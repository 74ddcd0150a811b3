"""What confirm refuses, by name, before the model runs."""

from dataclasses import replace

import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.confirm import confirm
from culture_lens.neurons.neuron_set import NeuronSet
from tests.helpers.confirmed import TWO, candidates, drawn_questions


@pytest.fixture
def refused(idle):
    """Call confirm, which must refuse; give what it says."""

    def call(found=None, questions=None, **options):
        found = candidates() if found is None else found
        questions = drawn_questions() if questions is None else questions
        chosen = {"groups": 3, "progress": False, **options}
        with pytest.raises(InputError) as failure:
            confirm(idle, found, questions, **chosen)
        return str(failure.value)

    return call


def test_fewer_candidates_than_groups(refused):
    said = refused(groups=13)
    assert "Japan has 12 candidates for 13 groups" in said and "at most 12" in said


@pytest.mark.parametrize("groups", [0, -1, 1.5, True, "three"])
def test_groups_that_are_no_number(refused, groups):
    assert "groups" in refused(groups=groups)


@pytest.mark.parametrize("fdr", [0.0, 1.0, -0.1, 2.0, float("nan"), "0.05", True])
def test_rates_outside_0_and_1(refused, fdr):
    assert "fdr" in refused(fdr=fdr)


def test_candidates_without_scores(refused):
    found = candidates()
    bare = {culture: replace(found[culture], scores={}) for culture in found}
    assert "Japan carry no scores" in refused(NeuronSet(bare, found.shapes, found.metadata))


def test_no_question_left_of_a_culture(refused):
    questions = drawn_questions(8)
    own = [replace(q, group=f"{q.group}/{q.culture}") for q in questions]
    held = sorted(q.group for q in own if q.culture == "Mexico")
    looked = {"drawn": {"groups": held, "ids": []}}
    said = refused(candidates(looked_at=looked, groups=held), own)
    assert "no question is left to confirm the candidates of Mexico" in said


def test_no_question_left_at_all(refused):
    held = [f"g{n}" for n in range(8)]
    looked = {"drawn": {"groups": held, "ids": []}}
    said = refused(candidates(looked_at=looked, groups=held))
    assert "every question was used to find these candidates: give others" in said
    assert "seen" not in said  # which confirm does not have


def test_fewer_than_five_right_answers(refused):
    said = refused(questions=drawn_questions(4, rows=3))
    assert "the 12 questions of Japan have 4 different right answers" in said and "needs 5" in said


def test_neurons_of_another_model(refused):
    found = candidates()
    wide = NeuronSet(found.neurons, {"act": (3, 99)}, found.metadata)
    assert "99" in refused(wide)


@pytest.mark.parametrize("scoring", ["letters", 3])
def test_an_unknown_scoring(refused, scoring):
    assert "scoring" in refused(scoring=scoring)


@pytest.mark.parametrize("wrong", [{}, "found", None, {"Japan": [1]}])
def test_what_is_no_neuron_set(idle, wrong):
    with pytest.raises(InputError, match="found"):
        confirm(idle, wrong, drawn_questions())


def test_cultures_of_other_questions(refused):
    assert TWO[0] in refused(questions=drawn_questions(cultures=("Peru", "Chile")))


def test_the_last_culture_is_refused_before_the_first_one_runs(refused):
    last = [q for q in drawn_questions(rows=2) if q.culture == "Japan" or q.group <= "g3"]
    said = refused(questions=last)
    assert "the 8 questions of Mexico have 4 different right answers" in said


def test_questions_that_are_too_long_do_not_count_as_answers(refused):
    """With too_long="skip" they are never asked."""
    long = [
        replace(q, text=q.text * 200) if q.culture == "Mexico" and q.group > "g3" else q
        for q in drawn_questions()
    ]
    said = refused(questions=long, too_long="skip")
    assert "the 4 questions of Mexico have 4 different right answers" in said
