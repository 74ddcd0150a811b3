"""Ablation matrices with pictures: each picture seen once, whatever the masks and the memory."""

from pathlib import Path

import pytest

from culture_lens.attribution.gradients import attribute
from culture_lens.evaluation import answering
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.models.prompt_groups import groups_of_pictures
from culture_lens.prompts.prompt import Role
from tests.helpers.marks import QUIET
from tests.helpers.vlm import (
    MATRIX_OPTIONS,
    assert_nearly_same_records,
    counting_tower,
    lens,
    made_up_neurons,
    pictured_questions,
    pictures_of,
    prompts_of,
    whole_matrix,
)
from tests.helpers.vlm_items import each_vlm


@pytest.mark.slow
@each_vlm
def test_each_picture_goes_through_the_tower_once(architecture):
    """Under every mask and seed, in every later call, with several questions on a picture."""
    questions = pictured_questions()
    model, runs = counting_tower(architecture)
    found = made_up_neurons(model)
    matrix = ablation_matrix(model, found, questions, batch_size=9, **MATRIX_OPTIONS)
    assert_nearly_same_records(matrix.frame, whole_matrix(architecture).frame)
    assert len(runs) == model.vision.runs == len(pictures_of(questions)) == 5
    masks = matrix.frame.groupby(["condition", "mask", "seed"])
    assert masks.ngroups == 1 + 1 + 2 and set(masks.size()) == {16}
    summarise(model, questions, **QUIET)
    attribute(model, questions[:5], sites="gate", **QUIET)
    assert len(runs) == model.vision.runs == 5


@pytest.mark.slow
@each_vlm
def test_with_memory_for_one_picture_the_matrix_is_the_same(architecture):
    """One picture is looked at under all masks before the next one is."""
    questions = pictured_questions()
    plain = lens(architecture)
    prompts = prompts_of(architecture, questions)
    tokens = max(sum(role == Role.IMAGE for role in prompt.roles) for prompt in prompts)
    model, runs = counting_tower(architecture, image_memory=tokens * plain.vision.bytes_per_token)
    groups = groups_of_pictures(prompts, model.vision)
    assert all(len(pictures_of(prompt.question for prompt in group)) <= 1 for group in groups)
    for batch_size in (16, 2) if architecture == "qwen2_5_vl" else (16,):
        model.vision.forget()
        before = len(runs)
        matrix = ablation_matrix(
            model, made_up_neurons(model), questions, batch_size=batch_size, **MATRIX_OPTIONS
        )
        assert len(runs) - before == len(pictures_of(questions))
        assert model.vision.runs == len(runs)
        assert_nearly_same_records(matrix.frame, whole_matrix(architecture).frame)


@pytest.mark.slow
def test_an_interrupted_matrix_goes_on(tmp_path, monkeypatch):
    questions = pictured_questions()
    model, runs = counting_tower("idefics3")
    found = made_up_neurons(model)
    original, done = answering.tree_answers, []

    def fails(*given, **options):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return original(*given, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(answering, "tree_answers", fails)
        ablation_matrix(model, found, questions, run=tmp_path, **MATRIX_OPTIONS)
    assert len(list(Path(tmp_path, "pieces").iterdir())) == 3
    matrix = ablation_matrix(model, found, questions, run=tmp_path, **MATRIX_OPTIONS)
    assert_nearly_same_records(matrix.frame, whole_matrix("idefics3").frame)
    assert len(list(Path(tmp_path, "pieces").iterdir())) == 4
    assert len(runs) == 5
