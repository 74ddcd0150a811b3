"""Shards in this process: their order, what is kept, and several processes on one folder."""

import threading
import warnings
from dataclasses import replace

import pytest
from filelock import FileLock

from culture_lens.engine import results as module
from culture_lens.engine.claims import Claims
from culture_lens.engine.results import run_shards
from culture_lens.engine.shards import tapering
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.prompts.running import Running
from tests.helpers.lm import lens
from tests.helpers.passes import Letters, letters, shards_apart, shards_of

QUIET = Running(progress=False)
PARTS = [["ab", "abab"], ["cd", "cdcd"], ["e", "ee"]]
"""The letters from a to e, in shards of two, under two conditions."""


def results(work, shards=None, running=QUIET):
    return [
        list(parts)
        for parts in run_shards(lens("llama"), work, shards or shards_of("abcde"), running)
    ]


def test_parts_come_in_the_order_of_the_shards():
    run = Letters()
    assert results(letters(run=run)) == PARTS
    assert run.made == [0, 1, 2]


def test_what_is_kept_is_not_made_again(tmp_path):
    assert results(letters(tmp_path)) == PARTS
    assert len(list(tmp_path.iterdir())) == 6  # no lock is left behind
    (tmp_path / "1-1.json").unlink()
    run = Letters()
    assert results(letters(tmp_path, run)) == PARTS
    assert run.made == [1]  # the whole shard: what runs together stays together


def test_an_interrupted_pass_goes_on_with_the_shards_that_are_left(tmp_path):
    with pytest.raises(InputError, match="shard 1 is refused"):
        results(letters(tmp_path, Letters(refuses=1)))
    run = Letters()
    assert results(letters(tmp_path, run)) == PARTS
    assert run.made == [1, 2]


def test_a_damaged_part_is_made_again_and_said(tmp_path):
    results(letters(tmp_path))
    (tmp_path / "0-1.json").write_text("{")
    run = Letters()
    with pytest.warns(CultureLensWarning, match="0-1.json is damaged.*made again"):
        assert results(letters(tmp_path, run)) == PARTS
    assert run.made == [0]


def test_what_is_kept_is_read_once(tmp_path):
    results(letters(tmp_path))
    (tmp_path / "1-1.json").unlink()
    work, read = letters(tmp_path), []
    assert (
        results(replace(work, load=lambda place: read.append(place) or work.load(place))) == PARTS
    )
    assert sorted(read) == sorted(tmp_path.iterdir())


def test_all_damaged_parts_are_made_again_together_and_each_is_said_once(tmp_path):
    results(letters(tmp_path))
    for name in ("0-1", "2-0"):
        (tmp_path / f"{name}.json").write_text("{")
    run = Letters()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = run_shards(lens("llama"), letters(tmp_path, run), shards_of("abcde"), QUIET)
        assert list(next(found)) == PARTS[0] and run.made == [0, 2]
        assert [list(parts) for parts in found] == PARTS[1:]
    assert ["0-1.json" in str(w.message) for w in caught] == [True, False]
    assert "2-0.json" in str(caught[1].message)


def test_a_shard_that_another_process_has_taken_is_waited_for(tmp_path, monkeypatch):
    """The other process computes shard 0; this one takes the others first, and then waits."""
    monkeypatch.setattr(module, "WAIT", 0.01)
    other, run = FileLock(tmp_path / ".0-0.json.lock", thread_local=False), Letters()
    other.acquire()
    finish = threading.Timer(
        0.3, lambda: (results(letters(tmp_path), shards_of("ab")), other.release())
    )
    # The other process is a thread of this one: its own claims must not see its own lock.
    monkeypatch.setattr(Claims, "_lock", only_this_thread(Claims._lock, threading.get_ident()))
    finish.start()
    assert results(letters(tmp_path, run)) == PARTS
    assert run.made == [1, 2]


def only_this_thread(lock, thread):
    return lambda self, shard: threading.get_ident() != thread or lock(self, shard)


def test_a_process_that_died_holds_nothing_up(tmp_path):
    """What it leaves of a lock is an empty file: the lock itself has ended with the process."""
    (tmp_path / ".0-0.json.lock").touch()
    run = Letters()
    assert results(letters(tmp_path, run)) == PARTS
    assert run.made == [0, 1, 2] and not list(tmp_path.glob(".*"))


def test_two_claims_share_the_shards(tmp_path):
    work, shards = letters(tmp_path), shards_of("abcdef")
    one, other = Claims(work, shards), Claims(work, shards)
    taken = [one.take(), other.take(), one.take()]
    assert sorted(shard.number for shard in taken) == [0, 1, 2]
    assert other.take() is None and one.take() is None and one.left and other.left
    one.close()
    assert {other.take().number, other.take().number} == {0, 2}  # nobody has made them
    assert one.again(taken[0]) == 1 and one.again(taken[0]) == 2


def test_two_claims_begin_with_other_items_and_stay_with_them(tmp_path):
    """Three conditions of two pairs of letters; the last shard goes to whoever is free."""
    work, shards = letters(tmp_path), shards_apart("abcd")
    one, other = Claims(work, shards), Claims(work, shards)
    taken = [one.take(), other.take()]
    for claims in (one, one, other, one):
        before = taken[0].items if claims is one else taken[1].items
        taken.append(claims.take(before))
    assert [shard.number for shard in taken] == [0, 3, 1, 2, 4, 5]
    one.close(), other.close()


@pytest.mark.parametrize("items", [128, 200, 256, 300, 1000])
@pytest.mark.parametrize(("conditions", "workers"), [(3, 2), (9, 2), (9, 4)])
def test_the_cut_leaves_no_worker_idle_for_long(items, conditions, workers):
    """The next shard goes to whoever is free first; every item takes as long."""
    parts = tapering(range(items), most=256, least=64)
    assert [at for part in parts for at in part] == list(range(items))
    busy = [0] * workers
    for part in parts:
        for _ in range(conditions):
            busy[busy.index(min(busy))] += len(part)
    assert items * conditions / max(busy) >= 0.9 * workers


def test_a_folder_that_cannot_be_written_is_said_before_anything_is_made(tmp_path):
    (tmp_path / "file").touch()
    run = Letters()
    with pytest.raises(InputError, match="cannot be written"):
        results(letters(tmp_path / "file", run))
    assert run.made == []
