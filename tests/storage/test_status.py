"""How far a run is: counted from the shards that are there, and timed by their own seconds."""

import os
import shutil
import warnings

import pandas as pd
import pytest
import torch

import culture_lens as cl
from culture_lens.storage import work as module
from culture_lens.storage.files import save_tensors
from culture_lens.storage.finished import keyed, write_frame
from culture_lens.storage.parts import HOST
from culture_lens.storage.runs import Run
from culture_lens.storage.status import lines, run_status
from culture_lens.storage.work import begin_work, shard_facts, shard_place

FRAME = pd.DataFrame({"id": ["a", "b"], "p": [0.25, 0.5]})


def made(folder):
    """Two steps; 3 of 5 shards of answers that took 2, 4 and 6 s; all statistics; a named piece."""
    run = Run.open(folder / "run")
    run.log("find", {"share": 0.1})
    run.finish("find", "cpu")
    run.log("ablate", {})
    begin_work(run, "answers", "k", shards=5, items=500, inputs={"weights": "a"})
    for index, seconds in ((0, 2.0), (1, 4.0), (4, 6.0)):
        place = shard_place(run, "answers", "k", index, ".parquet")
        write_frame(place, FRAME, shard_facts(seconds, 100))
    begin_work(run, "statistics", "k", shards=1, items=50, inputs={})
    place = shard_place(run, "statistics", "k", 0, ".safetensors")
    facts = keyed(place, shard_facts(5.0, 50))
    save_tensors(place, "thing", {"a": torch.ones(40)}, facts)
    names = ["records-1.parquet", "records-2.parquet"]
    begin_work(run, "trainings", "k", shards=2, items=2, inputs={}, pieces=names)
    write_frame(run.path / "pieces" / names[1], FRAME)  # of an earlier version, without facts
    return run


@pytest.fixture
def run(tmp_path):
    return made(tmp_path)


def test_counts_pace_and_time_by_hand(run):
    status = run_status(run.path)
    answers, statistics, trainings = status.work
    assert (answers.shards_done, answers.items_done, answers.seconds) == (3, 300, 12.0)
    # 12 s for 300 items: 200 more take 8 s in one process, 4 in two.
    assert answers.seconds_left == pytest.approx(8.0) and answers.workers == 1
    assert run_status(run, workers=2).work[0].seconds_left == pytest.approx(4.0)
    assert statistics.finished and statistics.seconds_left == 0
    assert (trainings.shards_done, trainings.shards, trainings.seconds_left) == (1, 2, None)
    assert status.going == (answers, trainings) and status.seconds_left is None
    table = status.to_pandas()
    assert table["shards_done"].tolist() == [3, 1, 1] and table["items"].tolist() == [500, 50, 2]
    assert table["seconds_per_item"].tolist()[:2] == [0.04, 0.1]


def test_steps_and_disk(run):
    status = run_status(run)
    (find, _, took), (ablate, date, open_end) = status.steps
    assert (find, ablate, open_end) == ("find", "ablate", None) and took >= 0 and date
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert status.disk == sum(len(path.read_bytes()) for path in files)


def test_workers_that_are_dead_are_not_counted(run):
    place = shard_place(run, "answers", "k", 2, ".parquet")
    for worker, seen in ((f"{HOST}-999999999", 1), ("0123abcd-1", 2)):
        write_frame(place, FRAME, {**shard_facts(4.0, 100), "worker": worker})
        assert run_status(run).work[0].workers == seen
    assert f"{HOST}-{os.getpid()}" == shard_facts(1.0, 1)["worker"]


def test_a_clock_that_jumps_changes_nothing(run, monkeypatch):
    plain = run_status(run)
    for days in (-400, 400):
        jumped = 1_700_000_000 + days * 86_400
        monkeypatch.setattr("time.time", lambda jumped=jumped: float(jumped))
        for path in run.path.rglob("*"):
            os.utime(path, (jumped, jumped))
        found = run_status(run)
        assert found.work == plain.work and found.steps == plain.steps
    run.finish("ablate", "cpu")
    assert run.steps()[-1]["seconds"] >= 0


