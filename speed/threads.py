"""How torch's threads wait, alone and beside a busy second process; the demonstration beside it.

    python speed/threads.py
    python speed/threads.py --demo --rounds 2

A process for each way loads SmolLM2-135M and records sixteen bundled questions: as torch waits by
default, with sleeping threads as the commands set it, and with one thread. Then it does so again
while another process multiplies matrices with a thread for each core and no pause. Seconds are
medians of the rounds, of the wall and, in brackets, of the process's own processors.

``--demo`` runs ``culture-lens demo`` idle and beside such a process in turn: the organism's part to
its end, from the start of the command, and then for ``--seconds`` SmolLM2's part, of which the
shards are compared that both have finished. What other processes took of the processors meanwhile
is said: the figures mean little where it is much.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

WAYS = {
    "by default": {},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
BUSY = "import torch\na = torch.rand(1000, 1000)\nwhile True: a @ a"
SLOWER = 2.5
"""How much longer SmolLM2's part is watched beside a busy process."""


def environment(**more: str) -> dict[str, str]:
    """The environment without what it says about threads."""
    told = ("OMP_", "GOMP_", "KMP_", "MKL_")
    return {**{k: v for k, v in os.environ.items() if not k.startswith(told)}, **more}


@contextmanager
def busy() -> Iterator[None]:
    """Keep every core busy with another process meanwhile."""
    other = subprocess.Popen([sys.executable, "-c", BUSY], env=environment())
    time.sleep(4)
    try:
        yield
    finally:
        other.kill()
        other.wait()


# ------------------------------------------------------------------ sixteen questions


def record(rounds: int) -> None:
    """Record the questions idle and beside a busy process; print the seconds as JSON."""
    import culture_lens as cl

    warnings.simplefilter("ignore")
    model, questions = cl.load_model("smollm2-135m"), cl.load_benchmark("everyday", limit=2)

    def once() -> tuple[float, float]:
        wall, own = time.perf_counter(), time.process_time()
        cl.summarise(model, questions, batch_size=64, progress=False)
        return time.perf_counter() - wall, time.process_time() - own

    once(), once()
    idle = [once() for _ in range(rounds)]
    with busy():
        print(json.dumps([idle, [once() for _ in range(rounds)]]))


def ways(rounds: int) -> None:
    """Print what each way of waiting takes."""
    for way, more in WAYS.items():
        command, quiet = [sys.executable, __file__, "--record", str(rounds)], subprocess.DEVNULL
        said = subprocess.check_output(command, env=environment(**more), stderr=quiet)
        told = []
        for found in json.loads(said.splitlines()[-1]):
            wall, own = (statistics.median(part) for part in zip(*found, strict=True))
            told.append(f"{wall:.2f} s ({own:.2f})")
        print(f"{way:12} idle {told[0]}, beside {told[1]}", flush=True)


# ------------------------------------------------------------------ the demonstration


def demonstration(seconds: float) -> tuple[float, dict[str, float]]:
    """Seconds of the organism's part, and of each shard of SmolLM2's that is done by then."""
    from culture_lens.storage.status import facts_of

    command = str(Path(sys.executable).parent / "culture-lens")
    with tempfile.TemporaryDirectory() as folder:
        run, begun = Path(folder) / "run", time.perf_counter()
        process = subprocess.Popen(
            [command, "demo", "--run", str(run)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )
        for line in process.stdout:
            if "The page with the results" in line:
                break
        organism = time.perf_counter() - begun
        time.sleep(seconds)
        process.kill()
        process.wait()
        shards = [file for file in (run / "pieces").rglob("[!.]*") if file.is_file()]
        done = {str(file.relative_to(run)): facts_of(file) for file in shards}
    return organism, {name: facts["seconds"] for name, facts in done.items() if facts}


def of_others() -> float:
    """Seconds of the processors that all but this process's children have taken so far."""
    every, own = psutil.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return every.user + every.nice + every.system - own.ru_utime - own.ru_stime


def demo(rounds: int, seconds: float) -> None:
    """Print what the demonstration takes idle and beside a busy process, in turn."""
    ratios: list[tuple[float, float]] = []
    for _ in range(rounds):
        others, begun = of_others(), time.perf_counter()
        idle, alone = demonstration(seconds)
        with busy():
            beside, slow = demonstration(SLOWER * seconds)
        taken = (of_others() - others) / (time.perf_counter() - begun)
        common = sorted(alone.keys() & slow.keys())
        shards = [sum(found[name] for name in common) for found in (alone, slow)]
        ratios.append((beside / idle, shards[1] / shards[0]))
        told = [f"organism {idle:.1f} and {beside:.1f} s, {ratios[-1][0]:.2f} times"]
        told += [f"{len(common)} shards of SmolLM2 {shards[0]:.1f} and {shards[1]:.1f} s"]
        told += [f"{ratios[-1][1]:.2f} times", f"others took {taken:.2f} processors"]
        print("; ".join(told), flush=True)
    print("medians:", *(f"{statistics.median(part):.2f}" for part in zip(*ratios, strict=True)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--record", type=int)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.record:
        record(options.record)
    elif options.demo:
        demo(options.rounds, options.seconds)
    else:
        ways(options.rounds)


if __name__ == "__main__":
    main()
