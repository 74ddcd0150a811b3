"""Rows of any benchmark as a pandas table, from a file or from Python objects.

Cells are kept as they are in the file: csv cells stay strings, so that a country ``NA`` or an
answer ``None`` is not lost. Row numbers in messages count from 1, without the header.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from culture_lens.benchmarks.reading.dataset_rows import (
    dataset_frame,
    parquet_holds_bytes,
    read_parquet_files,
)
from culture_lens.errors import InputError, listed, warn

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = "str | Path | pd.DataFrame | Iterable[Mapping[str, Any]]"


def read_rows(path: str | Path, *, quotes: bool = True) -> pd.DataFrame:
    """Read a table from a csv, tsv, json, jsonl or parquet file.

    Args:
        path: The file. Text must be UTF-8. A json file holds a list of objects, a jsonl file one
            object per line.
        quotes: False where quotation marks in a tsv file are ordinary characters, as in GLUE's:
            a cell ends at the next tab and a row at the end of the line. A csv file cannot do
            without them.

    Returns:
        The rows; ``attrs["place"]`` is the path, for messages, and ``attrs["root"]`` the folder
        that paths in cells start from. Columns of bytes in a parquet file hold functions that read
        each cell when called; see ``dataset_rows``.

    Raises:
        InputError: The file is missing, a folder, empty, not UTF-8, malformed or of another kind.

    Example:
        ``read_rows("data/everyday/questions.csv").columns``
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: give the file inside it that holds the rows.")
    if not path.exists():
        raise InputError(f"no file {path}: check the path (the working folder is {Path.cwd()}).")
    if not path.is_file():
        raise InputError(f"{path} is a pipe, device or socket: copy the rows into a file.")
    reader = (READERS if quotes else UNQUOTED).get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: cannot read files of kind {path.suffix!r}; convert it to one of "
            f"{', '.join(READERS)}."
        )
    try:
        frame = reader(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if frame.empty:
        raise InputError(f"{path} has no rows: check that it was written to the end.")
    frame.attrs.update(place=str(path), root=str(path.parent))
    return frame


def as_frame(rows: Rows) -> pd.DataFrame:
    """Turn rows of any supported type into a table.

    Args:
        rows: A path, a pandas DataFrame, a ``datasets.Dataset``, or dicts.

    Raises:
        InputError: Something else, or no rows.

    Example:
        >>> as_frame([{"culture": "Japan"}]).columns.tolist()
        ['culture']
    """
    import pandas as pd

    if isinstance(rows, (str, Path)):
        return read_rows(rows)
    # A Dataset exists only where datasets is imported; importing it here would cost seconds.
    dataset = getattr(sys.modules.get("datasets"), "Dataset", ())
    if isinstance(rows, pd.DataFrame):
        frame = rows
    elif isinstance(rows, dataset):
        frame = dataset_frame(rows)
    elif isinstance(rows, Mapping):
        raise InputError(
            f"rows is one mapping with the keys {', '.join(map(repr, rows))}: "
            "give one split or table of it, such as rows[key]."
        )
    elif isinstance(rows, Iterable):
        frame = from_records(list(rows), "the rows", "item")
    else:
        raise InputError(
            f"rows is a {type(rows).__name__}: give a path, a pandas DataFrame, a "
            "datasets.Dataset or a list of dicts."
        )
    if frame.empty:
        raise InputError("the table of rows is empty: there is nothing to make questions of.")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"{place_of(frame)}: column {twice!r} occurs twice; rename one.")
    return frame


def from_records(records: Sequence[Any], place: str, unit: str) -> pd.DataFrame:
    """Make a table of dicts, with every value as it is."""
    import pandas as pd

    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping):
            raise InputError(
                f"{place}, {unit} {number}: is a {type(record).__name__}, not an object of "
                "column names and values."
            )
    # dtype=object: a column with a gap would otherwise turn its whole numbers into floats.
    return pd.DataFrame([dict(record) for record in records], dtype=object)


