"""How far a run is: its steps, its work in shards, how long the rest will take, what is damaged.

Time is told from the seconds that each finished shard has in it, not from dates:

    left = (items - items done) x seconds of all finished shards / items done / workers
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped]

from culture_lens.checks import check_arguments, flag, optional, whole
from culture_lens.storage.checksums import damaged_files, own_metadata
from culture_lens.storage.display import Shown
from culture_lens.storage.files import NOTE
from culture_lens.storage.parts import HOST
from culture_lens.storage.runs import Run
from culture_lens.storage.work import Work, shard_files, works

if TYPE_CHECKING:
    import pandas as pd

MINUTE, HOUR, DAY = 60, 60 * 60, 24 * 60 * 60


@dataclass(frozen=True, repr=False)
class WorkStatus(Shown):
    """How far one piece of work is.

    Attributes:
        name: Label and key.
        shards: Into how many shards it is cut.
        shards_done: Shards that are there.
        items: Items of all shards together.
        items_done: Items of the shards that are there.
        seconds: What those took, added up over workers.
        workers: Processes that are thought to be at it; at least 1.
        replaced: Whether the same work was begun again with other inputs.
    """

    name: str
    shards: int
    shards_done: int
    items: int
    items_done: int
    seconds: float
    workers: int
    replaced: bool = False

    @property
    def finished(self) -> bool:
        """Whether all shards are there."""
        return self.shards_done >= self.shards

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest will take with these workers; None where nothing tells."""
        if self.finished:
            return 0.0
        if not self.items_done or not self.seconds:
            return None
        return (self.items - self.items_done) * self.seconds / self.items_done / self.workers

    @property
    def state(self) -> str:
        """Finished, not finished, or replaced, in words."""
        if self.finished:
            return "finished"
        return "replaced by work with other inputs" if self.replaced else "not finished"

    def row(self) -> dict[str, Any]:
        """Give it as a row of the table of a run's work."""
        pace = self.seconds / self.items_done if self.items_done else None
        return {
            "work": self.name,
            "state": self.state,
            "shards_done": self.shards_done,
            "shards": self.shards,
            "items_done": self.items_done,
            "items": self.items,
            "seconds_per_item": pace,
            "workers": self.workers,
            "seconds_left": self.seconds_left,
        }


@dataclass(frozen=True, repr=False)
class RunStatus(Shown):
    """How far a run is.

    Attributes:
        path: The run folder.
        steps: Of each step of ``run.json``: command, date, seconds (None: not finished).
        work: Every piece of work that was begun.
        disk: Bytes of all files in the folder.
        damaged: Damaged files and what is wrong with them; None where checksums were not read.
    """

    path: Path
    steps: tuple[tuple[str, str, float | None], ...]
    work: tuple[WorkStatus, ...]
    disk: int
    damaged: Mapping[str, str] | None = None

    @property
    def going(self) -> tuple[WorkStatus, ...]:
        """The work that is not finished and was not replaced."""
        return tuple(one for one in self.work if one.state == "not finished")

    @property
    def seconds_left(self) -> float | None:
        """Seconds that the rest of all work begun will take; None where that cannot be told."""
        left = [one.seconds_left for one in self.going]
        known = [seconds for seconds in left if seconds is not None]
        return float(sum(known)) if len(known) == len(left) else None

    def to_pandas(self) -> pd.DataFrame:
        """List the work: shards and items done, of how many, pace, workers, seconds left."""
        import pandas as pd

        return pd.DataFrame([one.row() for one in self.work], columns=list(NOTHING.row()))

    def _headline(self) -> str:
        done = sum(one.finished for one in self.work)
        return f"RunStatus of {self.path}: {done} of {len(self.work)} pieces of work finished"

    def _facts(self) -> Mapping[str, Any]:
        facts: dict[str, Any] = {"steps": [step_words(*step) for step in self.steps]}
        if self.going:
            facts["left of what was begun"] = duration(self.seconds_left)
        facts["disk"] = f"{self.disk / 1e6:,.1f} MB"
        if self.damaged is not None:
            facts["damaged files"] = len(self.damaged)
        return facts

    def _overview(self) -> pd.DataFrame | None:
        return self.to_pandas() if self.work else None


NOTHING = WorkStatus("", 0, 0, 0, 0, 0.0, 1)


@check_arguments(check=flag, workers=optional(whole(1)))
def run_status(
    run: Run | str | Path, *, check: bool = False, workers: int | None = None
) -> RunStatus:
    """Say how far a run is, how long the rest of what was begun will take, and what is damaged.

    Nothing is computed and no model is loaded. Half-written files of processes that have died are
    cleared, as whenever a run folder is opened.

    Args:
        run: The run folder.
        check: Read every file and compare its checksum.
        workers: How many processes will do the rest; by default those that made shards and are
            still alive, at least 1.

    Raises:
        InputError: No such folder, ``run.json`` is damaged, or workers below 1.

    Example:
        ``run_status("runs/first").to_pandas()``
    """
    folder = Run.open(run, create=False)
    held = works(folder)
    replaced = {work.replaces for work in held.values()}
    found = tuple(
        status_of(folder, work, workers, replaced=place.stem in replaced)
        for place, work in held.items()
    )
    steps = tuple(map(state_of, folder.steps()))
    damaged = {str(path): why for path, why in damaged_files(folder.path)} if check else None
    return RunStatus(folder.path, steps, found, disk_used(folder.path), damaged)


