"""The command line on a tiny model: a run folder from find to the page."""

import csv
import json

import pytest

from culture_lens.attribution.culnig import CONTRASTED, CulnigScores
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NeuronScores
from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers.cli import run
from tests.helpers.lm import save_tiny

CULTURES = ("Italy", "Japan", "Mexico")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "questions.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "culture", "question", "a", "b", "c", "answer", "group"])
        for group in range(6):
            for culture in CULTURES:
                options = [f"{c} thing {group}" for c in CULTURES]
                answer = options[CULTURES.index(culture)]
                question = f"What is thing {group} of {culture}?"
                writer.writerow([f"{group}-{culture}", culture, question, *options, answer, group])
    rows = path.with_suffix(".jsonl")
    with path.open() as file, rows.open("w") as out:
        for row in csv.DictReader(file):
            options = [row.pop(name) for name in "abc"]
            out.write(json.dumps({**row, "options": options}) + "\n")
    return str(rows)


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


@pytest.mark.slow
def test_culnig_on_the_organism_takes_the_organisms_own_countryrc(capsys, tmp_path):
    """Its cultures are in no passage; by default and by name."""
    source = ["--benchmark", "organism", "--benchmark-option", "pictures=1", "--limit", 2]
    found = []
    for folder, more in (("default", ()), ("named", ("--countryrc", "organism"))):
        words = ["--model", "organism", *source, "--method", "culnig-specific", "--site", "gate"]
        words += ["--batch-size", 96, "--country", "Avaria", "--country", "Hestia", *more]
        code, _, err = run(capsys, "find", "--run", tmp_path / folder, *words)
        assert code == 0, err
        found.append(NeuronSet.load(tmp_path / folder / "neurons" / "culnig_specific.safetensors"))
        assert found[-1].cultures == ("Avaria", "Hestia") and len(found[-1]["Avaria"]) > 0
    assert found[0]["Avaria"] == found[1]["Avaria"]


GRADIENT = ("--method", "culnig-specific", "--method", "culnig-general")
SHARES = (
    *("--option", "mlp_share=0.05", "--option", "attention_share=0.05", "--option", "z=0.0"),
    *("--option", "countryrc_share=0.0", "--option", "countryrc_mlp_share=0.0"),
    *("--option", "countryrc_attention_share=0.0"),
)


@pytest.mark.slow
def test_culnig_from_find_to_the_page(capsys, checkpoint, table, tmp_path):
    folder = tmp_path / "run"
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table]
    country = ["--country", "Japan", "--country", "Italy"]
    own = tmp_path / "wordings.json"
    layouts = ("{passage}\n{question}\n{options}\n", "{question} {passage}\n{options}")
    own.write_text(json.dumps([{"layout": layout} for layout in layouts]))
    country += ["--countryrc-wordings", own]
    code, out, err = run(capsys, "find", "--run", folder, *source, *GRADIENT, *SHARES, *country)
    assert code == 0, err
    assert "2 wordings of CountryRC, mean Jaccard overlap" in out
    assert "no more than guessing gives" in err  # a random model knows no letters
    scores = {
        name: NeuronScores.load(folder / "scores" / f"{name}.safetensors") for name in CONTRASTED
    }
    assert scores["countryrc"].cultures == ("Italy", "Japan")
    specific = NeuronSet.load(folder / "neurons" / "culnig_specific.safetensors")
    again = select(CulnigScores(**scores), "culnig_specific", z=0.0, countryrc_share=0.0)
    assert {c: n.members() for c, n in specific.neurons.items()} == {
        c: n.members() for c, n in again.neurons.items()
    }
    assert set(specific.cultures) == {"Italy", "Japan"} and specific.metadata["options"]["z"] == 0
    general = NeuronSet.load(folder / "neurons" / "culnig_general.safetensors")
    assert general.cultures == ("general",) and set(general.shapes) == {"gate", "q", "k", "v"}
    assert "general: " in out

    code, out, err = run(
        capsys, "ablate", "--run", folder, "--random-seeds", 1, "--scoring", "letter"
    )
    assert code == 0, err
    assert "mask general" in out and "mean" in out
    code, out, err = run(capsys, "fidelity", "--run", folder, "--neurons", 4)
    assert code == 0, err
    assert "neuron: Pearson" in out and "cell: Pearson" in out
    assert (folder / "fidelity" / "scores.parquet").exists()
    assert (folder / "predicted" / "culnig_general.parquet").exists()
    way = ["--objective", "logit_difference", "--attribution-path", "integrated", "--points", 2]
    code, out, err = run(capsys, "fidelity", "--run", folder, "--neurons", 4, *way)
    assert code == 0 and "predicted change of the logit difference" in out, err
    assert (folder / "fidelity" / "scores-logit_difference-integrated-2.parquet").exists()
    code, out, err = run(capsys, "plot", "--run", folder)
    assert code == 0, err
    for name in ("fidelity-scores", "culnig_general-predicted", "culnig_general-ablation"):
        assert (folder / "figures" / f"{name}.html").exists()
    code, out, err = run(capsys, "report", "--run", folder)
    assert code == 0, err
    page = (folder / "report.html").read_text()
    assert "Attribution compared with ablation" in page
    assert "Stability over wordings" in page and "2 wordings of CountryRC" in page
    assert "culnig_general: mean change over cultures" in page


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "culnig-general", "--share", "0.1"], "no option 'share'"),
        (["--method", "culnig-specific", "--k", "5"], "by shares"),
        (["--method", "culnig-specific", "--only-correct"], "--only-correct"),
        (["--method", "conact", "--country", "Japan"], "--country"),
        (["--method", "conact", "--option", "z=1"], "--option z: no selector of conact has it"),
        (["--method", "culnig-specific", "--option", "z"], "write it as name=value"),
        (["--method", "culnig-specific", "--country", "Peru"], "CountryRC asks about Peru"),
    ],
)
def test_mistakes_with_culnig(capsys, checkpoint, table, tmp_path, options, message):
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table]
    code, _, err = run(capsys, "find", "--run", tmp_path / "run", *source, *options)
    assert code == 2 and message in err


