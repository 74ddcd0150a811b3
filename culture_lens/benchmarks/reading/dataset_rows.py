"""Rows of a memory-mapped dataset as a table; the bytes of images are read when they are used.

A column of bytes, as Hugging Face stores images, becomes a column of ``Cell``s, each of which reads
its own bytes when it is called. Parquet files are converted once into memory-mapped files in the
cache of ``datasets``, as its own loaders do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.errors import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd

ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """The bytes of one cell of a dataset, read when it is called.

    Attributes:
        dataset: A dataset with this column alone, images not decoded.
        column: Its name.
        row: The cell's row.
        name: The file name that the cell gives beside its bytes, or nothing.
        n_bytes: How many bytes it holds.

    Example:
        ``as_image(Cell(rows, "image", 7, "7.jpg", 48213), where="question 'q7' of cvqa")``
    """

    dataset: Any
    column: str
    row: int
    name: str
    n_bytes: int

    def __call__(self) -> bytes:
        """Read the bytes."""
        value = self.dataset[self.row][self.column]
        return bytes(value["bytes"] if isinstance(value, dict) else value)


def dataset_frame(rows: Any) -> pd.DataFrame:
    """Take a ``datasets.Dataset`` as a table whose columns of bytes hold ``Cell``s.

    Args:
        rows: The dataset. Cells without bytes become their path as ``{"path": ...}``, or None.

    Example:
        ``dataset_frame(datasets.load_from_disk("cvqa"))["image"][0]()[:4]``
    """
    import pandas as pd

    names = [name for name in rows.column_names if holds_bytes(arrow_type(rows, name))]
    light = rows.remove_columns(names)
    # A dataset of bytes alone has no columns left, and with them no length.
    frame = pd.DataFrame(light[:] if light.column_names else None, dtype=object)
    for place, name in enumerate(rows.column_names):
        if name in names:
            frame.insert(place, name, pd.Series(cells(rows, name), dtype=object))
    return frame


def arrow_type(rows: Any, column: str) -> Any:
    """Give the Arrow type of a column of a dataset."""
    return rows.features.arrow_schema.field(column).type


def holds_bytes(stored: Any) -> bool:
    """Say whether an Arrow type is bytes, or a struct with bytes as images are stored.

    Example:
        >>> import pyarrow
        >>> holds_bytes(pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()}))
        True
    """
    from pyarrow import types

    if types.is_struct(stored):
        place = stored.get_field_index("bytes")
        return place >= 0 and holds_bytes(stored.field(place).type)
    return bool(types.is_binary(stored) or types.is_large_binary(stored))


def cells(rows: Any, column: str) -> list[Any]:
    """Make the cells of one column; lengths are read, bytes are not."""
    import datasets
    import pyarrow.compute as pc
    from pyarrow import types

    alone = rows.select_columns([column]).with_format(None)
    if isinstance(alone.features[column], datasets.Image):
        alone = alone.cast_column(column, datasets.Image(decode=False))
    stored = arrow_type(alone, column)
    named = types.is_struct(stored) and stored.get_field_index("path") >= 0
    made: list[Any] = []
    # In batches, since Arrow copies the rows asked for where a dataset was filtered or shuffled.
    for batch in alone.with_format("arrow").iter(ROWS_AT_ONCE):
        values = batch.column(column)
        data = pc.struct_field(values, "bytes") if types.is_struct(stored) else values
        lengths = pc.binary_length(data).to_pylist()
        paths = pc.struct_field(values, "path").to_pylist() if named else [None] * len(lengths)
        for n_bytes, path in zip(lengths, paths, strict=True):
            if n_bytes:
                made.append(Cell(alone, column, len(made), path or "", n_bytes))
            else:
                made.append({"path": path} if path else None)
    return made


def parquet_holds_bytes(path: Path) -> bool:
    """Say whether a column of a parquet file holds bytes, by its schema."""
    import pyarrow.parquet

    return any(holds_bytes(field.type) for field in pyarrow.parquet.read_schema(path))


def read_parquet_files(paths: Sequence[Path]) -> pd.DataFrame:
    """Read parquet files as one table, columns of bytes as cells.

    Raises:
        InputError: They cannot be read, or differ in their columns.

    Example:
        ``read_parquet_files(sorted(Path("cvqa/data").glob("test-*.parquet")))``
    """
    import datasets

    try:
        rows = datasets.Dataset.from_parquet([str(path) for path in paths])
    # datasets raises a dozen unrelated classes, from OSError to ones of its own.
    except Exception as error:
        reason = str(error.__cause__ or error).strip().split("\n")[0]
        raise InputError(
            f"{paths[0].parent}: cannot read {', '.join(path.name for path in paths)}: {reason} "
            "Check that all were downloaded whole and are of one release."
        ) from error
    return dataset_frame(rows)


def is_saved(path: Path) -> bool:
    """Say whether a folder was written by ``save_to_disk``."""
    return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))


def read_saved(path: Path, split: str) -> pd.DataFrame:
    """Read one split of a folder that ``save_to_disk`` wrote.

    Raises:
        InputError: It cannot be read, or has other splits.

    Example:
        ``read_saved(Path("cvqa"), "test")``
    """
    import datasets

    try:
        rows = datasets.load_from_disk(str(path))
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path}: cannot be read: {reason} Save the dataset again.") from error
    if isinstance(rows, datasets.DatasetDict):
        if split not in rows:
            raise unknown(f"split of {path}", split, rows, "Give the folder of one split.")
        rows = rows[split]
    return dataset_frame(rows)