def test_in_words_and_without_work(run, tmp_path):
    told = "\n".join(lines(run_status(run, check=True)))
    assert "find (" in told and "ablate (not finished)" in told and "no file is damaged" in told
    assert "answers-k: not finished, 3 of 5 shards, 300 of 500 items" in told
    assert "0.04 s an item; left: 8 s with 1 at work" in told
    assert "left of what was begun: not known" in repr(run_status(run))
    empty = Run.open(tmp_path / "empty")
    assert run_status(empty).to_pandas().empty and "0 of 0" in repr(run_status(empty))
    assert run_status(empty)._repr_html_()


def test_work_that_was_begun_again_with_other_inputs_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr(module, "MET", module.Met())
    with pytest.warns(cl.CultureLensWarning, match="weights: a -> b"):
        begin_work(run, "answers", "k2", shards=5, items=500, inputs={"weights": "b"})
    states = {one.name: one.state for one in run_status(run).work}
    assert states["answers-k"] == "replaced by work with other inputs"
    assert states["answers-k2"] == "not finished"


# ------------------------------------------------------------------ damage


def flipped(content):
    """A bit in the middle of the content."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGE = {"cut": lambda held: held[:-20], "flipped": flipped, "empty": lambda _: b""}


def pieces_of(run):
    return sorted(path for path in run.path.rglob("*.*") if path.parent.parent != run.path.parent)


@pytest.mark.parametrize("how", DAMAGE)
def test_every_damaged_file_is_listed_and_no_other(run, how):
    whole = [p for p in pieces_of(run) if p.suffix in (".parquet", ".safetensors")]
    assert len(whole) == 5 and run_status(run, check=True).damaged == {}
    for path in whole:
        held = path.read_bytes()
        path.write_bytes(DAMAGE[how](held))
        assert list(run_status(run, check=True).damaged) == [str(path)]
        path.write_bytes(held)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_record_of_work_is_listed_and_a_damaged_log_refused(run, how):
    record = run.path / "work" / "answers-k.json"
    held = record.read_bytes()
    record.write_bytes(DAMAGE[how](held))
    with pytest.warns(cl.CultureLensWarning, match="answers-k.json"):
        status = run_status(run, check=True)
    assert list(status.damaged) == [str(record)] and len(status.work) == 2
    record.write_bytes(held)
    log = run.path / "run.json"
    log.write_bytes(DAMAGE[how](log.read_bytes()))
    with pytest.raises(cl.InputError, match=r"run.json.*no results: move it away"):
        run_status(run)


def test_a_shard_in_the_place_of_another_is_damaged(run):
    shards = [shard_place(run, "answers", "k", index, ".parquet") for index in (0, 1)]
    shutil.copy(*shards)
    ((path, why),) = run_status(run, check=True).damaged.items()
    assert path == str(shards[1]) and "saved under 'answers-k/0.parquet'" in why


def test_files_of_other_programs_are_passed_over(run):
    from safetensors.torch import save_file

    adapter = run.path / "tuned"
    adapter.mkdir()
    save_file({"a": torch.ones(3)}, adapter / "adapter_model.safetensors")
    (adapter / "config.json").write_text('{"r": 8}')
    FRAME.to_parquet(adapter / "mine.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run_status(run, check=True).damaged == {}


def test_items_of_each_culture_are_added(run):
    begin_work(run, "attribution", "k", shards=2, items=10, inputs={})
    place = shard_place(run, "attribution", "k", 0, ".safetensors")
    facts = {**shard_facts(2.0, 5), "items": {"Japan": 2, "Peru": 3}}
    scores = {"act": torch.zeros(2, 1, 1, dtype=torch.float64)}
    cl.NeuronScores(("Japan", "Peru"), scores, metadata=keyed(place, facts)).save(place)
    assert run_status(run, check=True).damaged == {}
    (found,) = (one for one in run_status(run).work if one.name == "attribution-k")
    assert (found.items_done, found.seconds_left) == (5, 2.0)
