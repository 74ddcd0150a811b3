"""What becomes of damaged, swapped and half-written files, and of a log that many write at once.

    PYTHONPATH=. python speed/damaged_files.py flips --flips 600
    PYTHONPATH=. python speed/damaged_files.py race --processes 8 --steps 10
    PYTHONPATH=. python speed/damaged_files.py disk

``flips`` flips one random bit at a time in a file of each kind and reads it: nothing may be SILENT.
``race`` logs, begins work and keeps shards from several processes at once; ``speed/killed_runs.py``
kills processes. ``disk`` (root, Linux) fills a small file system, and makes it read-only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from culture_lens.errors import InputError
from culture_lens.storage.finished import write_frame
from culture_lens.storage.runs import Run
from culture_lens.storage.status import run_status
from culture_lens.storage.work import begin_work, shard_place
from tests.helpers.damage import KINDS, answers, flip_bits

LOG = """
import sys
from culture_lens.storage.finished import read_frame, write_frame
from culture_lens.storage.runs import Run
from culture_lens.storage.work import begin_work, shard_facts, shard_place
from tests.helpers.damage import answers

steps = int(sys.argv[2])
for step in range(steps):
    run = Run.open(sys.argv[1])
    run.log("find", {"step": step})
    begin_work(run, "answers", "k", shards=steps, items=steps, inputs={})
    place = shard_place(run, "answers", "k", step, ".parquet")
    write_frame(place, answers(), shard_facts(0.1, 1))
    read_frame(place)  # whole, whoever wrote it last
"""


def flips(given: argparse.Namespace) -> None:
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            found = flip_bits(kind, Path(folder), given.flips, given.seed)
        told = ", ".join(f"{number} {what}" for what, number in found.most_common())
        print(f"{kind.name}: {told}", flush=True)


def race(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", LOG, folder, str(given.steps)]
        running = [subprocess.Popen(command) for _ in range(given.processes)]
        codes = [process.wait() for process in running]
        asked, held = given.processes * given.steps, len(Run(Path(folder)).steps())
        status = run_status(folder, check=True)
    print(
        f"{asked - held} of {asked} steps lost; exit statuses {sorted(set(codes))}; "
        f"{status.work[0].shards_done} of {given.steps} shards; damaged: {status.damaged}"
    )


def disk(given: argparse.Namespace) -> None:
    """Write into a file system of 400 kB until it is full, then into one that is read-only."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], check=True)
        try:
            run = Run.open(Path(folder) / "run")
            begin_work(run, "answers", "k", shards=1000, items=1000, inputs={})
            print("full:", until_refused(run))
            print("damaged:", run_status(run, check=True).damaged, left_over(run))
            shard_place(run, "answers", "k", 0, ".parquet").unlink()
            write_frame(shard_place(run, "answers", "k", 0, ".parquet"), answers())
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
            print("read-only:", until_refused(run))
            print("read-only log:", refused(lambda: run.log("find", {})))
            status = run_status(run, check=True)
            print(f"read: {status.work[0].shards_done} shards, damaged: {status.damaged}")
        finally:
            subprocess.run(["umount", folder], check=True)


def until_refused(run: Run) -> str:
    """Write shards and logs until that is refused, and give the refusal."""

    def fill() -> None:
        for index in range(1000):
            write_frame(shard_place(run, "answers", "k", index, ".parquet"), answers())
            run.log("find", {"index": index})

    return refused(fill)


def refused(act: Callable[[], object]) -> str:
    """Give the sentence with which something is refused."""
    try:
        act()
    except InputError as error:
        return str(error)
    raise AssertionError("it was not refused")


def left_over(run: Run) -> list[str]:
    return [path.name for path in run.path.rglob("*.part")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["flips", "race", "disk"])
    parser.add_argument("--flips", type=int, default=600)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    {"flips": flips, "race": race, "disk": disk}[given.what](given)


if __name__ == "__main__":
    main()
