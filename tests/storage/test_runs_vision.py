"""Run folders with pictures: what is finished is found again, nothing stale is used."""

import numpy as np
import pytest
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.find import find_culture_neurons
from culture_lens.models.load import load_model
from culture_lens.questions.question import Question
from tests.helpers.closeness import relative
from tests.helpers.marks import QUIET
from tests.helpers.tiny_vlm import picture, tiny_processor
from tests.helpers.vlm import (
    assert_nearly_same_records,
    bare,
    counting_tower,
    fresh,
    pictured_questions,
)


@pytest.mark.slow
def test_a_repeated_run_needs_no_forward_pass(tmp_path, monkeypatch):
    questions = pictured_questions()
    model, runs = counting_tower("smolvlm")
    folder = tmp_path / "run"

    def whole():
        found = find_culture_neurons(model, questions, run=folder, share=0.05, **QUIET)
        matrix = ablation_matrix(model, found, questions, random_seeds=2, run=folder, **QUIET)
        attribute(model, questions[:8], sites="gate", run=folder, **QUIET)
        return found, matrix

    found, matrix = whole()
    forwards = []
    model.vision.forget()
    before = len(runs)
    monkeypatch.setattr(model.bridge.original_model, "forward", lambda *_, **__: forwards.append(1))
    monkeypatch.setattr(type(model), "_forward", lambda *_, **__: forwards.append(1))
    again, repeated = whole()
    assert forwards == [] and len(runs) == before == model.vision.runs
    assert all(again[culture] == found[culture] for culture in found)
    assert_nearly_same_records(repeated.frame, matrix.frame)


@pytest.mark.slow
def test_a_changed_picture_is_not_answered_from_the_old_record(tmp_path):
    """The picture's content counts, though question, path and size are the same."""
    path = tmp_path / "photo.png"

    def asked():
        return [
            Question(f"q{n}", culture, "What is it?", ("tea", "milk"), 0, image=path)
            for n, culture in enumerate(("Japan", "Japan", "Peru", "Peru"))
        ]

    model = fresh("llava_onevision")
    answers, counts, scores = [], [], []
    for seed in (1, 2, 1):
        picture(seed, 40, 40).save(path)
        options = {"run": tmp_path / "run", **QUIET}
        found = evaluate(model, asked(), **options)
        answers.append(found.frame["scores"].map(tuple).tolist())
        summary = summarise(model, asked(), sites="act", **options)
        counts.append(summary.counts["act"])
        scores.append(attribute(model, asked(), sites="gate", **options).scores["gate"])
        fresh_answers = evaluate(model, asked(), **QUIET).frame["scores"].map(tuple).tolist()
        assert np.allclose(answers[-1], fresh_answers)
    assert not np.allclose(answers[0], answers[1]) and answers[0] == answers[2]
    assert not torch.equal(counts[0], counts[1]) and torch.equal(counts[0], counts[2])
    assert relative(scores[1], scores[0]) > 1e-3 and torch.equal(scores[0], scores[2])
    assert model.vision.runs == 2


def test_other_settings_of_the_processor_are_another_run(tmp_path):
    questions = pictured_questions()[:4]
    evaluate(fresh("llava"), questions, run=tmp_path, **QUIET)
    processor = tiny_processor("llava")
    processor.image_processor.image_mean = [0.1, 0.2, 0.3]
    model = load_model("tiny-llava", hf_model=bare("llava"), processor=processor)
    found = evaluate(model, questions, run=tmp_path, **QUIET)
    expected = evaluate(model, questions, **QUIET)
    assert_nearly_same_records(found.frame, expected.frame)


def test_a_hook_in_the_tower_and_a_run_folder_do_not_go_together(tmp_path):
    model = fresh("llava")
    hook = next(n for n in model.bridge.hook_dict if n.endswith(".0.mlp.hook_out"))

    def triple(activation, hook):
        return 3 * activation

    assert hook.startswith("vision")
    with model.hooks([(hook, triple)]), pytest.raises(InputError, match="hooks are attached"):
        evaluate(model, pictured_questions(), run=tmp_path, **QUIET)
