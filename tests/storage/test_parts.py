"""What stops a write is one error, before work begins where it can; half-written files go."""

import errno
import os
import stat
import subprocess
import sys
import time
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.storage.files import load_json, save_json, save_tensors, write_whole
from culture_lens.storage.finished import finished, finished_frame, write_frame
from culture_lens.storage.parts import HOST, clear_parts, new_part
from culture_lens.storage.runs import Run
from culture_lens.storage.status import run_status
from tests.helpers.damage import answers, make_matrix
from tests.helpers.processes import run_python


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_remains_of_a_dead_process_are_cleared(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".a.parquet.{HOST}-{dead.pid}-x1y2.part"
    living = new_part(tmp_path / "b.parquet")  # this process is still writing it
    elsewhere = tmp_path / ".c.parquet.0123abcd-1-x1y2.part"
    old = tmp_path / ".d.json.x1y2z3.part"  # of version 0.1.0
    foreign = tmp_path / "download.part"
    for path in (left, elsewhere, old, foreign):
        path.write_text("half")
    long_ago = time.time() - 2 * 24 * 60 * 60
    os.utime(old, (long_ago, long_ago))
    os.utime(foreign, (long_ago, long_ago))
    clear_parts(tmp_path)
    assert names(tmp_path) == sorted([living.name, elsewhere.name, foreign.name])


@pytest.mark.slow
def test_a_killed_write_leaves_nothing_behind_once_the_run_is_opened(tmp_path):
    code = (
        "import os, signal; from culture_lens.storage.files import write_whole\n"
        f"write_whole({str(tmp_path / 'pieces' / 'x.json')!r},"
        " lambda part: os.kill(os.getpid(), signal.SIGKILL))"
    )
    with pytest.raises(AssertionError):
        run_python(code)
    assert names(tmp_path / "pieces")[0].endswith(".part")
    Run.open(tmp_path)
    assert names(tmp_path / "pieces") == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left.*free some space"),
        (errno.EROFS, "Read-only.*give a folder that you may write to"),
        (errno.EACCES, "Permission denied.*give a folder"),
    ],
)
def test_what_the_system_refuses_is_one_error(tmp_path, number, words):
    def refuse(part):
        raise OSError(number, "raw")

    with pytest.raises(InputError, match=f"x.json cannot be written .{words}"):
        write_whole(tmp_path / "x.json", refuse)
    assert names(tmp_path) == []


LIMITED = """
import resource, signal, torch
from pathlib import Path
from culture_lens.storage.files import save_json, save_tensors
from culture_lens.storage.finished import write_frame
from tests.helpers.damage import answers
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
for write in (
    lambda: save_json({0!r} + "/x.json", list(range(5000))),
    lambda: save_tensors({0!r} + "/x.safetensors", "thing", {{"a": torch.ones(5000)}}, {{}}),
    lambda: write_frame(Path({0!r} + "/x.parquet"), answers()),
):
    try:
        write()
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_one_error_of_every_writer(tmp_path):
    """A limit on the size of files stops each library's own writing, as a full disk does."""
    pytest.importorskip("resource")
    told = run_python(LIMITED.format(str(tmp_path))).splitlines()
    assert len(told) == 3 and names(tmp_path) == []
    for line, name in zip(told, ("x.json", "x.safetensors", "x.parquet"), strict=True):
        assert (
            line.startswith("InputError") and f"{name} cannot be written (File too large)" in line
        )


def test_a_file_is_on_the_disk_before_its_name_and_the_name_before_it_goes_on(
    tmp_path, monkeypatch
):
    seen, rename = [], Path.replace

    def fsync(handle):
        seen.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")

    def replace(part, target):
        seen.append("name")
        return rename(part, target)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    save_json(tmp_path / "x.json", 1)
    assert seen == (["content", "name", "folder"] if os.name == "posix" else ["content", "name"])


@pytest.mark.parametrize(
    ("number", "refused"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.EINVAL, False)]
)
def test_a_disk_that_did_not_take_the_content(tmp_path, monkeypatch, number, refused):
    """A file system without the call (EINVAL) is no error; the former file stays whole."""
    save_json(tmp_path / "x.json", "former")

    def fsync(_):
        raise OSError(number, "raw")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(InputError, match="x.json cannot be written") if refused else nullcontext():
        save_json(tmp_path / "x.json", "new")
    assert load_json(tmp_path / "x.json") == ("former" if refused else "new")
    assert names(tmp_path) == ["x.json"]


