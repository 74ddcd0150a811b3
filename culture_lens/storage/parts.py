"""Half-written files: their names, those that a dead process has left, and what stops a write."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from culture_lens.errors import InputError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
PART = re.compile(r"^\..+?\.(?:(?P<host>[0-9a-f]{8})-(?P<process>\d{1,9})-)?\w+\.part$")
DAY = 24 * 60 * 60
CLEARED: set[Path] = set()
"""Folders in which this process has looked for half-written files."""
REMEDIES = {
    errno.ENOSPC: "free some space, or give a folder on another disk.",
    errno.EDQUOT: "free some space, or give a folder on another disk.",
    errno.EACCES: "give a folder that you may write to.",
    errno.EPERM: "give a folder that you may write to.",
    errno.EROFS: "give a folder that you may write to.",
    errno.EEXIST: "move what lies in the way, or give another folder.",
    errno.ENOTDIR: "move the file that lies in the way, or give another folder.",
    errno.EISDIR: "move the folder that lies in the way, or give another name.",
    errno.ENAMETOOLONG: "give a shorter name.",
}


def not_written(path: Path, error: Exception) -> InputError:
    """Make the error for a file or folder that the system does not let be written."""
    number = getattr(error, "errno", None) or 0
    if told := re.search(r"os error (\d+)", str(error)):  # safetensors has it in its text only
        number = int(told[1])
    why = os.strerror(number) if number else str(error)
    remedy = REMEDIES.get(number, "check the folder and the disk.")
    return InputError(f"{path} cannot be written ({why}): {remedy}")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what stops a write in a block, whichever library writes, into one error.

    Raises:
        InputError: The disk is full, the folder cannot be written to, or something is in the way.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        raise not_written(path, error) from None


def make_folder(folder: Path) -> Path:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        InputError: The system does not let it be made, or a file lies in the way.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_place(path: Path) -> None:
    """Make the folder of a file, before the work that it will hold begins.

    Raises:
        InputError: The folder cannot be made or written to, or a folder has the file's name.
    """
    make_folder(path.parent)
    if path.is_dir():
        raise not_written(path, IsADirectoryError(errno.EISDIR, ""))
    if not os.access(path.parent, os.W_OK):
        raise not_written(path, PermissionError(errno.EACCES, ""))


def new_part(target: Path) -> Path:
    """Make an empty file beside a target, whose name tells which process is writing it."""
    prefix = f".{target.name}.{HOST}-{os.getpid()}-"
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix, suffix=".part")
    os.close(handle)
    return Path(name)


def clear_once(folder: Path) -> None:
    """Clear a folder of half-written files when this process first writes into it.

    Looking through a folder takes the longer the more shards it has: 0.07 s for 20,000.
    """
    place = Path(os.path.abspath(folder))
    if place not in CLEARED:
        CLEARED.add(place)
        clear_parts(folder)


def clear_locks(folder: Path) -> None:
    """Delete the locks of shards below a folder that no process holds any more.

    A lock that is left behind stops nobody: the system lets go of it when its process ends.
    """
    from filelock import FileLock, Timeout

    for path in [path for depth in (".*.lock", "*/.*.lock") for path in folder.glob(depth)]:
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except (OSError, Timeout, NotImplementedError):  # it is held, or not ours to delete
            continue


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk and not only in memory.

    Raises:
        OSError: The disk did not take it.
    """
    if path.is_dir() and os.name != "posix":
        return  # elsewhere folders cannot be opened
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has no such call
            raise
    finally:
        os.close(handle)


def clear_parts(folder: Path, *, below: bool = False) -> None:
    """Delete the half-written files in a folder that no process is writing any more.

    Args:
        folder: The folder.
        below: Those in its folders and in theirs, too.

    Those of another machine, or without a process in their name, go when they are a day old.
    """
    depths = (".*.part", "*/.*.part", "*/*/.*.part") if below else (".*.part",)
    for path in [path for depth in depths for path in folder.glob(depth)]:
        if (found := PART.match(path.name)) is None:
            continue
        try:
            if found["host"] == HOST:
                left = not psutil.pid_exists(int(found["process"]))
            else:
                left = time.time() - path.stat().st_mtime > DAY
            if left:
                path.unlink(missing_ok=True)
        except OSError:  # another process has cleared it, or it is not ours to delete
            continue
