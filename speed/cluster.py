"""Workers of Ray on this machine: the same files whatever their number, and whoever dies; times.

    python speed/cluster.py times --workers 0 1 2 4     # seconds, and the hashes of the files
    python speed/cluster.py times --stages summarise matrix --random-seeds 0 --save found.json
    python speed/cluster.py worker                      # a worker is killed in the middle
    python speed/cluster.py driver --kills 3            # the command itself is killed, and goes on
    python speed/cluster.py nodes                       # two machines, one is cut off in the middle
    python speed/cluster.py jobs --workers 2            # no Ray: processes that share a run folder

Each run is a process of its own, `cluster.py work`, with one thread to each worker. The two
machines of `nodes` are network namespaces, which takes root and `ip`. Every figure has the file's
hashes beside it: they must be those of the run without Ray.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).resolve()
SETTINGS = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0"}


# ------------------------------------------------------------------ one run


def work(args: argparse.Namespace) -> None:
    """Summarise, attribute and ablate; print seconds and hashes as JSON."""
    import torch

    import culture_lens as cl
    from culture_lens.engine.pool import pool_of

    torch.set_num_threads(1)
    model = cl.load_model(args.model)
    questions = cl.load_benchmark(args.benchmark, limit=args.limit)
    identify, held_out = cl.split_questions(questions)
    engine = cl.Ray(args.workers[0], address=args.address) if args.workers[0] else None
    options = {"progress": False, "run": args.folder, "engine": engine}
    begun = time.perf_counter()
    if engine is not None:
        pool_of(model, engine).start()
    seconds = {"start": time.perf_counter() - begun}

    def timed(name: str, call):
        print(name, file=sys.stderr, flush=True)
        begun = time.perf_counter()
        found = call()
        seconds[name] = time.perf_counter() - begun
        return found

    summary = timed("summarise", lambda: cl.summarise(model, identify, **options))
    seeds = {"random_seeds": args.random_seeds}
    with tempfile.TemporaryDirectory() as folder:
        files = [summary.save(Path(folder) / "summary")]
        if "attribute" in args.stages:
            scores = timed("attribute", lambda: cl.attribute(model, identify, **options))
            files.append(scores.save(Path(folder) / "scores"))
        if "matrix" in args.stages:
            found = cl.select(summary, "conact", share=0.005)
            matrix = timed(
                "matrix", lambda: cl.ablation_matrix(model, found, held_out, **seeds, **options)
            )
            files.append(matrix.to_parquet(Path(folder) / "matrix.parquet"))
        hashes = [hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] for file in files]
    print(json.dumps({"seconds": {n: round(s, 2) for n, s in seconds.items()}, "files": hashes}))


def begin(args: argparse.Namespace, workers: int, folder: str | None = None, *more: str, **extra):
    """Begin a run in a process of its own."""
    words = [sys.executable, str(HERE), "work", "--workers", str(workers), *more]
    for name in ("model", "benchmark", "limit", "random-seeds"):
        words += [f"--{name}", str(getattr(args, name.replace("-", "_")))]
    words += ["--stages", *args.stages]
    if folder is not None:
        words += ["--folder", folder]
    environment = {**os.environ, **SETTINGS}
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **extra
    )


def result(process: subprocess.Popen) -> dict:
    """Wait for a run, and give what it printed."""
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"a run failed:\n{err[-3000:]}")
    return json.loads(out.strip().splitlines()[-1])


def say(name: str, found: dict, expected: dict | None = None) -> dict:
    """Print a run beside what its files must be."""
    same = (
        ""
        if expected is None
        else "same files"
        if found["files"] == expected["files"]
        else "OTHER FILES"
    )
    print(f"{name:28} {json.dumps(found['seconds'])} {same}", flush=True)
    return found


# ------------------------------------------------------------------ what is measured


def times(args: argparse.Namespace) -> None:
    """Runs with more and more workers; 0 is this process without Ray."""
    found: list[dict] = []
    for workers in args.workers:
        name = f"{workers} workers" if workers else "in one process"
        made = say(name, result(begin(args, workers)), found[0] if found else None)
        found.append({"workers": workers, **made})
    print("files:", *found[0]["files"])
    if args.save:
        told = {"model": args.model, "cores": os.cpu_count(), "runs": found}
        args.save.write_text(json.dumps(told, indent=1) + "\n")


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes of Ray that hold the model."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [one for one in below if one.name().startswith("ray::Worker")]


def worker(args: argparse.Namespace) -> None:
    """A worker is killed in the middle of each stage."""
    expected = say("in one process", result(begin(args, 0)))
    for stage in ("summarise", "attribute", "matrix"):
        process = begin(args, 2)
        for line in process.stderr:
            if line.strip() == stage:
                break
        time.sleep(args.after)
        victim = random.choice(workers_of(process))
        victim.kill()
        say(f"worker killed in {stage}", result(process), expected)


def driver(args: argparse.Namespace) -> None:
    """The command is killed at random moments, and given again until it comes to its end."""
    expected = say("in one process", result(begin(args, 0)))
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.kills):
            process = begin(args, 2, folder)
            for line in process.stderr:
                if line.strip() == "summarise":
                    break
            time.sleep(random.uniform(0, args.after))
            process.send_signal(signal.SIGKILL)
            process.wait()
            files = len([file for file in Path(folder).rglob("pieces/**/*") if file.is_file()])
            print(f"killed with {files} files", flush=True)
        say("given again", result(begin(args, 2, folder)), expected)


def jobs(args: argparse.Namespace) -> None:
    """Processes without Ray share a run folder."""
    expected = say("in one process", result(begin(args, 0)))
    for number in args.workers:
        with tempfile.TemporaryDirectory() as folder:
            for process in [begin(args, 0, folder) for _ in range(number)]:
                say(f"one of {number} processes", result(process), expected)


# ------------------------------------------------------------------ two machines


NAMESPACES = ("cl-one", "cl-two")
ADDRESS = "10.213.7.{}"


def shell(command: str, check: bool = True) -> None:
    """Run a command of the system."""
    subprocess.run(command.split(), check=check, capture_output=True)


def nodes(args: argparse.Namespace) -> None:
    """Two machines that see each other through one cable, which is cut in the middle."""
    expected = say("in one process", result(begin(args, 0)))
    ray = str(Path(sys.executable).parent / "ray")
    try:
        for number, name in enumerate(NAMESPACES, 1):
            shell(f"ip netns add {name}")
            if number == 1:
                shell(f"ip link add cl-v1 netns {NAMESPACES[0]} type veth peer name cl-v2")
            else:
                shell(f"ip link set cl-v2 netns {name}")
            shell(f"ip -n {name} addr add {ADDRESS.format(number)}/24 dev cl-v{number}")
            shell(f"ip -n {name} link set lo up")
            shell(f"ip -n {name} link set cl-v{number} up")
        head = f"{ADDRESS.format(1)}:6399"
        start = f"{ray} start --num-cpus 1 --disable-usage-stats"
        common = f"--object-store-memory 200000000 --node-ip-address {ADDRESS}"
        one, two = (f"ip netns exec {name}".split() for name in NAMESPACES)
        # The namespaces see nobody else; a token would have to be copied to each machine.
        os.environ["RAY_AUTH_MODE"] = "disabled"
        environment = {**os.environ, **SETTINGS}
        for prefix, words in (
            (one, f"{start} {common.format(1)} --head --port 6399 --include-dashboard=false"),
            (two, f"{start} {common.format(2)} --address {head}"),
        ):
            subprocess.run([*prefix, *words.split()], check=True, env=environment)
        process = begin(args, 2, None, "--address", head, "--prefix", NAMESPACES[0])
        for line in process.stderr:
            if line.strip() == "matrix":
                break
        time.sleep(args.after)
        shell(f"ip -n {NAMESPACES[1]} link set cl-v2 down")
        print("cut off", flush=True)
        say("one of two machines cut off", result(process), expected)
    finally:
        for name in NAMESPACES:
            held = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for number in held.stdout.split():
                os.kill(int(number), signal.SIGKILL)
            shell(f"ip netns del {name}", check=False)


def main() -> None:
    """Read the options."""
    commands = {one.__name__: one for one in (times, worker, driver, jobs, nodes, work)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=commands)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--benchmark", default="everyday")
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--stages", nargs="+", default=["summarise", "attribute", "matrix"])
    parser.add_argument("--random-seeds", type=int, default=1)
    parser.add_argument("--save", type=Path, help="A JSON file for the times.")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--after", type=float, default=3.0, help="Seconds into a stage.")
    parser.add_argument("--folder")
    parser.add_argument("--address")
    parser.add_argument("--prefix", help="The network namespace in which to run.")
    args = parser.parse_args()
    if args.prefix:
        enter(args.prefix)
    commands[args.what](args)


def enter(name: str) -> None:
    """Go into a network namespace."""
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    with open(f"/var/run/netns/{name}") as file:
        if libc.setns(file.fileno(), 0):
            raise SystemExit(f"cannot enter the network namespace {name}.")


if __name__ == "__main__":
    main()
