"""Run folders: what is finished is found again, after an interrupt too; nothing stale is used."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.prompt import Role
from culture_lens.questions.question import PromptFormat, with_format
from culture_lens.questions.unseen import looked_at
from culture_lens.selectors import select
from culture_lens.storage.runs import Run, content_key, versions
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions

LETTERS = {"scoring": "letter_options", "progress": False, "batch_size": 4}


class Calls:
    """Counts forwards; may interrupt at one of them."""

    def __init__(self, monkeypatch):
        self.n, self.stop = 0, None
        for name in ("logits", "tree_logits"):
            monkeypatch.setattr(LensModel, name, self.counted(getattr(LensModel, name)))

    def counted(self, forward):
        def run(model, batch, *args):
            if self.n == self.stop:
                raise KeyboardInterrupt
            self.n += 1
            return forward(model, batch, *args)

        return run

    def during(self, work):
        before = self.n
        result = work()
        return self.n - before, result


@pytest.fixture
def calls(monkeypatch):
    return Calls(monkeypatch)


@pytest.fixture(scope="module")
def model():
    return lens("llama", torch.float64)


def records(frame):
    return frame.assign(scores=frame["scores"].map(list))


# ------------------------------------------------------------------ the folder


def test_open(tmp_path):
    run = Run.open(tmp_path / "a" / "b")
    assert run.path.is_dir() and Run.open(run) is run
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file is a file; a run needs a folder"):
        Run.open(tmp_path / "file")
    with pytest.raises(InputError, match="no run folder .*none: make one"):
        Run.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()


def test_names_and_places(tmp_path):
    run = Run.open(tmp_path)
    for name in ("lape", "conact"):
        path = run.named("neurons", name, ".safetensors")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    assert run.names("neurons", ".safetensors") == ["conact", "lape"]
    assert run.names("matrix", ".parquet") == []
    assert run.piece("records", "k", ".parquet") == tmp_path / "pieces" / "records-k.parquet"


def test_log(tmp_path):
    run = Run.open(tmp_path)
    assert run.steps() == [] and run.option("share") is None
    run.log("find", {"share": 0.01, "k": None, "path": tmp_path})
    run.log("ablate", {"seeds": 5})
    run.log("find", {"share": 0.02})
    first = run.steps()[0]
    assert [step["command"] for step in run.steps()] == ["find", "ablate", "find"]
    assert first["options"] == {"share": 0.01, "path": str(tmp_path)}
    assert first["versions"] == versions() and first["date"].endswith("+00:00")
    assert run.option("share") == 0.02 and run.option("seeds") == 5


def test_a_damaged_log(tmp_path):
    run = Run.open(tmp_path)
    run.log("find", {})
    (tmp_path / "run.json").write_text('{"steps": [')
    with pytest.raises(InputError, match="run.json is not valid JSON"):
        run.steps()


def test_keys_depend_on_every_part():
    keys = {content_key(*parts) for parts in ((1,), (2,), (1, 2), ("1",), ({"a": 1},), ({"a": 2},))}
    assert len(keys) == 6
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})


# ------------------------------------------------------------------ interrupts


@pytest.mark.slow
def test_an_interrupted_recording_goes_on(tmp_path, calls, model, monkeypatch):
    monkeypatch.setattr("culture_lens.storage.finished.SHARD", 4)
    options = {"batch_size": 2, "progress": False}
    whole, expected = calls.during(
        lambda: summarise(model, toy_questions(), run=tmp_path / "a", **options)
    )
    assert whole == 8
    calls.stop = calls.n + 5  # two shards are done, and half of the third
    with pytest.raises(KeyboardInterrupt):
        summarise(model, toy_questions(), run=tmp_path / "b", **options)
    calls.stop = None
    rest, found = calls.during(
        lambda: summarise(model, toy_questions(), run=tmp_path / "b", **options)
    )
    assert rest == 4
    for kind in ("counts", "sums", "squares"):
        assert torch.equal(getattr(found, kind)["act"], getattr(expected, kind)["act"])
    assert found.metadata == expected.metadata
    again, _ = calls.during(
        lambda: summarise(model, toy_questions(), run=tmp_path / "b", **options)
    )
    assert again == 0
    assert not [p for p in tmp_path.rglob("*") if p.suffix == ".part"]


@pytest.mark.slow
def test_an_interrupted_matrix_goes_on(tmp_path, calls, model):
    found = select(summarise(model, toy_questions(), progress=False), "conact", share=0.1)
    found = replace(found, metadata={**found.metadata, **looked_at([])})

    def matrix(folder):
        return ablation_matrix(
            model, found, toy_questions(), random_seeds=1, run=tmp_path / folder, **LETTERS
        )

    whole, expected = calls.during(lambda: matrix("a"))
    assert whole == 9 * 4  # none, four cultures, four random masks; four batches each
    calls.stop = calls.n + 14  # three masks and a half
    with pytest.raises(KeyboardInterrupt):
        matrix("b")
    assert len(list((tmp_path / "b").glob("pieces/records-*.parquet"))) == 3
    calls.stop = None
    rest, resumed = calls.during(lambda: matrix("b"))
    assert rest == whole - 12
    pd.testing.assert_frame_equal(records(resumed.frame), records(expected.frame))
    assert resumed.summary().map(str).equals(expected.summary().map(str))
    assert calls.during(lambda: matrix("b"))[0] == 0
    assert not any(point.fwd_hooks for point in model.bridge.hook_dict.values())


def test_results_with_and_without_a_folder_are_the_same(tmp_path, model):
    plain = evaluate(model, toy_questions(), **LETTERS)
    for _ in range(2):  # written, then read
        kept = evaluate(model, toy_questions(), run=tmp_path, **LETTERS)
        pd.testing.assert_frame_equal(records(kept.frame), records(plain.frame))
        assert kept.accuracy() == plain.accuracy() and kept.chance() == plain.chance()


# ------------------------------------------------------------------ nothing stale


NEURONS = Neurons.of({"act": [(0, 3), (1, 4)]})
MEANS = [Neurons(NEURONS.places, {}, {"act": torch.tensor([1.0, x])}) for x in (2.0, 3.0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"neurons": NEURONS}),
        ({"neurons": NEURONS}, {"neurons": Neurons.of({"act": [(0, 3), (1, 5)]})}),
        ({"neurons": NEURONS}, {"neurons": Neurons.of({"q": [(0, 3), (1, 4)]})}),
        ({"neurons": NEURONS}, {"neurons": NEURONS, "value": 1.0}),
        ({"neurons": MEANS[0], "value": "mean"}, {"neurons": MEANS[1], "value": "mean"}),
        ({}, {"scoring": "letter"}),
        ({}, {"questions": toy_questions()[:15]}),
        ({}, {"questions": with_format(toy_questions(), PromptFormat(instruction="Choose."))}),
        ({}, {"questions": with_format(toy_questions(), PromptFormat(label_form="space"))}),
        ({}, {"questions": [replace(q, answer=(q.answer + 1) % 4) for q in toy_questions()]}),
        ({}, {"questions": [replace(q, culture=f"en/{q.culture}") for q in toy_questions()]}),
        ({}, {"questions": [replace(q, group=q.id) for q in toy_questions()]}),
        ({}, {"questions": [replace(q, category="other") for q in toy_questions()]}),
        ({}, {"model": "other"}),
    ],
)
def test_changed_settings_are_never_answered_from_old_records(tmp_path, model, first, second):
    def answers(folder, options):
        options = {"model": model, "questions": toy_questions(), **LETTERS, **options}
        if options["model"] == "other":
            options["model"] = lens("qwen2", torch.float64)
        return records(evaluate(run=folder, **options).frame)

    answers(tmp_path / "used", first)
    fresh = answers(tmp_path / "fresh", second)
    pd.testing.assert_frame_equal(answers(tmp_path / "used", second), fresh)
    old = answers(tmp_path / "used", first)
    assert len(old) != len(fresh) or not old.equals(fresh)


@pytest.mark.parametrize(
    "change",
    [
        {"sites": ("act", "q")},
        {"roles": (Role.QUESTION,)},
        {"magnitudes": False},
        {"style": "cloze"},
        {"questions": [replace(q, culture="en " + q.culture) for q in toy_questions()]},
    ],
)
def test_changed_settings_are_never_summarised_from_old_shards(tmp_path, model, change):
    def summary(folder, options):
        return summarise(
            model, **{"questions": toy_questions(), "progress": False, **options}, run=folder
        )

    summary(tmp_path / "used", {})
    found, fresh = summary(tmp_path / "used", change), summary(tmp_path / "fresh", change)
    assert found.cultures == fresh.cultures and found.sites == fresh.sites
    assert torch.equal(found.counts["act"], fresh.counts["act"])
    assert torch.equal(found.tokens, fresh.tokens) and found.sums.keys() == fresh.sums.keys()


@pytest.mark.slow
def test_a_damaged_piece_is_made_again_and_said(tmp_path, calls, model):
    def both():
        summary = summarise(model, toy_questions(), progress=False, run=tmp_path)
        return summary, records(evaluate(model, toy_questions(), run=tmp_path, **LETTERS).frame)

    forwards, (summary, answered) = calls.during(both)
    for piece in [one for one in (tmp_path / "pieces").rglob("*.*") if one.is_file()]:
        piece.write_bytes(piece.read_bytes()[:-30])
    with (
        pytest.warns(CultureLensWarning, match="statistics-.* is damaged.*made again"),
        pytest.warns(CultureLensWarning, match="records-.* damaged.*made again"),
    ):
        repeated, (again, answered_again) = calls.during(both)
    assert repeated == forwards and torch.equal(again.counts["act"], summary.counts["act"])
    pd.testing.assert_frame_equal(answered_again, answered)
    assert calls.during(both)[0] == 0


@pytest.mark.slow
def test_a_swapped_or_foreign_piece_is_made_again(tmp_path, calls, model):
    """Whole files, with hashes that are right, in the place of others."""
    asked = toy_questions()

    def both():
        first = evaluate(model, asked[:8], run=tmp_path, **LETTERS).frame
        return records(first), records(evaluate(model, asked[8:], run=tmp_path, **LETTERS).frame)

    forwards, (first, second) = calls.during(both)
    one, other = (tmp_path / "pieces").iterdir()
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)
    with pytest.warns(CultureLensWarning, match="was saved under 'records-"):
        again, (found, found_second) = calls.during(both)
    assert again == forwards
    pd.testing.assert_frame_equal(found, first)
    pd.testing.assert_frame_equal(found_second, second)

    summary = summarise(model, asked, progress=False, run=tmp_path)
    summarise(model, asked[:12], progress=False, run=tmp_path)
    pieces = sorted((tmp_path / "pieces").glob("statistics-*/*"))
    pieces[0].write_bytes(pieces[1].read_bytes())
    with pytest.warns(CultureLensWarning, match="was saved as 'statistics-"):
        for some in (asked, asked[:12]):
            found = summarise(model, some, progress=False, run=tmp_path)
            assert int(found.items.sum()) == len(some)
    assert torch.equal(
        summarise(model, asked, progress=False, run=tmp_path).counts["act"], summary.counts["act"]
    )
