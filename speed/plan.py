"""What `cl.plan` says beside what a run takes: operations, seconds and peak memory.

    python speed/plan.py                       # SmolLM2-135M on everyday
    python speed/plan.py --pictures            # the organism, pictures, letters
    python speed/plan.py --operations          # counted by torch's FlopCounterMode, not timed

Every pass runs in a process of its own: peak memory is that process's highest resident memory.
Seconds are CPU time of one thread, so that other work on the machine matters little; the rate that
the plan takes is measured in the same process right before the pass.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack
from typing import Any

from measure import peak_mib

PASSES = {
    "record": {"method": "conact", "conditions": 0},
    "attribute": {"method": "attribution", "conditions": 0},
    "ablate": {"method": None, "random_seeds": 1},
}
"""Pass -> the options of ``plan`` that stand for it."""


def run_pass(name: str, model: Any, questions: Any, scoring: str) -> None:
    """Run what a plan's stage stands for."""
    import torch

    import culture_lens as cl

    identify, evaluate = cl.split_questions(questions)
    if name == "record":
        cl.summarise(model, identify, progress=False)
    elif name == "attribute":
        cl.attribute(model, identify, scoring=scoring, progress=False)
    else:
        layers, width = model.shape("act")
        sets = {}
        for seed, culture in enumerate(sorted({question.culture for question in questions})):
            draw = torch.Generator().manual_seed(seed)
            chosen = torch.randperm(layers * width, generator=draw)[: layers * width // 200]
            # One in the first layer, as found sets have them: nothing is skipped.
            places = {(0, seed), *((at // width, at % width) for at in chosen.tolist())}
            sets[culture] = cl.Neurons.of({"act": sorted(places)})
        facts = {"model": model.name, "groups": []}
        found = cl.NeuronSet(sets, shapes={"act": model.shape("act")}, metadata=facts)
        options = {"random_seeds": 1, "scoring": scoring, "seen": True, "progress": False}
        cl.ablation_matrix(model, found, evaluate, **options)


def compared(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one pass in this process, beside its plan."""
    import torch

    import culture_lens as cl

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    named = "organism" if options.pictures else "smollm2-135m"
    benchmark, own = ("organism", {"pictures": 1}) if options.pictures else ("everyday", {})
    questions = cl.load_benchmark(benchmark, limit=options.limit, **own)
    scoring = "letter" if options.pictures else "option_likelihood"
    model = cl.load_model(named, device="cpu")
    rate = cl.measure_rate(model, clock=time.process_time)
    said = cl.plan(named, questions, scoring=scoring, **PASSES[name], **rate.options)
    with ExitStack() as stack:
        counter = None
        if options.operations:
            from torch.nn.attention import SDPBackend, sdpa_kernel
            from torch.utils.flop_counter import FlopCounterMode

            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            counter = stack.enter_context(FlopCounterMode(display=False))
        start = time.process_time()
        run_pass(name, model, questions, scoring)
        seconds = time.process_time() - start
    found = {"rate": rate.flops_per_second, "per_forward": rate.seconds_per_forward}
    found |= {"seconds": seconds, "planned_seconds": said.hours * 3600}
    found |= {"peak": peak_mib(), "planned_peak": said.peak >> 20}
    found |= {"planned_operations": said.operations}
    return found if counter is None else found | {"operations": counter.get_total_flops()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--operations", action="store_true")
    parser.add_argument("--limit", type=int, default=8, help="questions of each culture")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(compared(options.only, options)))
        return
    for name in PASSES:
        words = [sys.executable, *sys.argv, "--only", name]
        found = json.loads(subprocess.check_output(words).splitlines()[-1])
        print(name, {key: float(f"{value:.4g}") for key, value in found.items()}, flush=True)


if __name__ == "__main__":
    main()
