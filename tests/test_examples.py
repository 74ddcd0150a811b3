"""The examples of clusters: they parse, and their commands have the flags that they are given."""

import ast
import re
import subprocess

import pytest
import yaml
from typer.main import get_command

import culture_lens as cl
from culture_lens.cli import app
from tests.helpers.cli import leaves
from tests.helpers.places import ROOT

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