def state_of(step: Mapping[str, Any]) -> tuple[str, str, float | None]:
    """Give command, date and seconds of a step; no seconds: it is not finished.

    Example:
        >>> state_of({"command": "find", "date": "2020-01-01", "seconds": 3})
        ('find', '2020-01-01', 3.0)
    """
    seconds = step.get("seconds")
    took = float(seconds) if isinstance(seconds, (int, float)) else None
    return str(step.get("command", "")), str(step.get("date", "")), took


def disk_used(folder: Path) -> int:
    """Add up the bytes of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # half-written files come and go
            total += path.stat().st_size if path.is_file() else 0
    return total


def status_of(run: Run, work: Work, workers: int | None, *, replaced: bool) -> WorkStatus:
    """Count what is done of some work."""
    places = shard_files(run, work)
    facts = [facts_of(place) for place in places]
    told = [one for one in facts if "items" in one]
    items = sum(one["items"] for one in told)
    seen = {str(one.get("worker", "")) for one in told}
    return WorkStatus(
        f"{work.label}-{work.key}",
        work.shards,
        len(places),
        work.items,
        min(items, work.items),
        float(sum(one.get("seconds", 0.0) for one in told)),
        workers or max(1, sum(map(is_alive, seen))),
        replaced,
    )


def facts_of(place: Path) -> dict[str, Any]:
    """Read the ``shard_facts`` of a file, without its content; none where it has none."""
    try:
        facts = table_facts(place) if place.suffix == ".parquet" else tensor_facts(place)
    except Exception:  # whatever is wrong with the file: that is said when it is used or checked
        return {}
    if not isinstance(facts, dict) or not {"items", "seconds"} <= facts.keys():
        return {}
    if isinstance(items := facts["items"], dict):  # of each culture
        facts = {**facts, "items": sum(items.values())}
    return facts


def table_facts(place: Path) -> Any:
    """Read the metadata of a table."""
    import pyarrow.parquet as pq

    return json.loads((pq.read_metadata(place).metadata or {}).get(NOTE, b"{}"))


def tensor_facts(place: Path) -> Any:
    """Read the metadata of a file of tensors."""
    from safetensors import safe_open

    with safe_open(str(place), framework="pt") as file:
        return own_metadata(json.loads((file.metadata() or {}).get("metadata", "{}")))


def is_alive(worker: str) -> bool:
    """Whether a worker may still be there; of another machine that is not known, and yes.

    Example:
        >>> is_alive("0123abcd-1"), is_alive("")
        (True, False)
    """
    host, _, process = worker.partition("-")
    return process.isdecimal() and (host != HOST or psutil.pid_exists(int(process)))


# ------------------------------------------------------------------ in words


def duration(seconds: float | None) -> str:
    """Write a time in the unit that suits it.

    Example:
        >>> duration(42.0), duration(5000.0), duration(200_000.0), duration(None)
        ('42 s', '1.4 h', '2.3 days', 'not known')
    """
    if seconds is None:
        return "not known"
    for size, unit in ((DAY, "days"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def step_words(command: str, date: str, seconds: float | None) -> str:
    """Write a step in a few words.

    Example:
        >>> step_words("find", "2020-01-01", 90.0), step_words("ablate", "2020-01-01", None)
        ('find (1.5 min)', 'ablate (not finished)')
    """
    return f"{command} ({'not finished' if seconds is None else duration(seconds)})"


def lines(status: RunStatus) -> Iterable[str]:
    """Write a status as the command line shows it."""
    yield f"{status.path}: {status.disk / 1e6:,.1f} MB"
    for step in status.steps:
        yield f"  {step[1]}  {step_words(*step)}"
    for one in status.work:
        counted = f"{one.shards_done} of {one.shards} shards, {one.items_done:,} of {one.items:,}"
        yield f"  {one.name}: {one.state}, {counted} items"
        if one in status.going:
            pace = one.row()["seconds_per_item"]
            told = "" if pace is None else f"{pace:.3g} s an item; "
            yield f"    {told}left: {duration(one.seconds_left)} with {one.workers} at work"
    for why in (status.damaged or {}).values():
        yield f"  damaged: {why}"
    if status.damaged is not None:
        number = len(status.damaged)
        told = f"{number} damaged file{'s' * (number > 1)}"
        yield told if number else "no file is damaged"
