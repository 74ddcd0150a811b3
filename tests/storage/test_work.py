"""The record of long work: written once, checked, and what has changed since is said once."""

import json
import warnings

import pandas as pd
import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.storage import work as module
from culture_lens.storage.finished import read_frame, write_frame
from culture_lens.storage.runs import Run
from culture_lens.storage.work import (
    begin_work,
    item_hashes,
    shard_facts,
    shard_place,
    shards_done,
    work_place,
    works,
)

INPUTS = {
    "model": "m",
    "weights": "ab12" * 16,
    "options": {"scoring": "letter", "value": "zero"},
    "versions": {"torch": "2.4"},
    "data": item_hashes({f"q{n}": n for n in range(240)}),
}


@pytest.fixture
def run(tmp_path):
    return Run.open(tmp_path / "run")


@pytest.fixture
def later(monkeypatch):
    """Goes on as another process."""

    def go_on():
        monkeypatch.setattr(module, "MET", module.Met())

    return go_on


def begin(run, key="k1", label="answers", shards=4, **changed):
    return begin_work(run, label, key, shards=shards, items=240, inputs={**INPUTS, **changed})


def said(act):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    return [str(one.message) for one in caught]


def test_the_record_is_written_before_the_first_shard_and_kept(run, later):
    first = begin(run)
    assert (first.shards, first.items, first.inputs) == (4, 240, INPUTS)
    later()
    assert said(lambda: begin(run)) == []
    assert list(works(run).values()) == [first] and begin(run) == first
    assert json.loads((run.path / "work" / "answers-k1.json").read_text())["label"] == "answers"


def test_shards_have_their_place_and_their_key(run):
    begin(run)
    assert shards_done(run, "answers", "k1") == []
    frame = pd.DataFrame({"id": ["a"]})
    for index in (10, 2):
        write_frame(
            shard_place(run, "answers", "k1", index, ".parquet"), frame, shard_facts(0.5, 60)
        )
    assert shards_done(run, "answers", "k1") == [2, 10]
    two, ten = (shard_place(run, "answers", "k1", index, ".parquet") for index in (2, 10))
    ten.write_bytes(two.read_bytes())
    with pytest.raises(InputError, match="saved under 'answers-k1/2.parquet'"):
        read_frame(ten)
    assert read_frame(two).equals(frame)
    inside = shard_place(run, "../..", "k", 0, ".parquet")
    assert run.path.resolve() in inside.resolve().parents


def test_a_changed_rerun_is_one_warning_that_names_what_old_and_new(run, later):
    begin(run)
    later()
    data = {name: held for name, held in INPUTS["data"].items() if name != "q0"}
    data |= {"q7": "0", "q8": "0", "q9": "0", "new": "1", "newer": "1"}
    changed = {
        "weights": "cd34" * 16,
        "data": data,
        "options": {"scoring": "letter", "value": "mean"},
        "revision": "v2",
    }
    (told,) = said(lambda: begin(run, "k2", **changed))
    for part in (
        "weights: ab12ab12 -> cd34cd34",
        "3 of 239 questions changed (q7, q8, q9)",
        "2 questions added",
        "1 question left out",
        "value: zero -> mean",
        "revision: none -> v2",
    ):
        assert part in told
    assert "model" not in told and "scoring" not in told and "torch" not in told
    assert said(lambda: begin(run, "k2", **changed)) == []  # now it goes on


def test_of_several_records_the_most_alike_is_compared(run, later):
    begin(run, "k1", options={"scoring": "letter", "value": "mean"}, weights="00" * 32)
    begin(run, "k2")
    later()
    (told,) = said(lambda: begin(run, "k3", weights="cd34" * 16))
    assert "weights: ab12ab12 -> cd34cd34." in told and "value" not in told


def test_other_work_is_no_rerun(run, later):
    """What one process asks itself, other questions, another kind of work, another mask."""
    begin(run)
    assert said(lambda: begin(run, "k2", options={})) == []
    later()
    assert said(lambda: begin(run, "k3", data=item_hashes({"other": 1}))) == []
    assert said(lambda: begin(run, "k4", label="statistics", options={})) == []
    assert said(lambda: begin(run, "k5")) == []


def test_a_command_that_goes_on_after_an_interruption_is_not_told_of_its_own_work(run, later):
    """Its works differ from each other, as an attribution and that of its control twins do."""
    begin(run, "k1", options={"control": False})
    later()
    assert said(lambda: begin(run, "k1", options={"control": False})) == []
    assert said(lambda: begin(run, "k2", options={"control": True})) == []


def test_changed_weights_are_said_once_for_all_works_of_a_command(run, later):
    for control in (False, True):
        begin(run, f"old {control}", options={"control": control})
    later()
    told = [
        said(lambda c=c: begin(run, f"new {c}", options={"control": c}, weights="cd34" * 16))
        for c in (False, True)
    ]
    assert len(told[0]) == 1 and told[1] == []
    replaced = [work.replaces for work in works(run).values()]
    assert replaced == ["", "", "answers-old False", "answers-old True"]


def test_values_that_json_writes_otherwise_are_no_change(run, later):
    begin(run, options={"sites": ("act", "q"), 3: Run})
    later()
    assert said(lambda: begin(run, "k2", options={"sites": ("act", "q"), 3: Run})) == []


def test_another_command_is_other_work(run, later, monkeypatch):
    begin(run)
    later()
    monkeypatch.setattr("sys.argv", ["/bin/culture-lens", "fidelity"])
    assert said(lambda: begin(run, "k2", options={"scoring": "letter"})) == []


def test_work_that_goes_on_with_other_versions_says_so(run, later):
    begin(run)
    later()
    (told,) = said(lambda: begin(run, versions={"torch": "2.5"}))
    assert "goes on with other versions: torch: 2.4 -> 2.5." in told


def test_a_key_that_does_not_hash_the_cut_is_refused(run):
    begin(run)
    with pytest.raises(InputError, match="cut into 4 shards .*not 5 of 240: its key must hash"):
        begin(run, shards=5)


@pytest.mark.parametrize("damage", ["", "{", '{"label": 1}', '{"pieces": 3, "hash": "x"}'])
def test_a_damaged_record_is_said_and_written_again(run, later, damage):
    begin(run)
    later()
    place = work_place(run, "answers", "k1")
    whole = json.loads(place.read_text())
    place.write_text(damage)
    with pytest.warns(CultureLensWarning, match="answers-k1.json"):
        assert works(run) == {}
    told = said(lambda: begin(run))
    assert "answers-k1.json" in told[-1] and "written again" in told[-1]
    assert len(told) == (2 if "label" in damage else 1)  # it also has no hash
    assert json.loads(place.read_text())["inputs"] == whole["inputs"]


def test_a_record_under_another_name_is_said(run, later):
    begin(run)
    later()
    place = work_place(run, "answers", "k1")
    place.rename(place.with_name("answers-k2.json"))
    with pytest.warns(CultureLensWarning, match="was saved for answers-k1"):
        assert works(run) == {}
