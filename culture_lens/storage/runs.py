"""Run folders: finished pieces kept by what they depend on, named results, provenance.

A piece (statistics, the records of one mask) is kept under a key that hashes everything it depends
on: model, prompts, options. A run that was interrupted, or is repeated, finds the finished pieces
and goes on; changed settings give other keys, so that nothing outdated is used.

    run.json                   what was done: command, options, versions, date
    neurons/conact.safetensors named results
    matrix/conact.parquet
    pieces/records-1a2b....parquet
    report.html
"""

from __future__ import annotations

import functools
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from culture_lens.checks import check_arguments, file_path, flag
from culture_lens.errors import InputError
from culture_lens.storage.display import Shown
from culture_lens.storage.files import load_hashed_json, save_hashed_json
from culture_lens.storage.hashing import parts_hash
from culture_lens.storage.names import inside, name_of
from culture_lens.storage.parts import clear_locks, clear_parts, make_folder, not_written

if TYPE_CHECKING:
    import pandas as pd

LOCK, PATIENCE = ".run.json.lock", 60
"""The lock of ``run.json``, and the seconds to wait for it."""
KIND = "log of a run"
STARTED = datetime.now(timezone.utc), time.perf_counter()
"""When this process began, by the clock, and by a counter that only goes forward."""
PACKAGES = ("culture-lens", "transformer-lens", "transformers", "torch", "datasets", "numpy")


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that results depend on.

    Example:
        >>> "torch" in versions()
        True
    """
    return {"python": platform.python_version()} | {name: version_of(name) for name in PACKAGES}


@functools.cache
def version_of(package: str) -> str:
    """Give the version of an installed package; its metadata is parsed once in a process."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def now() -> datetime:
    """Give the time, in UTC; within a process it only goes forward, even if the clock is set.

    Example:
        >>> now().tzname()
        'UTC'
    """
    date, counter = STARTED
    return date + timedelta(seconds=time.perf_counter() - counter)


def command_words() -> list[str]:
    """Give the words of the command line that runs, or none where Python was called otherwise.

    Example:
        >>> command_words()
        []
    """
    return ["culture-lens", *sys.argv[1:]] if Path(sys.argv[0]).stem == "culture-lens" else []


def content_key(*parts: Any) -> str:
    """Hash values that JSON can write, and iterators of them, into a short key.

    Example:
        >>> content_key("a", 1) == content_key("a", 1)
        True
    """
    return parts_hash(parts)[:20]