def read_text(path: Path) -> str:
    """Read a text file, which must be UTF-8."""
    data = path.read_bytes()
    try:
        # utf-8-sig: spreadsheets write a byte order mark, which would stick to the first name.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}, line {line}: is not UTF-8 ({error.reason}); save the file again as UTF-8."
        ) from error


def read_separated(path: Path, separator: str, quotes: bool = True) -> pd.DataFrame:
    """Read csv or tsv with the csv module, whose errors name the line."""
    import pandas as pd

    reader = csv.reader(
        io.StringIO(read_text(path), newline=""),
        delimiter=separator,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
    )
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise InputError(
            f"{path}, near line {reader.line_num}: {error}; check the quotation marks."
        ) from error
    if not lines:
        return pd.DataFrame()
    header = lines[0][1]
    twice = next((name for name, times in Counter(header).items() if times > 1), None)
    if twice is not None:
        raise InputError(f"{path}: column {twice!r} occurs twice in the header; rename one.")
    for line, cells in lines:
        if len(cells) != len(header):
            raise InputError(
                f"{path}, line {line}: {len(cells)} cells where the header has {len(header)}; "
                "check separators and quotation marks."
            )
    return pd.DataFrame([cells for _, cells in lines[1:]], columns=header, dtype=object)


def read_json(path: Path) -> pd.DataFrame:
    """Read a json file that holds a list of objects."""
    text = read_text(path)
    if not text.strip():
        return from_records([], str(path), "item")
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: malformed JSON: {error.msg}.") from error
    except (RecursionError, ValueError) as error:  # nested too deep, or a number of 4300 digits
        raise InputError(f"{path}: JSON that cannot be read: {error}.") from None
    if not isinstance(records, list):
        raise InputError(f"{path}: holds a {type(records).__name__}, not a list of objects.")
    return from_records(records, str(path), "item")


def read_json_lines(path: Path) -> pd.DataFrame:
    """Read a jsonl file; blank lines are skipped."""
    records = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {number}: malformed JSON: {error.msg}.") from error
        except (RecursionError, ValueError) as error:
            raise InputError(f"{path}, line {number}: JSON that cannot be read: {error}.") from None
    return from_records(records, str(path), "item")


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet file with pyarrow."""
    import pandas as pd
    import pyarrow

    try:
        return read_parquet_files([path]) if parquet_holds_bytes(path) else pd.read_parquet(path)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is not a whole parquet file: {error}.") from error


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": lambda path: read_separated(path, ","),
    ".tsv": lambda path: read_separated(path, "\t"),
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".parquet": read_parquet,
}
UNQUOTED = {**READERS, ".tsv": lambda path: read_separated(path, "\t", quotes=False)}


def place_of(frame: pd.DataFrame) -> str:
    """Name the file that a table was read from, for messages."""
    return str(frame.attrs.get("place", "the table"))


def need_columns(frame: pd.DataFrame, columns: Iterable[str]) -> None:
    """Refuse a table that lacks columns.

    Raises:
        InputError: Names the missing columns and those that are there.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"{place_of(frame)}: column {', '.join(map(repr, missing))} is missing; it has "
            f"{listed(repr(str(name)) for name in frame.columns)}. Rename the columns or say "
            "which to use."
        )


def is_blank(value: object) -> bool:
    """Say whether a cell is missing: None, NaN or nothing but space."""
    import pandas as pd

    if isinstance(value, str):
        return not value.strip()
    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def cell_text(value: object) -> str:
    """Write a cell as a string; a missing cell is the empty string.

    Example:
        >>> cell_text(None), cell_text("NA"), cell_text(3)
        ('', 'NA', '3')
    """
    return "" if is_blank(value) else str(value)


def say_dropped(benchmark: str, total: int, reasons: Mapping[str, int]) -> None:
    """Warn of rows that were left out: how many, and why; no warning where none was.

    Example:
        ``say_dropped("blend", 1600, {"whose options collide": 2})``
    """
    lost = {why: count for why, count in reasons.items() if count}
    if lost:
        detail = ", ".join(f"{count} {why}" for why, count in lost.items())
        warn(f"{benchmark}: dropped {sum(lost.values())} of {total} rows: {detail}.")
