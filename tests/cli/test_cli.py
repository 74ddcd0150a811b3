"""The command line on a tiny model: a run folder from find to the page."""

import pytest

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.storage.runs import Run
from tests.helpers.cli import CULTURES, run


@pytest.mark.slow
def test_from_find_to_the_page(capsys, checkpoint, table, tmp_path):
    folder = tmp_path / "run"
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table]
    methods = ["--method", "conact", "--method", "lape"]
    code, out, err = run(
        capsys, "find", "--run", folder, *source, *methods, "--share", "0.05", "--batch-size", 4
    )
    assert code == 0, err
    found = NeuronSet.load(folder / "neurons" / "conact.safetensors")
    assert set(found.cultures) == set(CULTURES)
    assert f"Japan: {len(found['Japan'])} neurons" in out

    code, out, err = run(capsys, "ablate", "--run", folder, "--random-seeds", 1)
    assert code == 0, err
    matrix = AblationMatrix.from_parquet(folder / "matrix" / "conact.parquet")
    assert matrix.has_random
    assert not set(matrix.frame["group"]) & set(found.metadata["groups"])
    assert (folder / "matrix" / "lape.parquet").exists()

    neurons = folder / "neurons" / "conact.safetensors"
    code, out, err = run(
        capsys, "evaluate", "--run", folder, "--neurons", neurons, "--ablate", "Japan"
    )
    assert code == 0, err
    assert (folder / "evaluations" / "table-Japan.parquet").exists()

    code, out, err = run(capsys, "plot", "--run", folder, "--items")
    assert code == 0, err
    drawn = ("conact-ablation", "conact-scores", "lape-scores", "rank-agreement")
    for name in (*drawn, *(f"lape-items-{culture}" for culture in CULTURES)):
        assert (folder / "figures" / f"{name}.html").exists(), name
    assert "thing" in (folder / "figures" / "lape-items-Japan.html").read_text()

    code, out, err = run(capsys, "report", "--run", folder)
    assert code == 0, err
    assert (folder / "report.html").read_text().startswith("<!")

    steps = Run.open(folder).steps()
    assert [step["command"] for step in steps] == ["find", "ablate", "evaluate"]
    assert steps[0]["options"]["share"] == 0.05
    assert "torch" in steps[0]["versions"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["find", "--method", "conac"], ["selector", "'conac'", "conact"]),
        (["find", "--benchmark", "evryday"], ["benchmark", "'evryday'", "everyday"]),
        (["find", "--benchmark", "blend", "--path", "nowhere.csv"], ["nowhere.csv"]),
        (["find", "--model", "no-such-model"], ["no-such-model", "smollm2-135m"]),
        (["find", "--dtype", "float23"], ["float23", "bfloat16"]),
        (["ablate", "--run", "no-such-run"], ["no-such-run", "culture-lens find"]),
        (["evaluate", "--ablate", "Japan"], ["--neurons", "--ablate"]),
        (["find", "--share", "0"], ["share", "(0, 1]"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert not out
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]


def test_bad_input_leaves_no_run_folder_behind(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(capsys, "find", "--method", "conac", "--run", "here")
    assert not (tmp_path / "here").exists()


def test_an_interrupt_says_that_work_is_kept(capsys, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("culture_lens.benchmarks.load_benchmark", interrupted)
    code, _, err = run(capsys, "find", "--run", tmp_path / "run")
    assert code == 130
    assert "kept" in err


@pytest.mark.parametrize(
    "command", ["find", "ablate", "evaluate", "plot", "report", "demo", "models", "benchmarks"]
)
def test_help_has_an_example(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0 and f"culture-lens {command}" in out


def test_lists(capsys):
    code, out, _ = run(capsys, "models")
    assert code == 0 and "Qwen3ForCausalLM" in out and "smollm2-135m" in out
    code, out, _ = run(capsys, "benchmarks")
    assert code == 0 and "everyday" in out and "blend" in out


def test_a_share_of_no_neuron_is_refused_before_the_model_runs(
    capsys, checkpoint, table, tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise AssertionError("the model ran")

    monkeypatch.setattr("culture_lens.activations.record_shards.record_activations", refuse)
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table]
    code, _, err = run(capsys, "find", "--run", tmp_path / "run", *source, "--share", "0.0001")
    assert code == 2 and "0 of 144 neurons" in err


@pytest.mark.slow
def test_ablate_asks_the_cultures_that_find_asked(capsys, checkpoint, table, tmp_path):
    folder = tmp_path / "run"
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table, "--share", "0.05"]
    chosen = ["--culture", "Italy", "--culture", "Japan"]
    assert run(capsys, "find", "--run", folder, *source, *chosen)[0] == 0
    code, _, err = run(capsys, "ablate", "--run", folder, "--random-seeds", 0)
    assert code == 0, err
    matrix = AblationMatrix.from_parquet(folder / "matrix" / "conact.parquet")
    assert matrix.cultures == ("Italy", "Japan")


def test_the_list_of_benchmarks_names_those_with_images(capsys):
    code, out, _ = run(capsys, "benchmarks")
    assert code == 0 and "cvqa" in out and "k_viscuit" in out and "ddehun/k-viscuit" in out
