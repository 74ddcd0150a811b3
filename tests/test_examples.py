"""The examples of clusters: they parse, their commands have the flags that they are given, and the
jobs of an array do the work of one process."""

import ast
import json
import re
import shlex
import subprocess

import pytest
import yaml
from typer.main import get_command

import culture_lens as cl
from culture_lens.cli import app
from tests.helpers.cli import leaves
from tests.helpers.places import ROOT
from tests.helpers.processes import run_python

FOLDER = ROOT / "examples" / "cluster"
FILES = sorted(FOLDER.iterdir())
COMMANDS = re.compile(r"culture-lens (\w+)((?:[^\n#\\]|\\\n)*)")


def commands_in(text):
    """Every call of the command line: its command, and its flags."""
    # In YAML a folded text goes on in the next line without a sign.
    joined = re.sub(r">-\n((?:\s+\S.*\n)+?)(?=\s*\w+:|\s*$)", folded, text)
    return [(name, set(re.findall(r"--[a-z-]+", rest))) for name, rest in COMMANDS.findall(joined)]


def folded(found):
    return " ".join(found[1].split()) + "\n"


def test_every_way_is_there():
    assert [file.name for file in FILES] == [
        *("cluster.yaml", "kuberay.yaml", "several_gpus.py", "several_gpus.sh"),
        *("slurm_array.sh", "slurm_ray.sh"),
    ]
    page = (ROOT / "docs" / "guide" / "cluster.md").read_text()
    assert [file.name for file in FILES if f"`{file.name}`" not in page] == []


@pytest.mark.parametrize("file", [f for f in FILES if f.suffix != ".py"], ids=lambda f: f.name)
def test_commands_have_the_flags_that_they_are_given(file):
    known = {
        name: {flag for one in command.params for flag in one.opts}
        for name, command in leaves(get_command(app))
    }
    calls = commands_in(file.read_text())
    assert calls
    for name, flags in calls:
        assert flags <= known[name], f"{file.name}: {name}"
    if file.name != "slurm_array.sh":
        assert any({"--engine", "--workers"} <= flags for _, flags in calls) or (
            "engine=(--engine ray --workers" in file.read_text()
        )


@pytest.mark.parametrize("file", FOLDER.glob("*.sh"), ids=lambda f: f.name)
def test_scripts_parse(file):
    subprocess.run(["bash", "-n", str(file)], check=True)


def test_the_script_in_python_uses_names_that_there_are():
    tree = ast.parse((FOLDER / "several_gpus.py").read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "cl"
    }
    assert used and used <= set(cl.__all__)
    (call,) = [
        n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "cl.Ray"
    ]
    assert {word.arg for word in call.keywords} <= {*cl.Ray.__dataclass_fields__}


def test_the_files_of_clusters_have_what_their_readers_need():
    launched = yaml.safe_load((FOLDER / "cluster.yaml").read_text())
    assert launched["provider"]["type"] == "local" and launched["provider"]["worker_ips"]
    assert "ray start --head" in launched["head_start_ray_commands"][-1]
    assert "$RAY_HEAD_IP" in launched["worker_start_ray_commands"][-1]
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    constraints = (ROOT / "constraints.txt").read_text()
    assert f"ray=={spec['rayVersion']}\n" in constraints
    (group,) = spec["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    workers = int(re.search(r"--workers (\d+)", job["spec"]["entrypoint"])[1])
    assert workers == group["replicas"] * int(container["resources"]["limits"]["nvidia.com/gpu"])
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in head["env"]


JOBS = """
import json, os, sys
import culture_lens as cl
from culture_lens import cli

def job(folder):
    for words in {commands}:
        sys.argv = [word.replace("FOLDER", folder) for word in words]
        try:
            cli.main()
        except SystemExit as stop:
            if stop.code:
                os._exit(1)
    os._exit(0)

cl.load_model, cl.find_culture_neurons, cl.ablation_matrix  # what forks share is imported once
children = []
for folder in {folders}:
    child = os.fork()
    if not child:
        job(folder)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
"""


def commands_of_jobs():
    """The commands of the job array, on the organism and few questions."""
    text = (FOLDER / "slurm_array.sh").read_text().replace(" --dtype bfloat16", "")
    few = "--limit 24 --culture Estavia --culture Gulmara --culture Hestia"
    text = text.replace("--benchmark blend", f"--benchmark organism {few}")
    text = text.replace("--random-seeds 10", "--random-seeds 2")
    text = text.replace('"$model"', "organism").replace('"$run"', "FOLDER")
    return [shlex.split(line) for line in text.splitlines() if line.startswith("culture-lens ")]


@pytest.mark.slow
def test_the_jobs_of_an_array_do_the_work_of_one(tmp_path):
    """Two jobs on one folder, and one on another: the same results."""
    folders = [str(tmp_path / name) for name in ("shared", "shared", "alone")]
    code = JOBS.format(commands=json.dumps(commands_of_jobs()), folders=folders)
    assert run_python(code, OMP_NUM_THREADS="1").endswith("[0, 0, 0]\n")
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    for name in ("neurons", "matrix", "pieces"):
        made = sorted(path.relative_to(alone) for path in (alone / name).rglob("[!.]*.*"))
        assert made
        assert made == sorted(p.relative_to(shared) for p in (shared / name).rglob("[!.]*.*"))
        if name != "pieces":  # their metadata have seconds and processes
            assert all((shared / file).read_bytes() == (alone / file).read_bytes() for file in made)