def test_locks_that_nobody_holds_are_cleared_and_others_stay(tmp_path):
    from filelock import FileLock

    shards = tmp_path / "pieces" / "answers-k"
    shards.mkdir(parents=True)
    held = FileLock(shards / ".1.parquet.lock")
    with held:
        for left in (shards / ".0.parquet.lock", tmp_path / "pieces" / ".records-1.lock"):
            left.write_text("")
        (tmp_path / ".run.json.lock").write_text("left behind")
        run = Run.open(tmp_path)
        assert names(shards) == [".1.parquet.lock"] and names(shards.parent) == ["answers-k"]
    run.log("find", {})  # what is left behind stops nobody
    assert len(run.steps()) == 1


@pytest.mark.parametrize("year", [1990, 2090])
def test_a_clock_that_jumps_does_not_change_how_long_a_step_took(tmp_path, monkeypatch, year):
    run = Run.open(tmp_path)
    run.log("find", {})
    date = run.steps()[0]["date"]

    class Jumped(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(year, 1, 1, tzinfo=tz)

    monkeypatch.setattr("culture_lens.storage.runs.datetime", Jumped)
    monkeypatch.setattr("time.time", lambda: Jumped.now(timezone.utc).timestamp())
    run.finish("find")
    run.log("ablate", {})
    first, second = run.steps()
    assert 0 <= first["seconds"] < 60 and second["date"] >= date and second["date"] < "2080"


def test_a_file_in_the_way_of_a_folder_and_a_folder_in_the_way_of_a_file(tmp_path):
    (tmp_path / "matrix").write_text("")
    with pytest.raises(InputError, match="matrix cannot be written .*in the way"):
        make_matrix(items=2).to_parquet(tmp_path / "matrix" / "conact.parquet")
    with pytest.raises(InputError, match="run cannot be written .*in the way"):
        Run.open(tmp_path / "matrix" / "run")
    (tmp_path / "x.json").mkdir()
    with pytest.raises(InputError, match="x.json cannot be written .*move the folder"):
        save_json(tmp_path / "x.json", 1)


def test_the_place_is_tried_before_the_work(tmp_path):
    (tmp_path / "pieces").write_text("")

    def work():
        raise AssertionError("nothing may be made that cannot be kept")

    with pytest.raises(InputError, match="in the way"):
        finished(tmp_path / "pieces" / "x.json", work, load=answers, save=answers)


def test_what_is_finished_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    place = write_frame(tmp_path / "records-1.parquet", answers())
    monkeypatch.setattr("os.access", lambda *_: False)
    assert len(finished_frame(place, lambda: answers(2))) == len(answers())
    with pytest.raises(InputError, match="give a folder that you may write to"):
        finished_frame(place.with_name("records-2.parquet"), answers)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="give a folder that you may write to"):
        save_tensors(tmp_path / "x.safetensors", "thing", {"a": torch.ones(1)}, {})


SHARE = """
import sys
import pandas as pd
from culture_lens.storage.finished import read_frame, write_frame
from culture_lens.storage.runs import Run
from culture_lens.storage.work import begin_work, shard_facts, shard_place
for step in range(5):
    run = Run.open(sys.argv[1])
    run.log("find", {"step": step})
    begin_work(run, "answers", "k", shards=5, items=5, inputs={})
    place = shard_place(run, "answers", "k", step, ".parquet")
    write_frame(place, pd.DataFrame({"step": [step] * 9}), shard_facts(0.1, 1))
    assert read_frame(place)["step"].tolist() == [step] * 9
"""


@pytest.mark.slow
def test_processes_that_do_the_same_work_at_once_lose_and_harm_nothing(tmp_path):
    command = [sys.executable, "-c", SHARE, str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in running] == [0] * 3
    assert len(Run(tmp_path).steps()) == 15
    status = run_status(tmp_path, check=True)
    assert status.work[0].shards_done == 5 and status.damaged == {}
    assert not list(tmp_path.rglob("*.part"))


def test_a_lock_that_is_held_is_named(tmp_path, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("culture_lens.storage.runs.PATIENCE", 0.01)
    with (
        FileLock(tmp_path / ".run.json.lock"),
        pytest.raises(InputError, match=r"another process has held .*\.run\.json\.lock"),
    ):
        Run(tmp_path).log("find", {})
