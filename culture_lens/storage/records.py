"""ResultRecord: a table with metadata in one parquet file, the base of every result."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from culture_lens.checks import check_arguments, check_fields, file_path, instance
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.storage.display import Shown
from culture_lens.storage.files import load_table, save_table

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

MOST_FACTS = 6
"""Entries of the metadata that the repr shows."""


@dataclass(frozen=True, eq=False, repr=False)
class ResultRecord(Shown):
    """A table of records with metadata; subclasses add what is computed from it.

    Attributes:
        frame: The records.
        metadata: Model, benchmark, options: how the records were made.
    """

    frame: pd.DataFrame
    metadata: Mapping[str, Any] = field(default_factory=dict)

    what: ClassVar[str] = "a result"
    """Its name in messages."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Columns without which it cannot be read."""

    def __post_init__(self) -> None:
        """Check the table and its columns."""
        import pandas as pd

        check_fields(
            self,
            f"{self.what}: ",
            frame=instance(pd.DataFrame),
            metadata=instance(Mapping, remedy="a mapping, such as a dict"),
        )
        lacking = [column for column in self.needs if column not in self.frame]
        if lacking:
            raise InputError(f"this is not {self.what}: it has no column {lacking[0]!r}.")

    @check_arguments(path=file_path)
    def to_parquet(self, path: str | Path) -> Path:
        """Write records and metadata into one parquet file."""
        return save_table(path, self.frame, self.metadata, kind=type(self).__name__)

    @classmethod
    @check_arguments(path=file_path)
    def from_parquet(cls, path: str | Path) -> Self:
        """Read what ``to_parquet`` wrote.

        Raises:
            InputError: The file is missing, damaged, of another kind, or lacks a column.
        """
        frame, metadata = load_table(path, cls.what, kind=cls.__name__)
        lacking = [column for column in cls.needs if column not in frame]
        if lacking:
            raise InputError(f"{path} is not {cls.what}: it has no column {lacking[0]!r}.")
        return cls(frame, metadata)

    def to_pandas(self) -> pd.DataFrame:
        """Copy the records into a DataFrame of their own."""
        return self.frame.copy()

    def facts(self) -> dict[str, str]:
        """Give the first single values of the metadata, for display."""
        known = {
            name: str(value)
            for name, value in self.metadata.items()
            if isinstance(value, (str, int, float)) and value != ""
        }
        return dict(list(known.items())[:MOST_FACTS])

    def _headline(self) -> str:
        return f"{type(self).__name__}: {len(self.frame):,} records"

    def _facts(self) -> Mapping[str, Any]:
        return self.facts()

    def _overview(self) -> pd.DataFrame:
        with warnings.catch_warnings():
            # Whoever asks for the table itself is warned.
            warnings.simplefilter("ignore", CultureLensWarning)
            try:
                return self._main_table()
            except (InputError, LookupError):
                return self.frame

    def _main_table(self) -> pd.DataFrame:
        """Give the table that says most; of some results it cannot be made."""
        return self.frame
