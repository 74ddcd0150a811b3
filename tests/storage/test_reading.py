"""Files that others made: pipes, JSON without end, records of runs that are none."""

import json
import os
import socket

import pytest

from culture_lens.errors import InputError
from culture_lens.storage.files import LARGEST_JSON, load_json
from culture_lens.storage.reading import content_of
from culture_lens.storage.runs import Run

DEEP = "[" * 100_000 + "]" * 100_000
STEP = {"command": "find", "options": {"k": 5}}


@pytest.mark.parametrize(
    "text", [DEEP, "9" * 5000, '{"a": ' + DEEP + "}", "", "\x00", '{"a": 1', '"\\ud800'], ids=len
)
def test_json_that_python_cannot_read_is_one_clear_error(text, tmp_path):
    path = tmp_path / "crafted.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="crafted.json"):
        load_json(path)


def test_json_is_read_up_to_a_size(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(LARGEST_JSON + 1)  # a hole: it takes no room on the disk
    with pytest.raises(InputError, match=r"huge\.json has more than 100,000,000 bytes"):
        load_json(path)


def test_what_is_no_ordinary_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s.json"))
    for name in ("pipe", "folder", "s"):
        with pytest.raises(InputError, match=rf"{name}\.json is no ordinary file"):
            load_json(tmp_path / f"{name}.json")
    with pytest.raises(InputError, match="no ordinary file"):
        load_json("/dev/zero")


@pytest.mark.parametrize(
    "content",
    [3, "steps", [], {}, {"steps": None}, {"steps": 3}, {"steps": "find"}, {"steps": {"a": 1}},
     {"steps": [1]}, {"steps": [{}]}, {"steps": [{"command": "find"}]},
     {"steps": [{"options": []}]}, {"steps": [STEP, {"options": None}]}],
)  # fmt: skip
def test_a_crafted_run_json_is_one_clear_error(content, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(content))
    for ask in (Run(tmp_path).steps, lambda: Run(tmp_path).option("k")):
        with pytest.raises(InputError, match=r"run\.json (does not list|holds .* not names)"):
            ask()


def test_a_run_json_is_read(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"steps": [STEP]}))
    assert Run(tmp_path).option("k") == 5 and Run(tmp_path).option("share") is None


@pytest.mark.parametrize(
    "fault", [KeyError("a"), TypeError("b"), ValueError("c"), IndexError("d"), RecursionError("e")]
)
def test_faults_of_content_name_the_file_and_the_remedy(fault):
    with pytest.raises(InputError, match=r"x\.bin does not hold a set \(.*make it again"):
        with content_of("x.bin", "a set"):
            raise fault
    with pytest.raises(InputError, match=r"x\.bin: too few\. The file is damaged"):
        with content_of("x.bin", "a set"):
            raise InputError("too few.")
    with pytest.raises(InputError, match=r"^no x\.bin$"):
        with content_of("x.bin", "a set"):
            raise InputError("no x.bin")
    with pytest.raises(KeyboardInterrupt):
        with content_of("x.bin", "a set"):
            raise KeyboardInterrupt
