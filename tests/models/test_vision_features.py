"""Features of pictures are made once for each content and kept as memory allows."""

import numpy as np
import pytest

from culture_lens.attribution.gradients import attribute
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.models.prompt_groups import groups_of_pictures
from culture_lens.models.vision import NoPictures
from culture_lens.questions.question import Question
from tests.helpers.closeness import relative
from tests.helpers.marks import QUIET
from tests.helpers.tiny_vlm import picture
from tests.helpers.vlm import (
    assert_nearly_same_records,
    counting_tower,
    fresh,
    lens,
    pictured_questions,
    pictures_of,
    prompts_of,
)


@pytest.mark.slow
def test_no_memory_at_all_changes_no_result():
    questions = pictured_questions()
    expected = evaluate(lens("qwen2_5_vl"), questions, **QUIET)
    model, runs = counting_tower("qwen2_5_vl", image_memory=0)
    found = evaluate(model, questions, batch_size=2, **QUIET)
    assert_nearly_same_records(found.frame, expected.frame)
    assert len(runs) == model.vision.runs >= len(pictures_of(questions))
    scores = attribute(model, questions[:6], sites="v", **QUIET)
    its = attribute(lens("qwen2_5_vl"), questions[:6], sites="v", **QUIET)
    assert relative(scores.scores["v"], its.scores["v"]) < 1e-5


def test_the_oldest_features_go_first():
    questions = pictured_questions()
    images = [question.image for question in questions[:4]]
    sizes = {len(lens("llava").vision.features(image)) for image in images}
    assert sizes == {16}
    model = fresh("llava", image_memory=2 * 16 * lens("llava").vision.bytes_per_token)
    for number, runs in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4), (2, 5), (1, 5), (0, 6)):
        model.vision.features(images[number])
        assert model.vision.runs == runs


@pytest.mark.slow
def test_groups_keep_a_picture_together_and_drop_nothing():
    questions = pictured_questions()
    prompts = prompts_of("llava_next_mistral", questions)
    vision = fresh("llava_next_mistral").vision
    for memory in (0, 1, 5_000, 10**9):
        vision.kept.memory = memory
        groups = groups_of_pictures(prompts, vision)
        ids = [prompt.question.id for group in groups for prompt in group]
        assert sorted(ids) == sorted(question.id for question in questions)
        keys = [pictures_of(prompt.question for prompt in group) for group in groups]
        assert sum(len(some) for some in keys) == len(pictures_of(questions))
    assert len(groups) == 1
    plain = [prompt for prompt in prompts if prompt.question.image is None]
    assert plain and groups_of_pictures(plain, NoPictures()) == [plain]


def test_the_same_file_under_two_names_is_one_picture(tmp_path):
    """Pictures are told by their content, not by their path."""
    for name in ("a.png", "b.png"):
        picture(3, 40, 40).save(tmp_path / name)
    picture(4, 40, 40).save(tmp_path / "c.png")
    questions = [
        Question(name, "Japan", "What is it?", ("tea", "milk"), 0, image=tmp_path / f"{name}.png")
        for name in "abc"
    ]
    model, runs = counting_tower("gemma3")
    found = evaluate(model, questions, **QUIET)
    assert len(runs) == model.vision.runs == 2
    scores = found.frame["scores"].tolist()
    assert np.allclose(scores[0], scores[1], rtol=1e-4) and not np.allclose(scores[0], scores[2])
