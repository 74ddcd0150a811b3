"""What `cl.plan` says beside what a run takes: operations, seconds and peak memory.

    python speed/plan.py                       # SmolLM2-135M on everyday
    python speed/plan.py --pictures            # the organism, pictures, letters
    python speed/plan.py --only culnig --cultures 3 --limit 4
    python speed/plan.py --operations          # counted by torch's FlopCounterMode, not timed

Every pass runs in a process of its own: peak memory is that process's highest resident memory.
Seconds are CPU time of one thread, so that other work on the machine matters little. The rates that
the plan takes are measured in the same process right before the pass, on 16 questions at most.
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
    "culnig": {"method": "culnig-specific", "conditions": 0},
    "knowledge": {"method": "knowledge", "conditions": 0},
    "ablate": {"method": None, "random_seeds": 1},
}
"""Pass -> the options of ``plan`` that stand for it."""
LIMITS = {"smollm2-135m": (8, 16), "organism": (8, 32)}
"""Questions of each culture, a small and a large number."""


def run_pass(name: str, model: Any, questions: Any, scoring: str) -> None:
    """Run what a plan's stages stand for."""
    import culture_lens as cl

    identify, evaluate = cl.split_questions(questions)
    quiet = {"scoring": scoring, "progress": False}
    if name == "record":
        cl.summarise(model, identify, progress=False)
    elif name == "attribute":
        cl.attribute(model, identify, **quiet)
    elif name == "culnig":
        cl.culnig_scores(model, identify, **quiet)
    elif name == "knowledge":
        cl.knowledge_scores(model, identify, **quiet)
    else:
        cultures = sorted({question.culture for question in questions})
        options = {"random_seeds": 1, "seen": True, **quiet}
        cl.ablation_matrix(model, drawn(model, cultures), evaluate, **options)


def drawn(model: Any, cultures: list[str]) -> Any:
    """Draw neurons for every culture, half a per cent of them, as no selector is to be timed."""
    import torch

    import culture_lens as cl

    layers, width = model.shape("act")
    sets = {}
    for seed, culture in enumerate(cultures):
        draw = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(layers * width, generator=draw)[: layers * width // 200]
        # One in the first layer, as found sets have them: nothing is skipped.
        places = {(0, seed), *((at // width, at % width) for at in chosen.tolist())}
        sets[culture] = cl.Neurons.of({"act": sorted(places)})
    facts = {"model": model.name, "groups": []}
    return cl.NeuronSet(sets, shapes={"act": model.shape("act")}, metadata=facts)


def compared(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one pass in this process, beside its plan."""
    import torch

    import culture_lens as cl

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    named = model_of(options)
    benchmark, own = ("organism", {"pictures": 1}) if options.pictures else ("everyday", {})
    questions = cl.load_benchmark(benchmark, limit=options.limit, **own)
    names = sorted({question.culture for question in questions})[: options.cultures]
    questions = [question for question in questions if question.culture in names]
    scoring = "letter" if options.pictures else "option_likelihood"
    model = cl.load_model(named, device="cpu")
    rate = cl.measure_rate(model, questions, scoring=scoring, clock=time.process_time)
    model.vision.forget()
    said = cl.plan(named, questions, scoring=scoring, **PASSES[name], **rate.options)
    bare = {key: rate.options[key] for key in ("flops_per_second", "seconds_per_forward")}
    alone = cl.plan(named, questions, scoring=scoring, **PASSES[name], **bare)
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
    found: dict[str, Any] = {"items": int(said.frame["items"].sum()), "seconds": seconds}
    found |= {"planned": said.hours * 3600, "forwards_alone": alone.hours * 3600}
    found |= {"ratio": seconds / found["planned"]}
    found |= {"peak": peak_mib(), "planned_peak": said.peak >> 20}
    found |= {"planned_operations": said.operations}
    if counter is not None:
        found |= {"operations": counter.get_total_flops()}
    return found | rate.options


def model_of(options: argparse.Namespace) -> str:
    """Name the model."""
    return "organism" if options.pictures else "smollm2-135m"


def main() -> None:
    """Print a line for each pass and size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--operations", action="store_true")
    parser.add_argument("--limit", type=int, nargs="+", help="questions of each culture")
    parser.add_argument("--cultures", type=int, help="the first so many; by default all")
    parser.add_argument("--only", nargs="+", choices=PASSES)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    limits = options.limit or LIMITS[model_of(options)]
    if options.here:
        (options.limit,) = limits
        print(json.dumps(compared(options.here, options)))
        return
    flags = [flag for flag in ("--pictures", "--operations") if flag in sys.argv]
    flags += ["--cultures", str(options.cultures)] if options.cultures else []
    for name in options.only or PASSES:
        for limit in limits:
            words = [sys.executable, sys.argv[0], *flags, "--here", name, "--limit", str(limit)]
            found = json.loads(
                subprocess.check_output(words, stderr=subprocess.DEVNULL).splitlines()[-1]
            )
            rounded = {key: float(f"{value:.4g}") for key, value in found.items()}
            print(name, limit, rounded, flush=True)


if __name__ == "__main__":
    main()
