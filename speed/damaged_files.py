"""What becomes of damaged, swapped and half-written files, and of a log that many write at once.

    PYTHONPATH=. python speed/damaged_files.py flips --flips 600
    PYTHONPATH=. python speed/damaged_files.py kills --kills 40
    PYTHONPATH=. python speed/damaged_files.py race --processes 8 --steps 10

``flips`` flips one random bit at a time in a file of each kind and reads it: nothing may be SILENT.
``kills`` ends a process with SIGKILL while it fills a run folder, again and again: the finished
folder must hold what an undisturbed one holds. ``race`` logs from several processes at once.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers.damage import KINDS, flip_bits, frame_of, tensors_of
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions

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


def fill(folder: Path) -> None:
    """Find neurons and ablate them, with everything kept in a run folder."""
    model, run = lens("llama"), Run.open(folder)
    options = {"progress": False, "run": run, "batch_size": 2}
    found = select(summarise(model, toy_questions(), **options), "conact", share=0.05)
    found.save(run.named("neurons", "conact", ".safetensors"))
    run.log("find", {"share": 0.05})
    matrix = ablation_matrix(model, found, toy_questions(), random_seeds=2, seen=True, **options)
    matrix.to_parquet(run.named("matrix", "conact", ".parquet"))
    run.log("ablate", {"random_seeds": 2})


def filled(folder: Path, wait: float | None = None) -> bool:
    """Fill a folder in a process of its own, killed after some seconds; say whether it ended."""
    child = os.fork()
    if child == 0:
        warnings.simplefilter("ignore")
        status = 1
        try:
            fill(folder)
            status = 0
        finally:
            os._exit(status)
    if wait is not None:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the process failed: {status}"
    return status == 0


def kills(given: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    lens("llama")  # loaded once, for every process
    draws, killed, whole, left = random.Random(given.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as home:
        plain, hit = Path(home) / "plain", Path(home) / "hit"
        start = time.perf_counter()
        assert filled(plain)
        longest = time.perf_counter() - start
        while killed < given.kills:
            if filled(hit, draws.uniform(0.0, given.share * longest)):
                assert results(hit) == results(plain)
                shutil.rmtree(hit)
                whole += 1
            else:
                killed += 1
                print(f"killed {killed}", end="\r", flush=True)
                left += len(list(hit.rglob("*.part")))
        assert filled(hit) and results(hit) == results(plain)
        parts = len(list(hit.rglob("*.part")))
    print(
        f"{killed} killed, {longest:.1f} s of work; {left} half-written files seen after kills; "
        f"{whole + 1} finished folders hold what an undisturbed one holds; {parts} half-written "
        "files left"
    )


def results(folder: Path) -> object:
    """Give what a finished folder holds."""
    run = Run(folder)
    matrix = AblationMatrix.from_parquet(run.named("matrix", "conact", ".parquet"))
    found = NeuronSet.load(run.named("neurons", "conact", ".safetensors"))
    pieces = sorted(path.name for path in (folder / "pieces").iterdir())
    facts = {name: value for name, value in found.metadata.items() if name != "date"}
    return frame_of(matrix.frame), tensors_of(dict(found.neurons)), facts, pieces


def race(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", LOG, folder, str(given.steps)]
        running = [subprocess.Popen(command) for _ in range(given.processes)]
        codes = [process.wait() for process in running]
        asked, held = given.processes * given.steps, len(Run(Path(folder)).steps())
    print(f"{asked - held} of {asked} steps lost; exit statuses {sorted(set(codes))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["flips", "kills", "race"])
    parser.add_argument("--flips", type=int, default=600)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.5, help="Latest kill, of a whole run.")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    {"flips": flips, "kills": kills, "race": race}[given.what](given)


if __name__ == "__main__":
    main()
