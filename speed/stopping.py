"""What ``until`` saves, and that its intervals still hold the true value, by simulation.

    python speed/stopping.py

Cells of 2,000 question groups of one to four items are asked look by look, as ``ablation_matrix``
does with ``until``. Items of a group are alike (an own rate, Beta). A right answer is lost, and a
wrong one gained, at given rates. Held against: the interval of all questions. 95 of 100 intervals
should hold the true change, within what so many runs can tell (0.4 points at 3,000 runs).
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from culture_lens.experiments.stopping import looks, reach
from culture_lens.statistics.estimates import CHANGES, mean_estimate

GROUPS, MOST_ITEMS = 2000, 4


def cell(
    source: np.random.Generator, base: float, lost: float, gained: float, groups: int = GROUPS
) -> tuple[np.ndarray, np.ndarray]:
    """Changes of the answers of a cell, and their groups."""
    sizes = source.integers(1, MOST_ITEMS + 1, groups)
    names = np.repeat(np.arange(groups), sizes)
    right = source.random(len(names)) < source.beta(2 * base, 2 * (1 - base), groups)[names]
    flips = source.random(len(names)) < np.where(right, lost, gained)
    return np.where(flips, np.where(right, -1.0, 1.0), 0.0), names


def stopped(changes: np.ndarray, names: np.ndarray, until: float) -> np.ndarray:
    """The items that are asked before the cell stops."""
    groups = int(names.max()) + 1
    for look in looks(groups):
        asked = names < look.stop
        if reach(changes[asked], names[asked].tolist(), CHANGES) <= until:
            break
    return asked


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    options = parser.parse_args()
    print("until   base   lost  gained   asked  of all   coverage   of all questions   bias")
    for until, (base, lost, gained) in itertools.product(
        (0.02, 0.05), ((0.5, 0.0, 0.0), (0.5, 0.02, 0.0), (0.5, 0.1, 0.05), (0.8, 0.3, 0.1))
    ):
        source = np.random.default_rng(0)
        true = gained * (1 - base) - lost * base
        asked, held, held_whole, values = [], 0, 0, []
        for _ in range(options.runs):
            changes, names = cell(source, base, lost, gained)
            part = stopped(changes, names, until)
            one = mean_estimate(changes[part], names[part].tolist(), bounds=CHANGES)
            whole = mean_estimate(changes, names.tolist(), bounds=CHANGES)
            held += one.low <= true <= one.high
            held_whole += whole.low <= true <= whole.high
            values.append(one.value)
            asked.append(part.mean())
        print(
            f"{until:5.2f}  {base:5.2f}  {lost:5.2f}  {gained:6.2f}   {np.mean(asked) * 100:4.0f}%"
            f"           {held / options.runs * 100:7.1f}%            "
            f"{held_whole / options.runs * 100:7.1f}%   {np.mean(values) - true:+.4f}"
        )


if __name__ == "__main__":
    main()
