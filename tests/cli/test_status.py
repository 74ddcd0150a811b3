"""`culture-lens status`: what is done, what is left, what is damaged."""

from culture_lens.storage.finished import write_frame
from culture_lens.storage.runs import Run
from culture_lens.storage.work import begin_work, shard_facts, shard_place
from tests.helpers.cli import run as call
from tests.helpers.damage import answers


def test_status_counts_and_finds_what_is_damaged(tmp_path, capsys):
    run = Run.open(tmp_path / "run")
    run.log("find", {})
    begin_work(run, "answers", "k", shards=4, items=40, inputs={})
    place = shard_place(run, "answers", "k", 0, ".parquet")
    write_frame(place, answers(), shard_facts(20.0, 10))
    code, out, _ = call(capsys, "status", run.path)
    assert code == 0 and "find (not finished)" in out and "damaged" not in out
    assert "answers-k: not finished, 1 of 4 shards, 10 of 40 items" in out
    assert "2 s an item; left: 1.0 min with 1 at work" in out
    assert "left: 20 s with 3 at work" in call(capsys, "status", run.path, "--workers", 3)[1]
    assert "no file is damaged" in call(capsys, "status", run.path, "--check")[1]
    place.write_bytes(place.read_bytes()[:-1])
    code, out, _ = call(capsys, "status", run.path, "--check")
    assert code == 1 and "1 damaged file\n" in out and str(place) in out
