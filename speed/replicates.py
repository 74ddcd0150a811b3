"""What replicates cost: the identification pass with 20 permutations and 20 bootstrap samples.

    python speed/replicates.py
    python speed/replicates.py --items 240 --batch-size 64 --rounds 3

SmolLM2-135M reads the bundled everyday questions with and without replicates, in turn within one
process. Seconds are processor time of one thread, so that a machine that others use at the same
time does not count; the ratio is the median over rounds of the ratio within a round. Memory is
that of the replicates themselves.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from culture_lens.activations.record import record_activations
from culture_lens.activations.resampling import make_design
from culture_lens.activations.statistics import ActivationStatistics
from culture_lens.benchmarks import load_benchmark
from culture_lens.models.load import load_model
from culture_lens.prompts.build import build_prompts


def main() -> None:
    """Time both, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicates", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("smollm2-135m")
    questions = load_benchmark("everyday")[: given.items]
    prompts = build_prompts(questions, model.processor, context=model.context)
    design = make_design(questions, permutations=given.replicates, bootstraps=given.replicates)
    ratios, held = [], None
    for number in range(given.rounds):
        seconds = {}
        for one in (None, design) if number % 2 else (design, None):
            started = time.process_time()
            statistic = ActivationStatistics(one)
            record_activations(
                model, prompts, batch_size=given.batch_size, progress=False, into=statistic
            )
            seconds[one] = time.process_time() - started
            held = statistic.summary().replicates or held
        ratios.append(seconds[design] / seconds[None])
        print(f"round {number}: {seconds[None]:.1f} s, with replicates {seconds[design]:.1f} s")
    assert held is not None
    size = sum(t.numel() * t.element_size() for t in held.tensors().values())
    print(f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    print(f"memory {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
