"""A rerun of real work says what has changed, and computes what a fresh folder would hold."""

import warnings
from dataclasses import replace

import pandas as pd
import pytest
import torch

from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.models.load import load_model
from culture_lens.storage import work as module
from culture_lens.storage.status import run_status
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_model, tiny_tokenizer

QUIET = {"progress": False, "batch_size": 8}
ASKED = toy_questions(2)
TEXT = [replace(q, text=f"{q.text} Say it.") for q in ASKED[:3]] + ASKED[3:]


def again(folder, work, monkeypatch):
    """Do work as another process; give the result and what was said."""
    monkeypatch.setattr(module, "MET", module.Met())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work(folder)
    return result, [str(one.message) for one in caught]


def trained_further():
    """The same model after training: one weight is another one."""
    hf = tiny_model("llama")
    with torch.no_grad():
        hf.model.layers[0].mlp.up_proj.weight[0, 0] += 1
    return load_model("tiny-llama", hf_model=hf, tokenizer=tiny_tokenizer("llama"))


def answered(model, asked, scoring="letter"):
    def work(folder):
        frame = evaluate(model, asked, scoring=scoring, run=folder, **QUIET).frame
        return frame.assign(scores=frame["scores"].map(list))

    return work


def summarised(model, asked):
    return lambda folder: summarise(model, asked, run=folder, **QUIET).counts["act"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: answered(model, TEXT), "3 of 8 questions changed"),
        (lambda model: answered(model, ASKED[:7]), "1 question left out"),
        (lambda model: answered(model, ASKED, "letter_options"), "scoring: letter -> letter_opt"),
        (lambda _: answered(trained_further(), ASKED), "weights: "),
    ],
)
def test_a_changed_rerun_says_so_and_answers_as_in_a_fresh_folder(
    tmp_path, monkeypatch, change, words
):
    model = lens("llama")
    answered(model, ASKED)(tmp_path / "used")
    assert again(tmp_path / "used", answered(model, ASKED), monkeypatch)[1] == []
    work = change(model)
    found, told = again(tmp_path / "used", work, monkeypatch)
    assert len(told) == 1 and words in told[0] and "made anew" in told[0]
    pd.testing.assert_frame_equal(found, work(tmp_path / "fresh"))
    assert again(tmp_path / "used", work, monkeypatch)[1] == []


@pytest.mark.slow
def test_a_changed_recording_says_so_and_one_that_goes_on_does_not(tmp_path, monkeypatch):
    model = lens("llama")
    summarised(model, ASKED)(tmp_path / "used")
    found, told = again(tmp_path / "used", summarised(model, TEXT), monkeypatch)
    assert len(told) == 1 and "statistics was begun before" in told[0]
    assert torch.equal(found, summarised(model, TEXT)(tmp_path / "fresh"))


def test_the_status_of_real_work_adds_up(tmp_path):
    model = lens("llama")
    summarised(model, ASKED)(tmp_path)
    answered(model, ASKED)(tmp_path)
    status = run_status(tmp_path, check=True)
    assert {one.name.split("-")[0] for one in status.work} == {"statistics", "answers"}
    assert status.damaged == {} and status.seconds_left == 0 and status.going == ()
    for one in status.work:
        assert one.finished and one.items == one.items_done == len(ASKED) and one.seconds > 0
