"""Finished work is loaded, and without a place nothing is written."""

import json

import pandas as pd
import pytest

from culture_lens.storage.finished import finished, finished_frame


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
