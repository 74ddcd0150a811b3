"""Long work cut into shards: what it is made of, which shards are finished, and what has changed.

    work/answers-1a2b.json           model, weights, data, options, versions; number of shards
    pieces/answers-1a2b/0.parquet    a finished shard, with the seconds that it took

The record is written before the first shard. Work of other inputs has another key, so that no
shard is ever used for it. Where the same command has left a record of the same kind of work that
this process has not met, what has changed since is said. Seconds come from a clock that only goes
forward (``time.perf_counter``), so that a clock that is set back or forth does not matter.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from culture_lens.errors import InputError, warn
from culture_lens.storage.changes import changes
from culture_lens.storage.files import load_hashed_json, save_hashed_json
from culture_lens.storage.finished import PIECES
from culture_lens.storage.names import inside
from culture_lens.storage.parts import HOST
from culture_lens.storage.reading import content_of
from culture_lens.storage.runs import Run, content_key, now

KIND = "record of work"
FOLDER = "work"


@dataclass(frozen=True)
class Work:
    """The record of one piece of long work.

    Attributes:
        label: What sort of work, such as ``"answers"``.
        key: The hash of all that it depends on, the cut into shards included.
        shards: Into how many shards it is cut.
        items: Items of all shards together.
        inputs: Model, revision, weights, dtype, options, versions; ``"data"`` maps the id of each
            question to a hash of it.
        pieces: Names of the shards' files in ``pieces/`` where they are not numbered.
        began: The date at which it was begun.
        command: The command or script that began it.
        replaces: Label and key of the work that it was begun instead of, with other inputs.
    """

    label: str
    key: str
    shards: int
    items: int
    inputs: Mapping[str, Any] = field(repr=False)
    pieces: tuple[str, ...] = field(default=(), repr=False)
    began: str = ""
    command: str = ""
    replaces: str = field(default="", repr=False)


# ------------------------------------------------------------------ places


def work_place(run: Run, label: str, key: str) -> Path:
    """Give the place of the record of some work."""
    return inside(run.path, FOLDER, f"{label}-{key}", suffix=".json")


def shard_place(run: Run, label: str, key: str, index: int, suffix: str) -> Path:
    """Give the place of one shard.

    Example:
        >>> shard_place(Run(Path("first")), "answers", "1a2b", 3, ".parquet").as_posix()
        'first/pieces/answers-1a2b/3.parquet'
    """
    return inside(run.path, PIECES, f"{label}-{key}", str(index), suffix=suffix)


def shards_done(run: Run, label: str, key: str) -> list[int]:
    """List the numbers of the shards that are there, in order; whether they are whole is not read.

    Example:
        >>> shards_done(Run(Path("nowhere")), "answers", "1a2b")
        []
    """
    return sorted(int(file.stem) for file in numbered_files(run, label, key))


def numbered_files(run: Run, label: str, key: str) -> list[Path]:
    """List the files of the numbered shards of some work."""
    folder = shard_place(run, label, key, 0, "").parent
    return [file for file in folder.glob("[0-9]*") if file.stem.isdecimal()]


def shard_files(run: Run, work: Work) -> list[Path]:
    """List the files of the shards of some work that are there."""
    if not work.pieces:
        return numbered_files(run, work.label, work.key)
    named = (inside(run.path, PIECES, name) for name in work.pieces)
    return [file for file in named if file.is_file()]


def shard_facts(seconds: float, items: int) -> dict[str, Any]:
    """Give what is written into the metadata of a shard: its time, its items, who made it.

    Args:
        seconds: What it took, from a clock that only goes forward.
        items: How many items it holds.

    Example:
        >>> sorted(shard_facts(1.5, 64))
        ['items', 'seconds', 'worker']
    """
    return {"seconds": round(seconds, 3), "items": items, "worker": f"{HOST}-{os.getpid()}"}


# ------------------------------------------------------------------ records


@dataclass(frozen=True, eq=False)
class Met:
    """What this process has met in run folders, so that work of its own is no rerun of another.

    Attributes:
        records: Records of work that it has begun, gone on with, or said to be replaced.
        said: Changes that it has said.
    """

    records: set[Path] = field(default_factory=set)
    said: set[tuple[Path, str]] = field(default_factory=set)


MET = Met()


def command_of(words: Sequence[str]) -> str:
    """Give the command or script that a command line runs.

    Example:
        >>> command_of(["/usr/bin/culture-lens", "find", "--k", "5"]), command_of(["study.py", "1"])
        ('culture-lens find', 'study.py')
    """
    program = Path(words[0] if words else "")
    command = words[1:2] if program.stem == "culture-lens" else []
    return " ".join([program.name, *command])


def begin_work(
    run: Run,
    label: str,
    key: str,
    *,
    shards: int,
    items: int,
    inputs: Mapping[str, Any],
    pieces: Iterable[str] = (),
) -> Work:
    """Write down what some work is made of before it begins; say what has changed since before.

    Args:
        run: The run folder.
        label: What sort of work, in the words of a file's name.
        key: The hash of all that it depends on, the cut into shards included.
        shards: Into how many shards it is cut.
        items: Items of all shards together.
        inputs: See ``Work``; ``item_hashes`` makes ``"data"``. What was asked for anew each time,
            such as the neurons of a mask, is no input: only the key has it.
        pieces: Names of the shards' files in ``pieces/`` where they are not numbered.

    Returns:
        The record: the one that is there, or a new one.

    Raises:
        InputError: The folder cannot be written to, or work with this key is cut in another way.

    Example:
        ``begin_work(run, "answers", key, shards=8, items=512, inputs={"model": model.name})``
    """
    plain = json.loads(json.dumps(dict(inputs), default=str))  # as it is read again
    new = Work(label, key, shards, items, plain, tuple(pieces), str(now()), command_of(sys.argv))
    place = work_place(run, label, key)
    MET.records.add(place)
    if (held := kept(place)) is not None:
        if (held.shards, held.items) != (shards, items):
            raise InputError(
                f"{place}: this work is cut into {held.shards} shards of {held.items} items "
                f"together, not {shards} of {items}: its key must hash the cut."
            )
        if told := not_said(run, changes(versions_of(held), versions_of(new))):
            warn(f"{run.path}: {label} goes on with other versions: {'; '.join(told)}.")
        return held
    before, told = changed_since(run, new)
    new = replace(new, replaces=before)
    save_hashed_json(place, KIND, {**vars(new), "pieces": list(new.pieces)})
    if told := not_said(run, told):
        warn(
            f"{run.path}: {label} was begun before with other inputs, and is made anew: "
            f"{'; '.join(told)}. What was finished with the former inputs stays, and is not used."
        )
    return new


def item_hashes(items: Mapping[str, Any]) -> dict[str, str]:
    """Hash the content of each item, so that the changed ones can be counted.

    Args:
        items: Of each id, all that the work depends on, as JSON can write it.

    Example:
        >>> item_hashes({"q1": ["Which fruit?", 2]})
        {'q1': '1204989f'}
    """
    return {name: content_key(value)[:8] for name, value in items.items()}


def read_work(place: Path) -> Work:
    """Read the record of some work.

    Raises:
        InputError: It is missing, damaged, or lies under another name.
    """
    with content_of(place, "the record of some work"):
        held = load_hashed_json(place, KIND)
        work = Work(**{**held, "pieces": tuple(held["pieces"])})
        if place != work_place(Run(place.parent.parent), work.label, work.key):
            raise InputError(f"{place} was saved for {work.label}-{work.key}.")
    return work


def works(run: Run, *, aside: Path | None = None) -> dict[Path, Work]:
    """Read the records of all work in a run folder but one, in the order in which it was begun.

    A damaged record is left out, with a warning.
    """
    found = {}
    for place in sorted(run.path.glob(f"{FOLDER}/[!.]*.json")):
        if place == aside:
            continue
        try:
            found[place] = read_work(place)
        except InputError as error:
            warn(f"{error} It is written anew when the work goes on.")
    return dict(sorted(found.items(), key=lambda one: one[1].began))


def kept(place: Path) -> Work | None:
    """Read a record if there is one that can be read."""
    if not place.exists():
        return None
    try:
        return read_work(place)
    except InputError as error:
        warn(f"{error} This record is written again.")
        return None


# ------------------------------------------------------------------ what has changed


def changed_since(run: Run, new: Work) -> tuple[str, list[str]]:
    """Name the most alike record that the same command has left, and what differs from it.

    Work on other questions altogether is other work. So is what this process has met: when a
    command goes on after an interruption, it meets the records of what it did before one by one.
    """
    before = {
        place: changes(old.inputs, new.inputs)
        for place, old in works(run, aside=work_place(run, new.label, new.key)).items()
        if (old.label, old.command) == (new.label, new.command)
        and place not in MET.records
        and share_items(old, new)
    }
    if not before:
        return "", []
    place = min(before, key=lambda one: (len(before[one]), len("".join(before[one]))))
    if before[place]:
        MET.records.add(place)
        return place.stem, before[place]
    return "", []


def not_said(run: Run, told: Sequence[str]) -> list[str]:
    """Give the changes that this process has not said of a run folder, and remember them."""
    new = [one for one in told if (run.path, one) not in MET.said]
    MET.said.update((run.path, one) for one in new)
    return new


def share_items(old: Work, new: Work) -> bool:
    """Say whether two pieces of work have a question in common, as far as is known."""
    held = [work.inputs.get("data") for work in (old, new)]
    known = [set(data) for data in held if isinstance(data, Mapping)]
    return len(known) < 2 or not known[0].isdisjoint(known[1])


def versions_of(work: Work) -> Mapping[str, Any]:
    """Give the versions with which some work was begun."""
    found = work.inputs.get("versions", {})
    return found if isinstance(found, Mapping) else {}
