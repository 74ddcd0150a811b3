"""Running: how a pass over questions runs, whatever it does with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from culture_lens.checks import (
    check_fields,
    either,
    file_path,
    flag,
    instance,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown
from culture_lens.prompts.engine import Ray, check_engine
from culture_lens.prompts.speed import Speed
from culture_lens.storage.runs import Run

if TYPE_CHECKING:
    from culture_lens.prompts.engine import EngineName

    TooLong = Literal["error", "skip", "truncate"]
else:
    EngineName = str
    TooLong = str  # a wrong name reaches the check that lists the right ones

TOO_LONG = ("error", "skip", "truncate")
"""Ways to treat prompts longer than the context."""
FOLDER = optional(either(instance(Run), file_path, remedy="a run folder: its path, or a Run"))
"""The check of an argument that takes a run folder."""
BATCH_SIZE = 16
"""Questions per forward where nothing else is said."""


class RunningOptions(TypedDict, total=False):
    """The fields of ``Running`` as keyword arguments."""

    batch_size: int | None
    too_long: TooLong
    progress: bool
    run: Run | str | Path | None
    speed: Speed
    engine: Ray | EngineName | None


@dataclass(frozen=True)
class Running:
    """How a pass over questions runs; none of it changes a result.

    Attributes:
        batch_size: Questions per forward: by default as ``speed`` says where questions are
            answered, else 16, and 8 where gradients are taken. Halved where memory runs out.
        too_long: What to do with prompts longer than the context: ``"error"``, ``"skip"`` or
            ``"truncate"``.
        progress: Show progress bars.
        run: A run folder; what is finished is kept there and found again.
        speed: How time is saved; see ``Speed``.
        engine: Where it runs: in this process by default, or on the workers of Ray: ``"ray"``, or
            ``Ray(workers=4)`` with its options.

    Raises:
        InputError: A batch size below 1, an unknown ``too_long`` or ``engine``.

    Example:
        >>> Running(batch_size=4).rows()
        4
    """

    batch_size: int | None = None
    too_long: TooLong = "error"
    progress: bool = True
    run: Run | str | Path | None = None
    speed: Speed = Speed()
    engine: Ray | EngineName | None = None

    def __post_init__(self) -> None:
        """Refuse what no pass can run with."""
        check_fields(
            self,
            batch_size=optional(whole()),
            too_long=text,
            progress=flag,
            run=FOLDER,
            speed=instance(Speed, remedy="Speed(...)"),
            engine=check_engine,
        )
        if self.batch_size is not None and self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {self.batch_size}.")
        if self.too_long not in TOO_LONG:
            raise InputError(f"too_long={self.too_long!r}: use one of {', '.join(TOO_LONG)}.")

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Running:
        """Make the record from keyword arguments.

        Raises:
            InputError: An option that it does not have.
        """
        running: Running = read_options(options, cls)[0]
        return running

    @property
    def folder(self) -> Run | None:
        """The run folder, made where there is none yet."""
        return None if self.run is None else Run.open(self.run)

    def check_here(self, name: str, save: str) -> None:
        """Refuse a run folder and workers where a function uses neither.

        Args:
            name: The function.
            save: How its result is saved, as code.

        Raises:
            InputError: There is one of them.
        """
        if self.run is not None:
            raise InputError(
                f"{name} keeps nothing in a run folder: leave out run=, and save what it gives "
                f"with {save}."
            )
        if self.engine is not None:
            raise InputError(f"{name} runs in this process alone: leave out engine=.")

    @property
    def ray(self) -> Ray | None:
        """The workers that it runs on; None in this process."""
        return Ray() if isinstance(self.engine, str) else self.engine

    def rows(self, default: int = BATCH_SIZE) -> int:
        """Give the questions per forward, or the default of a stage."""
        return default if self.batch_size is None else self.batch_size


def read_options(options: Mapping[str, Any], *records: Any) -> tuple[Any, ...]:
    """Make option records from keyword arguments, each option going to the record that has it.

    Raises:
        InputError: An option that none of the records has.

    Example:
        >>> read_options({"progress": False}, Running)[0].progress
        False
    """
    own = {record: [field.name for field in fields(record)] for record in records}
    known = [name for names in own.values() for name in names]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return tuple(
        record(**{name: options[name] for name in names if name in options})
        for record, names in own.items()
    )
