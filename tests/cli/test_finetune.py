"""The commands modules and finetune, on a tiny model."""

import importlib
import re

import pytest
import typer
from typer.testing import CliRunner

import culture_lens as cl
from culture_lens.cli.finetune import finetune as finetune_command
from culture_lens.cli.modules import modules as modules_command
from culture_lens.errors import InputError
from culture_lens.storage.runs import Run
from tests.helpers.finetune import found_on, of
from tests.helpers.marks import quiet

pytestmark = quiet

runner = CliRunner()


def app():
    commands = typer.Typer()
    commands.command()(modules_command)
    commands.command()(finetune_command)
    return commands


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A run folder with neurons, as ``find`` leaves it, and a model that needs no download."""
    model = of("llama")
    run = Run.open(tmp_path / "run")
    found_on(model).save(run.named("neurons", "culnig-general", ".safetensors"))
    run.log("find", {"model": "tiny-llama"})
    # The package's attributes of these names are the commands, not the modules.
    for name in ("finetune", "modules"):
        module = importlib.import_module(f"culture_lens.cli.{name}")
        monkeypatch.setattr(module, "open_model", lambda options: model)
    return tmp_path


def test_modules_command(run_folder):
    done = runner.invoke(app(), ["modules", "--run", str(run_folder / "run"), "--part", "mlp"])
    assert done.exit_code == 0, done.output
    assert "model.layers.1.mlp" in done.output and "self_attn" not in done.output
    assert re.search(r"top: \d\.\d\d% of \d+ parameters: mlp 1\n", done.output)
    words = ["modules", "--run", str(run_folder / "run"), "--unit", "projection"]
    done = runner.invoke(app(), words)
    assert re.search(r"top: \d\.\d\d% of \d+ parameters: gate 1, k 1", done.output), done.output
    done = runner.invoke(app(), [*words[:-1], "layer"])
    assert isinstance(done.exception, InputError) and "'block'" in str(done.exception)
    none = runner.invoke(app(), ["modules", "--run", str(run_folder)])
    assert isinstance(none.exception, InputError)


@pytest.mark.slow
def test_finetune_command(run_folder):
    table = run_folder / "task.csv"
    table.write_text("question,a,b,options,answer\n" + 'Sky?,,,"[""blue"", ""red""]",blue\n' * 4)
    folder = run_folder / "tuned"
    words = ["finetune", str(folder), "--run", str(run_folder / "run"), "--table", str(table)]
    words += ["--scoring", "letter", "--max-steps", "2", "--strategy", "bottom"]
    words += ["--unit", "projection"]
    done = runner.invoke(app(), words)
    assert done.exit_code == 0, done.output
    assert "bottom:" in done.output and "2 steps" in done.output
    assert cl.load_model(folder).fingerprint != of("llama").fingerprint
    options = Run.open(run_folder / "run").steps()[-1]["options"]
    assert (options["strategy"], options["unit"]) == ("bottom", "projection")
    alone = ["finetune", str(run_folder / "b"), "--run", str(run_folder / "none"), *words[4:-3]]
    done = runner.invoke(app(), [*alone, "all"])
    assert done.exit_code == 0, done.output
    assert "(100.00%)" in done.output and not (run_folder / "none").exists()
    for more, told in (
        (["--strategy", "best"], "best"),
        (["--benchmark", "mrpc"], "give the task"),
        (["--method", "conact"], "unknown neuron set 'conact'"),
    ):
        failed = runner.invoke(app(), words + more)
        assert isinstance(failed.exception, InputError) and told in str(failed.exception)
