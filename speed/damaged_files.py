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
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.storage.runs import Run
from tests.helpers.damage import KINDS, flip_bits, frame_of, tensors_of

WORK = """
import sys
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.find import summarise
from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions

model, run = lens("llama"), Run.open(sys.argv[1])
print("ready", flush=True)
options = {"progress": False, "run": run, "batch_size": 2}
found = select(summarise(model, toy_questions(), **options), "conact", share=0.05)
found.save(run.named("neurons", "conact", ".safetensors"))
run.log("find", {"share": 0.05})
matrix = ablation_matrix(model, found, toy_questions(), random_seeds=6, seen=True, **options)
matrix.to_parquet(run.named("matrix", "conact", ".parquet"))
run.log("ablate", {"random_seeds": 6})
"""
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


def work_in(folder: Path) -> subprocess.Popen[str]:
    """Start the work in a process of its own and wait until its model is loaded."""
    command = [sys.executable, "-W", "ignore", "-c", WORK, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def kills(given: argparse.Namespace) -> None:
    draws = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as home:
        plain, hit = Path(home) / "plain", Path(home) / "hit"
        start = time.perf_counter()
        assert work_in(plain).wait() == 0
        longest = time.perf_counter() - start
        killed = 0
        for _ in range(given.kills):
            process = work_in(hit)
            try:
                process.wait(draws.uniform(0.0, given.share * longest))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                killed += process.wait() == -signal.SIGKILL
        left = len(list(hit.rglob("*.part")))
        assert work_in(hit).wait() == 0
        same = results(plain) == results(hit)
        parts = len(list(hit.rglob("*.part")))
        print(
            f"{killed} of {given.kills} killed; half files before the last run {left}, after it "
            f"{parts}; results {'the same' if same else 'DIFFER'}; steps {len(Run(hit).steps())}"
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
    parser.add_argument("--share", type=float, default=0.6, help="Latest kill, of a whole run.")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    {"flips": flips, "kills": kills, "race": race}[given.what](given)


if __name__ == "__main__":
    main()