def test_fidelity_needs_scores(capsys, tmp_path):
    (tmp_path / "run").mkdir()
    code, _, err = run(capsys, "fidelity", "--run", tmp_path / "run")
    assert code == 2 and "no such file" in err and "task.safetensors" in err


@pytest.mark.slow
def test_options_of_the_benchmark_are_passed_on_and_remembered(capsys, checkpoint, table, tmp_path):
    folder, rows = tmp_path / "run", table.replace(".jsonl", ".csv")
    own = ['options=["a", "b", "c"]', "id=id", "group=group", "on_bad=skip"]
    chosen = [part for option in own for part in ("--benchmark-option", option)]
    source = ["--model", checkpoint, "--benchmark", "table", "--path", rows, *chosen]
    code, _, err = run(capsys, "find", "--run", folder, *source, "--share", "0.05")
    assert code == 0, err
    assert Run.open(folder).steps()[0]["options"]["benchmark_option"] == own
    found = NeuronSet.load(folder / "neurons" / "conact.safetensors")
    # Without group=group each row would be its own group.
    assert set(found.metadata["groups"]) < {str(n) for n in range(6)}
    for command in (["ablate", "--random-seeds", 0], ["evaluate"]):
        code, _, err = run(capsys, *command, "--run", folder)
        assert code == 0, err
        assert Run.open(folder).steps()[-1]["options"]["benchmark_option"] == own
    matrix = AblationMatrix.from_parquet(folder / "matrix" / "conact.parquet")
    assert set(matrix.frame["group"]) < {str(n) for n in range(6)}


@pytest.mark.slow
def test_fidelity_remembers_options_of_the_benchmark(capsys, checkpoint, table, tmp_path):
    folder, rows = tmp_path / "run", table.replace(".jsonl", ".csv")
    own = ["--benchmark-option", 'options=["a", "b", "c"]', "--benchmark-option", "group=group"]
    source = ["--model", checkpoint, "--benchmark", "table", "--path", rows, *own]
    assert run(capsys, "find", "--run", folder, *source, *GRADIENT, *SHARES)[0] == 0
    code, _, err = run(capsys, "fidelity", "--run", folder, "--neurons", 2)
    assert code == 0, err
    assert len(Run.open(folder).steps()[-1]["options"]["benchmark_option"]) == 2


@pytest.mark.parametrize(
    ("benchmark", "option", "words"),
    [
        ("cvqa", "groping=country", ["'groping'", "did you mean 'grouping'", "min_items"]),
        ("cvqa", "grouping", ["--benchmark-option 'grouping'", "name=value"]),
        ("cvqa", "name=x", ["option of benchmark 'cvqa'", "'name'"]),
        ("cvqa", "path=x", ["option of benchmark 'cvqa'", "'path'"]),
        ("cvqas", "grouping=country", ["unknown benchmark 'cvqas'", "'cvqa'"]),
        ("cvqa", "grouping=town", ["grouping of CVQA 'town'", "language_country"]),
        ("cvqa", "min_items=0", ["min_items=0"]),
    ],
)
def test_mistakes_with_options_of_the_benchmark(capsys, tmp_path, benchmark, option, words):
    rows = tmp_path / "cvqa.json"
    rows.write_text('[{"ID": "1", "image": "", "Subset": "", "Label": 0}]')
    source = ["--benchmark", benchmark, "--path", rows, "--benchmark-option", option]
    code, _, err = run(capsys, "find", "--run", tmp_path / "run", *source)
    assert code == 2
    for word in words:
        assert word in err


def test_the_list_of_benchmarks_names_those_with_images(capsys):
    code, out, _ = run(capsys, "benchmarks")
    assert code == 0 and "cvqa" in out and "k_viscuit" in out and "ddehun/k-viscuit" in out
