"""How torch's threads wait, alone and beside a busy second process.

    python speed/threads.py
    python speed/threads.py --beside

SmolLM2-135M answers eight bundled questions by likelihood in a process of its own: as torch waits
by default, with sleeping threads as the commands set it, and with one thread. ``--beside`` keeps a
second process busy with the same meanwhile, its threads waiting by default. Seconds are of the
wall, and of the processors, for loading is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings

WAYS = {
    "by default": {},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def answer(rounds: int) -> None:
    """Answer the questions, and print the seconds as JSON."""
    import culture_lens as cl

    warnings.simplefilter("ignore")
    model, questions = cl.load_model("smollm2-135m"), cl.load_benchmark("everyday", limit=1)
    for _ in range(rounds):
        wall, own = time.perf_counter(), time.process_time()
        cl.evaluate(model, questions, progress=False)
        found = [time.perf_counter() - wall, time.process_time() - own]
    print(json.dumps(found))


def run(environment: dict[str, str]) -> list[float]:
    """Answer in another process; its seconds, the first pass apart."""
    free = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "KMP_"))}
    command = [sys.executable, __file__, "--answer", "2"]
    said = subprocess.check_output(command, env={**free, **environment}, stderr=subprocess.DEVNULL)
    return list(json.loads(said.splitlines()[-1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--answer", type=int)
    options = parser.parse_args()
    if options.answer:
        answer(options.answer)
        return
    other = None
    if options.beside:
        command = [sys.executable, __file__, "--answer", "100000"]
        other = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(10)
    try:
        times: dict[str, list[list[float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, environment in WAYS.items():
                times[way].append(run(environment))
    finally:
        if other is not None:
            other.kill()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for way, found in times.items():
        wall, own = (statistics.median(part) for part in zip(*found, strict=True))
        print(f"{way:12} {wall:6.2f} s of the wall, {own:6.2f} s of the processors")


if __name__ == "__main__":
    main()
