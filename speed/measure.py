"""What the scripts share: peak memory of a process of its own, and times taken in turn."""

from __future__ import annotations

import ctypes
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Pass = Callable[[], None]
Times = dict[str, list[float]]


def peak_mib() -> int:
    """Give the highest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def peak_during(run: Pass) -> float:
    """Give how much memory a pass takes at its peak, in MiB, beyond what is held before it.

    Linux alone: the kernel's mark of the highest resident memory is set back first, and memory that
    earlier passes have left is given back.
    """
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = held_kib("VmRSS")
    run()
    return (held_kib("VmHWM") - before) / 1024


def held_kib(name: str) -> int:
    """Read resident memory (VmRSS) or its highest (VmHWM) of this process, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def peak_of(*words: str, repeats: int = 3) -> float:
    """Run this script again with some words and give the median of the peaks that it prints.

    Call it while this process is small: a child counts its parent's peak.
    """
    command = [sys.executable, *sys.argv, *words]
    peaks = [int(subprocess.check_output(command).split()[-1]) for _ in range(repeats)]
    return statistics.median(peaks)


def take_turns(
    runs: Mapping[str, Pass],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    settle: Pass = lambda: None,
    warm: Mapping[str, Pass] | None = None,
) -> Times:
    """Time passes in turn, after one of each that is not timed.

    Args:
        runs: The passes.
        rounds: How often each is timed.
        clock: Gives seconds.
        settle: Waits until the device is idle.
        warm: What is run first and not timed, where it is not the passes themselves.
    """
    times: Times = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in (runs if number or warm is None else warm).items():
            settle()
            start = clock()
            run()
            settle()
            if number:
                times[name].append(clock() - start)
    return times


def ratio(times: Times, name: str, other: str) -> float:
    """Give the median over rounds of the ratio of two passes within a round."""
    return statistics.median(a / b for a, b in zip(times[name], times[other], strict=True))