@dataclass(frozen=True, repr=False)
class Run(Shown):
    """A run folder: everything that one analysis has produced.

    Example:
        ``run = Run.open("runs/first"); matrix = ablation_matrix(model, found, qs, run=run)``
    """

    path: Path

    def _headline(self) -> str:
        return f"Run {self.path}"

    def _facts(self) -> Mapping[str, Any]:
        kinds = sorted(one.name for one in self.path.glob("*") if one.is_dir())
        files = {kind: len(list((self.path / kind).glob("[!.]*"))) for kind in kinds}
        held = {f"files in {kind}": number for kind, number in files.items() if number}
        return {"steps": len(self.steps()), **held}

    def to_pandas(self) -> pd.DataFrame:
        """List the steps: date, command, options (as JSON)."""
        import pandas as pd

        rows = [
            (step.get("date"), step.get("command"), json.dumps(step["options"], default=str))
            for step in self.steps()
        ]
        return pd.DataFrame(rows, columns=["date", "command", "options"])

    @classmethod
    @check_arguments(create=flag)
    def open(cls, path: str | Path | Run, *, create: bool = True) -> Run:
        """Open a run folder, made where there is none; what dead processes have left is cleared.

        Raises:
            InputError: The path is a file, the folder cannot be made, or there is no such folder
                and ``create`` is off.
        """
        if isinstance(path, Run):
            return path
        path = file_path("a run folder", path)
        folder = Path(path)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; a run needs a folder.")
        if not folder.exists() and not create:
            raise InputError(f"no run folder {folder}: make one with `culture-lens find`.")
        make_folder(folder)
        clear_parts(folder, below=True)
        clear_locks(folder / "pieces")
        return cls(folder)

    def piece(self, kind: str, key: str, suffix: str) -> Path:
        """Give the place of the piece with this key."""
        return inside(self.path, "pieces", f"{kind}-{key}", suffix=suffix)

    def named(self, folder: str, name: str, suffix: str) -> Path:
        """Give the place of a named result, such as ``neurons/conact.safetensors``.

        Whatever the name, the place is inside the folder; see ``names.file_name``.

        Raises:
            InputError: The name is blank or too long.
        """
        return inside(self.path, folder, name, suffix=suffix)

    def names(self, folder: str, suffix: str) -> list[str]:
        """List the named results in one of its folders, sorted."""
        files = self.path.glob(f"{folder}/*{suffix}")
        written = (file.name[: -len(suffix)] for file in files if not file.name.startswith("."))
        return sorted(name_of(name) for name in written)

    def log(
        self, command: str, options: Mapping[str, Any], *, began: datetime | None = None
    ) -> None:
        """Add what was done, with options, versions and time, to ``run.json``.

        Args:
            command: Its name.
            options: Its options; those that are None were not given.
            began: When it began; now by default.

        Raises:
            InputError: ``run.json`` is damaged, cannot be written, or is locked for a minute.
        """
        entry = {
            "command": command,
            "words": command_words(),
            "options": {name: value for name, value in options.items() if value is not None},
            "versions": versions(),
            "date": (began or now()).isoformat(timespec="seconds"),
        }
        self._write(lambda steps: [*steps, entry])

    def finish(self, command: str, device: Any = "") -> None:
        """Add the device, and the seconds since it began, to the latest step of a command.

        A step without them was not finished.

        Raises:
            InputError: ``run.json`` is damaged, cannot be written, or is locked for a minute.

        Example:
            ``run.log("find", options); ...; run.finish("find", model.device)``
        """

        def finished(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
            own = [step for step in steps if step["command"] == command]
            if own:
                passed = now() - datetime.fromisoformat(own[-1]["date"])
                own[-1] |= {"seconds": round(passed.total_seconds(), 1), "device": str(device)}
            return steps

        self._write(finished)

    def _write(self, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
        """Change the steps in ``run.json``, with no other process in between."""
        from filelock import FileLock, Timeout

        lock = make_folder(self.path) / LOCK
        try:
            with FileLock(lock, timeout=PATIENCE):
                save_hashed_json(self.path / "run.json", KIND, {"steps": change(self.steps())})
        except Timeout:
            raise InputError(
                f"another process has held {lock} for {PATIENCE} seconds: try again when it is "
                "done, or delete the file if there is none."
            ) from None
        except OSError as error:
            raise not_written(lock, error) from None

    def steps(self) -> list[dict[str, Any]]:
        """List what was done in this folder, oldest first."""
        file = self.path / "run.json"
        if not file.exists():
            return []
        try:
            steps: Any = load_hashed_json(file, KIND).get("steps")
        except InputError as error:
            raise InputError(
                f"{error} What it lists are commands and options, no results: move it away, and "
                "give the options again."
            ) from None
        if not isinstance(steps, list) or not all(map(is_step, steps)):
            raise InputError(
                f"{file} does not list the steps of a run: it is damaged, or was made by hand; "
                "move it away, and give the options again."
            )
        return steps

    def option(self, name: str) -> Any:
        """Give the latest value of an option that a step in this folder was run with."""
        for step in reversed(self.steps()):
            if name in step["options"]:
                return step["options"][name]
        return None


def is_step(step: Any) -> bool:
    """Whether something read from ``run.json`` is a step with options.

    Example:
        >>> is_step({"command": "find", "options": {"k": 5}}), is_step("find")
        (True, False)
    """
    return isinstance(step, dict) and isinstance(step.get("options"), dict)
