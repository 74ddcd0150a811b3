"""What `cl.plan` says beside what a run takes: operations, seconds and peak memory.

    python speed/plan.py                       # SmolLM2-135M on everyday
    python speed/plan.py --pictures            # the organism, pictures, letters
    python speed/plan.py --operations          # counted by torch's FlopCounterMode, not timed

Every pass runs in a process of its own: peak memory is that process's highest resident memory.
Seconds are CPU time of one thread, so that other work on the machine matters little, and the rate
that the plan takes is measured in the same process right before the pass.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from contextlib import nullcontext
from typing import Any

from measure import peak_mib

PASSES = ("load", "conact", "culnig_general", "matrix")


def setting(pictures: bool, limit: int) -> tuple[str, Any, dict[str, Any]]:
    """The model, the questions and the scoring."""
    import culture_lens as cl

    if pictures:
        return "organism", cl.load_benchmark("organism", pictures=1, limit=limit), {}
    return "smollm2-135m", cl.load_benchmark("everyday", limit=limit), {}


def run_pass(name: str, model: Any, questions: Any, pictures: bool) -> None:
    """Run what a plan's stages stand for."""
    import culture_lens as cl

    identify, evaluate = cl.split_questions(questions)
    scoring = "letter" if pictures else "option_likelihood"
    if name == "conact":
        cl.summarise(model, identify, progress=False)
    if name.startswith("culnig"):
        cl.culnig_scores(model, identify, scoring=scoring, progress=False)
    if name == "matrix":
        share = 0.02 if pictures else 0.005
        shapes = {"act": model.shape("act")}
        cultures = sorted({question.culture for question in questions})
        sets = {c: some_neurons(shapes["act"], share, n) for n, c in enumerate(cultures)}
        found = cl.NeuronSet(sets, shapes=shapes, metadata={"model": model.name})
        cl.ablation_matrix(
            model, found, evaluate, random_seeds=1, scoring=scoring, seen=True, progress=False
        )


def some_neurons(shape: tuple[int, int], share: float, seed: int) -> Any:
    """Draw neurons, some of them in the first layer, as found sets have them."""
    import torch

    import culture_lens as cl

    layers, width = shape
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(layers * width, generator=draw)[: int(share * layers * width)].tolist()
    places = {(place // width, place % width) for place in [seed, *chosen]}
    return cl.Neurons.of({"act": sorted(places)})


def measured(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Run one pass in this process, and say what it took."""
    import torch

    import culture_lens as cl

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    named, questions, _ = setting(options.pictures, options.limit)
    model = cl.load_model(named, device="cpu")
    counting, counter = nullcontext(), None
    if options.operations:
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.utils.flop_counter import FlopCounterMode

        counting, counter = sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False)
    start = time.process_time()
    with counting, counter or nullcontext():
        run_pass(name, model, questions, options.pictures)
    found = {"seconds": time.process_time() - start, "peak": peak_mib()}
    if counter is not None:
        found["operations"] = counter.get_total_flops()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--operations", action="store_true")
    parser.add_argument("--limit", type=int, default=8, help="questions of each culture")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measured(options.only, options)))
        return
    for name in PASSES:
        words = [sys.executable, *sys.argv, "--only", name]
        print(name, json.loads(subprocess.check_output(words).splitlines()[-1]))


if __name__ == "__main__":
    main()
