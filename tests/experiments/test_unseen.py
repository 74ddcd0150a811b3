"""Questions of groups that identified neurons are not asked, or it is said."""

import warnings
from dataclasses import replace

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.models.lens_model import LensModel
from culture_lens.questions.unseen import unseen
from tests.helpers.lm import lens
from tests.helpers.matrices import LETTERS
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions


def test_groups_that_identified_are_never_evaluated(monkeypatch):
    asked = set()
    forward = LensModel.tree_logits

    def note(self, tree):
        asked.update(prompt.question.group for prompt in tree.prompts)
        return forward(self, tree)

    monkeypatch.setattr(LensModel, "tree_logits", note)
    found = found_set(groups=["food", "city"])
    matrix = ablation_matrix(lens("llama"), found, toy_questions(), random_seeds=1, **LETTERS)
    assert asked == {"sport", "drink"} == set(matrix.frame["group"])
    assert matrix.metadata["left_out"] == 8 and matrix.metadata["items"] == 8


def test_unseen_goes_by_group_not_by_id():
    found = found_set(groups=["food"])
    questions = toy_questions()
    variant = replace(questions[0], id="another wording")
    left = unseen(found, [*questions, variant], seen=False)
    assert {q.group for q in left} == {"sport", "drink", "city"} and len(left) == 12


def test_other_questions_left_out_for_the_name_of_their_group_are_said():
    found = found_set(groups=["food"], benchmark="one, two")
    other = [replace(question, benchmark="three") for question in toy_questions()]
    with pytest.warns(CultureLensWarning, match="4 questions of three.*groups of one, two"):
        assert len(unseen(found, other, seen=False)) == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own = [replace(question, benchmark="two") for question in toy_questions()]
        assert len(unseen(found, own, seen=False)) == 12


def test_seen_is_said():
    found = found_set(groups=["food", "city"])
    with pytest.warns(CultureLensWarning, match="8 of the 16 items.*too large"):
        matrix = ablation_matrix(
            lens("llama"), found, toy_questions(), random_seeds=0, seen=True, **LETTERS
        )
    assert matrix.metadata["seen"] is True and matrix.metadata["items"] == 16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh = found_set(groups=["other"])
        assert len(unseen(fresh, toy_questions(), seen=True)) == 16


def test_nothing_unseen_is_left():
    found = found_set(groups=["food", "city", "sport", "drink"])
    with pytest.raises(InputError, match="every question was used.*identify_share.*seen=True"):
        ablation_matrix(lens("llama"), found, toy_questions(), **LETTERS)
