"""A run that is killed at random moments and goes on must end in the files of one that was not.

    PYTHONPATH=. python speed/killed_runs.py --runs 20 --kills 20

The run finds neurons by activations and by gradients, makes an ablation matrix and a suite, trains
with checkpoints, and compares strategies of training, on a tiny model, all in one run folder.
First ``--runs`` runs are killed by SIGKILL at one random moment each, and go on to their end. Then
one run is killed ``--kills`` times, each time soon after it went on, before it may end. Every
finished folder is compared with an undisturbed one: final files byte by byte, pieces by content.
Dates, seconds and process numbers differ (run.json, work/, metadata of pieces); nothing else may.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import torch

import culture_lens as cl
from culture_lens.finetune import finetune
from culture_lens.storage.files import load_tensors
from culture_lens.storage.finished import read_frame
from culture_lens.storage.runs import Run
from tests.helpers.damage import frame_of, tensors_of
from tests.helpers.lm import lens
from tests.helpers.questions import asked_twice, toy_questions

OWN = ("pieces", "work", "run.json", ".run.json.lock")
"""What has dates, seconds or process numbers in it."""
TRAINING = {"scoring": "letter", "learning_rate": 1e-2, "progress": False, "batch_size": 4}


def fill(folder: Path) -> None:
    """Do the whole run; what is finished is found again."""
    model, run = lens("llama"), Run.open(folder)
    asked = asked_twice(toy_questions())
    how = {"progress": False, "run": run, "batch_size": 4}
    about = [replace(q, id=f"passage {q.id}", benchmark="passages") for q in toy_questions()]
    summary = cl.summarise(model, asked, **how)
    known = cl.knowledge_scores(model, asked, countryrc=about, path="none", **how)
    for name, scores in (("conact", summary), ("knowledge", known)):
        found = cl.select(scores, name, k=5)
        found.save(run.named("neurons", name, ".safetensors"))
    run.log("find", {"k": 5})
    answering = {**how, "scoring": "letter", "random_seeds": 1, "seen": True}
    matrix = cl.ablation_matrix(model, found, asked, **answering)
    matrix.to_parquet(run.named("matrix", "knowledge", ".parquet"))
    suite = cl.evaluate_suite(model, found, {"toy": toy_questions()}, **answering)
    suite.to_parquet(run.named("suite", "suite", ".parquet"))
    run.log("suite", {})
    tuned = folder / "tuned"
    if not (tuned / "model.safetensors").exists():
        modules = cl.choose_modules(cl.rank_modules(found, model), parameter_share=0.3)
        finetune(model, asked, modules, folder=tuned, save_every=1, max_steps=4, seed=0, **TRAINING)
    study = cl.compare_strategies(
        model, found, asked[:8], asked[16:], task_test=asked[8:16], strategies=("top", "all"),
        seeds=(0,), max_steps=1, run=run, seen=True, **TRAINING,
    )  # fmt: skip
    study.to_parquet(run.named("forgetting", "study", ".parquet"))
    run.log("finetune", {})


def attempt(folder: Path, wait: float | None = None) -> bool:
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


def final_files(folder: Path) -> dict[str, bytes]:
    """Give the bytes of all final files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: p.read_bytes() for name, p in named.items() if not name.startswith(OWN)}


def pieces(folder: Path) -> dict[str, object]:
    """Give the content of all pieces, without seconds and process numbers."""
    found: dict[str, object] = {}
    for path in (folder / "pieces").rglob("*.*"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".parquet":
            found[name] = frame_of(read_frame(path))
        elif path.suffix == ".safetensors":
            found[name] = tensors_of(load_tensors(path)[0])
        else:
            found[name] = "left over"
    return found


def differences(one: Path, other: Path) -> list[str]:
    """List the files in which two folders differ, and what should not be there."""
    held = {**final_files(one), **pieces(one)}, {**final_files(other), **pieces(other)}
    names = held[0].keys() | held[1].keys()
    found = sorted(name for name in names if held[0].get(name) != held[1].get(name))
    steps = [[step["command"] for step in Run(folder).steps()] for folder in (one, other)]
    lost = [] if set(steps[0]) == set(steps[1]) else ["run.json"]
    return found + lost + list(cl.run_status(other, check=True).damaged or {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20, help="Runs that are killed once.")
    parser.add_argument("--kills", type=int, default=20, help="Kills of one run.")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lens("llama")  # loaded once, for every process
    draws = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as home:
        plain, again, hit = (Path(home) / name for name in ("plain", "again", "hit"))
        attempt(plain)
        began = time.perf_counter()
        attempt(again)
        longest = time.perf_counter() - began
        print(f"undisturbed twice, {longest:.1f} s: differ in {differences(plain, again)}")
        print(f"{len(final_files(plain))} final files, {len(pieces(plain))} pieces", flush=True)
        half_written = 0
        number = 0
        while number < given.runs:
            moment = draws.uniform(0.0, longest)
            if attempt(hit, moment):  # it was over before
                shutil.rmtree(hit)
                continue
            number += 1
            half_written += len(list(hit.rglob("*.part")))
            attempt(hit)
            found = differences(plain, hit)
            print(f"run {number}: killed after {moment:.2f} s, differs in {found}", flush=True)
            shutil.rmtree(hit)
        killed = 0
        while killed < given.kills:
            # Long enough to finish a little, short enough not to end.
            killed += not attempt(hit, draws.uniform(0.0, longest / 6))
        attempt(hit)
        print(f"one run, killed {killed} times: differs in {differences(plain, hit)}")
        print(f"{half_written} half-written files seen after kills", flush=True)


if __name__ == "__main__":
    main()
