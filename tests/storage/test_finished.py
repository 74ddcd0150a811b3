"""Finished work is loaded, interrupted work is resumed, and without a place nothing is written."""

import json

import pandas as pd
import pytest

from culture_lens.storage import finished as module
from culture_lens.storage.finished import finished, finished_frame, shards


def load(place):
    return json.loads(place.read_text())


def save(place, work):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(work))


class Make:
    """Makes a value, and counts how often."""

    def __init__(self, value):
        self.value, self.times = value, 0

    def __call__(self):
        self.times += 1
        return self.value


def test_work_is_made_once_and_loaded_after_that(tmp_path):
    make, place = Make([1, 2]), tmp_path / "pieces" / "work.json"
    assert finished(place, make, load=load, save=save) == [1, 2]
    place.write_text("[3]")  # what is loaded is the file
    assert finished(place, make, load=load, save=save) == [3]
    assert make.times == 1


def test_without_a_place_work_is_made_every_time_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make = Make(5)

    def refuse(*_):
        raise AssertionError("nothing may be loaded or saved")

    for _ in range(2):
        assert finished(None, make, load=refuse, save=refuse) == 5
    assert make.times == 2 and list(tmp_path.iterdir()) == []


def test_work_that_fails_leaves_nothing(tmp_path):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finished(tmp_path / "work.json", fail, load=load, save=save)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_comes_back_the_same_and_is_written_whole(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "p": [0.1, 1 / 3]})
    make, place = Make(frame), tmp_path / "pieces" / "records.parquet"
    pd.testing.assert_frame_equal(finished_frame(place, make), frame)
    pd.testing.assert_frame_equal(finished_frame(place, make), frame)
    assert make.times == 1 and [file.name for file in place.parent.iterdir()] == [place.name]


class Sum:
    """Sums items shard by shard, as an accumulator does; may be interrupted in a shard."""

    def __init__(self, items, place, size=3):
        self.items, self.place, self.size = items, place, size
        self.total, self.seen = 0, []

    def resume(self, place):
        self.total, done = load(place)
        return done

    def run(self, stop=None):
        for shard in shards(
            self.place,
            len(self.items),
            resume=self.resume,
            save=lambda place, done: save(place, [self.total, done]),
            size=self.size,
        ):
            if shard.start == stop:
                raise KeyboardInterrupt
            self.seen.append((shard.start, shard.stop))
            self.total += sum(self.items[shard])
        return self.total


ITEMS = list(range(1, 9))


def test_shards_cover_every_item_once(tmp_path):
    work = Sum(ITEMS, tmp_path / "sum.json")
    assert work.run() == sum(ITEMS) and work.seen == [(0, 3), (3, 6), (6, 8)]
    assert load(work.place) == [sum(ITEMS), len(ITEMS)]


@pytest.mark.parametrize("stop", [0, 3, 6])
def test_interrupted_work_goes_on_after_its_last_snapshot(tmp_path, stop):
    place = tmp_path / "sum.json"
    with pytest.raises(KeyboardInterrupt):
        Sum(ITEMS, place).run(stop=stop)
    assert place.exists() == (stop > 0)
    again = Sum(ITEMS, place)
    assert again.run() == sum(ITEMS)
    assert again.seen[0][0] == stop


def test_an_interrupted_shard_is_done_again_whole(tmp_path):
    """What was added before the interruption in the middle of a shard is in no snapshot."""
    place = tmp_path / "sum.json"
    work = Sum(ITEMS, place)
    generator = shards(
        place,
        len(ITEMS),
        resume=work.resume,
        save=lambda place, done: save(place, [work.total, done]),
        size=3,
    )
    work.total += sum(ITEMS[next(generator)])
    work.total += sum(ITEMS[next(generator)])
    generator.close()  # in the second shard
    assert load(place) == [sum(ITEMS[:3]), 3]
    assert Sum(ITEMS, place).run() == sum(ITEMS)


def test_finished_shards_are_not_run_again(tmp_path):
    Sum(ITEMS, tmp_path / "sum.json").run()
    again = Sum(ITEMS, tmp_path / "sum.json")
    assert again.run() == sum(ITEMS) and again.seen == []


def test_without_a_place_all_items_are_one_shard(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    work = Sum(ITEMS, None)
    assert work.run() == sum(ITEMS) and work.seen == [(0, 8)]
    assert list(tmp_path.iterdir()) == []
    assert Sum([], None).run() == 0


def test_the_default_size_of_a_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD", 5)
    work = Sum(ITEMS, tmp_path / "sum.json", size=None)
    work.run()
    assert work.seen == [(0, 5), (5, 8)]
