"""Tables that are no files, are endless, or are wide: answered at once."""

import os
import time

import pandas as pd
import pytest

from culture_lens.benchmarks.reading.rows import as_frame, read_rows
from culture_lens.benchmarks.table import questions_from_table
from culture_lens.errors import InputError
from culture_lens.questions.images import as_image

WIDE = 100_000
ROW = {"culture": "Japan", "question": "Which coin?", "options": ["yen", "won"], "answer": "A"}


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_a_pipe_as_table_is_not_waited_for(ending, tmp_path):
    os.mkfifo(tmp_path / f"rows.{ending}")
    with pytest.raises(InputError, match=rf"rows\.{ending} is a pipe, device or socket"):
        questions_from_table(tmp_path / f"rows.{ending}")


def test_a_device_as_table_is_not_read(tmp_path):
    (tmp_path / "rows.csv").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is a pipe, device or socket"):
        read_rows(tmp_path / "rows.csv")


def test_a_pipe_or_device_as_image_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "photo.png")
    for path in (tmp_path / "photo.png", "/dev/zero"):
        with pytest.raises(InputError, match="is a pipe, device or socket"):
            as_image(path, where="here")
    with pytest.raises(InputError, match="row 1: .*photo.png is a pipe, device or socket"):
        questions_from_table([{**ROW, "image": tmp_path / "photo.png"}], image="image")


@pytest.mark.slow
def test_a_hundred_thousand_columns_take_no_time(tmp_path):
    names = [f"c{number}" for number in range(WIDE)]
    path = tmp_path / "wide.csv"
    path.write_text(f"{','.join(names)}\n{',' * (WIDE - 1)}\n")
    started = time.process_time()
    with pytest.raises(InputError, match="'culture', .* is missing; it has 'c0', 'c1'.*") as said:
        questions_from_table(path)
    assert time.process_time() - started < 5 and len(str(said.value)) < 2000
    path.write_text(f"{','.join([*names, 'c7'])}\n{',' * WIDE}\n")
    with pytest.raises(InputError, match="column 'c7' occurs twice in the header"):
        read_rows(path)


def test_columns_of_a_dataframe_are_named_once():
    twice = pd.DataFrame([["a", "b"]], columns=["culture", "culture"])
    with pytest.raises(InputError, match="column 'culture' occurs twice"):
        as_frame(twice)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '[{"a": ' + "[" * 100_000])
def test_json_that_python_cannot_read_is_one_clear_error(text, tmp_path):
    for ending in ("json", "jsonl"):
        path = tmp_path / f"rows.{ending}"
        path.write_text(text)
        with pytest.raises(InputError, match=rf"rows\.{ending}"):
            read_rows(path)


def test_options_nested_without_end_are_no_options():
    with pytest.raises(InputError, match="row 1: column 'options' does not hold a list"):
        questions_from_table([{**ROW, "options": "[" * 100_000}])
