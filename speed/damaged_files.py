"""What becomes of damaged, swapped and half-written files, and of a log that many write at once.

    PYTHONPATH=. python speed/damaged_files.py flips --flips 600
    PYTHONPATH=. python speed/damaged_files.py race --processes 8 --steps 10

``flips`` flips one random bit at a time in a file of each kind and reads it: nothing may be SILENT.
``race`` logs, begins work and keeps shards from several processes at once; ``speed/killed_runs.py``
kills processes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from culture_lens.storage.runs import Run
from tests.helpers.damage import KINDS, flip_bits

LOG = """
import sys
from culture_lens.storage.runs import Run

for step in range(int(sys.argv[2])):
    Run.open(sys.argv[1]).log("find", {"step": step})
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
    print(f"{asked - held} of {asked} steps lost; exit statuses {sorted(set(codes))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["flips", "race"])
    parser.add_argument("--flips", type=int, default=600)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    {"flips": flips, "race": race}[given.what](given)


if __name__ == "__main__":
    main()
