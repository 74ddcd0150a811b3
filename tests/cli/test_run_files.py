"""Commands write inside the run folder, each result under its own name, and join what belongs."""

import pytest

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from tests.helpers.cli import run as call


@pytest.fixture
def ablate(capsys, folder, place):
    def run(*words):
        rows = ("--path", place / "rows.jsonl", "--random-seeds", 0)
        return call(capsys, "ablate", "--run", folder.path, *rows, *words)

    return run


@pytest.mark.parametrize("method", ["../../outside", "/outside", "..", "a/b", "lape"])
def test_a_method_is_a_set_of_the_run_folder(ablate, folder, method, tmp_path):
    source = folder.named("neurons", "conact", ".safetensors")
    (tmp_path / "outside.safetensors").write_bytes(source.read_bytes())
    before = sorted(path for path in tmp_path.rglob("*") if path.name != ".run.json.lock")
    code, _, said = ablate("--method", method)
    assert code == 2 and f"unknown neuron set {method!r}" in said and "conact" in said
    assert "Traceback" not in said
    assert sorted(p for p in tmp_path.rglob("*") if p.name != ".run.json.lock") == before


@pytest.mark.slow
def test_another_value_does_not_replace_the_matrix_of_zero(ablate, folder, capsys):
    assert ablate()[0] == 0
    zero = folder.named("matrix", "conact", ".parquet").read_bytes()
    code, out, _ = ablate("--value", "double")
    assert code == 0 and "conact-double.parquet" in out
    assert folder.named("matrix", "conact", ".parquet").read_bytes() == zero
    double = AblationMatrix.from_parquet(folder.named("matrix", "conact-double", ".parquet"))
    assert double.metadata["value"] == "double"
    assert call(capsys, "report", "--run", folder.path)[0] == 0


@pytest.mark.slow
def test_figures_of_an_old_matrix_are_not_drawn(ablate, folder, capsys, found):
    assert ablate()[0] == 0
    other = {culture: Neurons.of({"act": [(0, 1)]}) for culture in found}
    NeuronSet(other, found.shapes, found.metadata).save(
        folder.named("neurons", "conact", ".safetensors")
    )
    code, out, said = call(capsys, "plot", "--run", folder.path)
    assert code == 0 and "conact-layers.html" in out and "conact-ablation" not in out
    assert "matrix/conact.parquet is of other neurons" in said


@pytest.mark.slow
def test_a_culture_with_a_slash_stays_in_the_folder(capsys, folder, place, tmp_path):
    rows = (place / "rows.jsonl").read_text().replace("Japan", "../../up")
    (tmp_path / "rows.jsonl").write_text(rows)
    own = NeuronSet({"../../up": Neurons.of({"act": [(0, 1)]})}, {"act": (3, 48)}, {})
    own.save(tmp_path / "own.safetensors")
    words = ("--path", tmp_path / "rows.jsonl", "--neurons", tmp_path / "own.safetensors")
    code, out, said = call(capsys, "evaluate", "--run", folder.path, *words, "--ablate", "../../up")
    assert code == 0, said
    (written,) = (folder.path / "evaluations").iterdir()
    assert written.name == "table-..%2F..%2Fup.parquet" and written.name in out
    assert folder.names("evaluations", ".parquet") == ["table-../../up"]
