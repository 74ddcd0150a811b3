"""Options of a benchmark on the command line: passed on, remembered, refused."""

import pytest

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.storage.runs import Run
from tests.helpers.cli import run


@pytest.mark.slow
def test_options_of_the_benchmark_are_passed_on_and_remembered(
    capsys, checkpoint, table_of_columns, tmp_path
):
    folder = tmp_path / "run"
    own = ['options=["a", "b", "c"]', "id=id", "group=group", "on_bad=skip"]
    chosen = [part for option in own for part in ("--benchmark-option", option)]
    source = ["--model", checkpoint, "--benchmark", "table", "--path", table_of_columns, *chosen]
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
