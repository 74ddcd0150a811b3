"""The Benchmark record, and reading a benchmark's rows: hub, bundled data or a local copy."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from culture_lens.benchmarks.reading.dataset_rows import is_saved, read_parquet_files, read_saved
from culture_lens.benchmarks.reading.rows import READERS, as_frame, need_columns, read_rows
from culture_lens.benchmarks.reading.wordings import DEFAULT_WORDINGS, Wordings
from culture_lens.errors import InputError
from culture_lens.questions.question import Question
from culture_lens.storage.bundled import data_path

if TYPE_CHECKING:
    import pandas as pd

BUNDLED = "bundled"
LOCAL = "your own file"
SHARD_FILE = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a benchmark.

    Attributes:
        file: What a local copy is called, as a glob without suffix, such as ``"mc_questions*"``.
        columns: Columns that the benchmark needs.
        config: The hub's configuration, or nothing where there is only one.
        split: The hub's split.
        beside: The table accompanies the main one: where the user names a file, this one lies in
            the same folder.
        quotes: False where quotation marks in its tsv file are ordinary characters.

    Example:
        >>> Part("questions", columns=("question", "answer")).split
        'test'
    """

    file: str
    columns: tuple[str, ...] = ()
    config: str | None = None
    split: str = "test"
    beside: bool = False
    quotes: bool = True


Read: TypeAlias = "Callable[[Part], pd.DataFrame]"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark that ``load_benchmark`` knows by name.

    Attributes:
        name: The name that users write.
        summary: One line about it.
        source: Hub id, ``"bundled"`` or ``"your own file"``.
        licence: Licence of its rows.
        rows: Makes the questions. Its first argument reads a ``Part`` and gives its rows as a
            table; the rest, keyword-only, are the benchmark's own options.
        min_cultures: How many cultures its questions must have; 1 for a benchmark of one country.
        wordings: For each kind of question a tuple of prompt formats, the benchmark's own first;
            see ``wordings``.
        each_wording: Its questions already come in every wording, each with an id of its own.
        further_options: Options that ``rows`` takes as ``**options``, beside its keyword-only ones.
        own_countryrc: Options with which its questions are its own CountryRC, where no passage can
            name its cultures.

    Example:
        >>> Benchmark("none", "Nothing.", BUNDLED, "CC0-1.0", rows=lambda read: []).source
        'bundled'
    """

    name: str
    summary: str
    source: str
    licence: str
    rows: Callable[..., list[Question]]
    min_cultures: int = 2
    wordings: tuple[Wordings, ...] = (DEFAULT_WORDINGS,)
    each_wording: bool = False
    further_options: tuple[str, ...] = ()
    own_countryrc: Mapping[str, Any] | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the benchmark's own options."""
        own = inspect.signature(self.rows).parameters.values()
        named = (parameter.name for parameter in own if parameter.kind is parameter.KEYWORD_ONLY)
        return (*named, *self.further_options)


def read_part(benchmark: Benchmark, path: str | Path | None, part: Part) -> pd.DataFrame:
    """Read one table of a benchmark from a local copy, the package or the hub.

    Args:
        benchmark: Whose table it is.
        path: A local file, the folder that holds the files, a copy of the hub's parquet shards or
            a folder written by ``Dataset.save_to_disk``; without it the benchmark's source.
        part: Which table.

    Raises:
        InputError: The table is not there, cannot be read, or lacks columns.

    Example:
        ``read_part(BENCHMARKS["blend"], "../shared/data/blend", QUESTIONS)``
    """
    if path is None and benchmark.source == BUNDLED:
        path = data_path(benchmark.name)
    if path is not None:
        frame = local_rows(Path(path), part)
    elif benchmark.source == LOCAL:
        raise InputError(f"benchmark {benchmark.name!r} reads {LOCAL}: give path=...")
    else:
        frame = read_hub(benchmark, part)
    need_columns(frame, part.columns)
    return frame


def local_rows(path: Path, part: Part) -> pd.DataFrame:
    """Read a part from a local copy, whatever shape that has."""
    saved, shards = is_saved(path), shard_files(path, part)
    if not saved and not shards:
        return read_rows(local_file(path, part), quotes=part.quotes)
    frame = read_saved(path, part.split) if saved else read_parquet_files(shards)
    if frame.empty:
        raise InputError(f"{path} has no rows: check that it was written to the end.")
    frame.attrs.update(place=str(path), root=str(path))
    return frame


def shard_files(path: Path, part: Part) -> list[Path]:
    """Find the parquet shards of a part's split, where the hub keeps them: all, or none.

    Raises:
        InputError: Some are missing, or two releases are mixed.
    """
    for folder in (path, path / "data"):
        files = sorted(folder.glob(f"{part.split}-*.parquet"))
        numbers = [match.groups() for file in files if (match := SHARD_FILE.search(file.name))]
        if not numbers:
            continue
        total = numbers[0][1]
        if [(f"{n:05d}", total) for n in range(int(total))] != numbers:
            raise InputError(
                f"{folder}: holds {len(numbers)} parquet shards of split {part.split!r} that are "
                f"not the {int(total)} of one release; download the missing ones and remove others."
            )
        return [file for file in files if SHARD_FILE.search(file.name)]
    return []


def local_file(path: Path, part: Part) -> Path:
    """Find the file of a part: the path itself, or the one match in its folder."""
    if not path.is_dir() and not (part.beside and path.exists()):
        return path
    folder = path if path.is_dir() else path.parent
    matches = [f for f in sorted(folder.glob(f"{part.file}.*")) if f.suffix.lower() in READERS]
    if len(matches) == 1:
        return matches[0]
    kinds = "|".join(suffix[1:] for suffix in READERS)
    found = ", ".join(match.name for match in matches) or "none"
    raise InputError(
        f"{folder}: needs exactly one file {part.file}.({kinds}), found {found}; "
        + ("remove or rename the others." if matches else "check the path or add the file.")
    )


def read_hub(benchmark: Benchmark, part: Part) -> pd.DataFrame:
    """Read a table from the Hugging Face hub."""
    import datasets

    place = f"{benchmark.source} ({part.config or 'default'}, {part.split})"
    try:
        rows = datasets.load_dataset(benchmark.source, part.config, split=part.split)
    # The hub's client raises a dozen unrelated classes, from OSError to ones of its own.
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"cannot load {place} from the Hugging Face hub: {type(error).__name__}: {reason} "
            "Check the connection, or give path= with a local copy."
        ) from error
    frame = as_frame(rows)
    frame.attrs["place"] = place
    return frame
