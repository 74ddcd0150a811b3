"""The command compare-units, and heads as the units of find and ablate."""

import pandas as pd
import pytest

import culture_lens as cl
from culture_lens.experiments.units_compared import UnitsComparison
from culture_lens.storage.display import format_table
from tests.helpers.marks import QUIET

pytestmark = pytest.mark.slow


def test_a_comparison_is_that_of_python_and_is_drawn(run, folder, place, model):
    questions = cl.load_benchmark("table", place / "rows.jsonl", limit=5)
    identify, _ = cl.split_questions(questions)
    directions = cl.fit_directions(model, identify, layer=1, **QUIET)
    file = directions.save(folder.named("directions", "mine", ".safetensors"))
    words = ["--path", place / "rows.jsonl", "--heads", "--unit", "act:conact", "--unit"]
    words += ["head:mad", "--directions", file, "--k", 2, "--equal", "norm", "--random-seeds", 1]
    code, out, err = run("compare-units", *words, "--scoring", "letter")
    assert code == 0, err
    expected = cl.compare_units(
        cl.with_heads(model),
        questions,
        {"act:conact": ("act", "conact"), "head:mad": ("head", "mad"), "mine": directions},
        k=2, equal="norm", random_seeds=1, scoring="letter", **QUIET,
    )  # fmt: skip
    written = UnitsComparison.from_parquet(folder.path / "units" / "table-norm.parquet")
    pd.testing.assert_frame_equal(written.frame, expected.frame)
    assert written.metadata == expected.metadata
    assert format_table(expected.table()).to_string(index=False) in out
    figure = folder.named("figures", "table-norm-units", ".html")
    assert str(figure) in out
    figure.unlink()
    code, out, err = run("plot")
    assert code == 0 and figure.exists() and str(figure) in out, err


def test_heads_are_found_and_remembered_as_units(run, folder, place, model):
    words = ["--benchmark", "table", "--path", place / "rows.jsonl", "--limit", 5]
    words += ["--model", place / "llama", "--heads", "--site", "head", "--method", "mad"]
    code, _, err = run("find", *words, "--k", 2)
    assert code == 0, err
    questions = cl.load_benchmark("table", place / "rows.jsonl", limit=5)
    with_heads = cl.with_heads(model)
    expected = cl.find_culture_neurons(
        with_heads, questions, method="mad", sites="head", k=2, **QUIET
    )
    found = cl.NeuronSet.load(folder.named("neurons", "mad", ".safetensors"))
    assert {c: found[c].members() for c in found} == {c: expected[c].members() for c in expected}
    assert {site for c in found for site, _, _ in found[c].members()} == {"head"}
    # The run folder remembers --heads.
    code, _, err = run("ablate", "--method", "mad", "--random-seeds", 0, "--scoring", "letter")
    assert code == 0, err
    matrix = cl.AblationMatrix.from_parquet(folder.named("matrix", "mad", ".parquet"))
    own = cl.ablation_matrix(
        with_heads, expected, questions, random_seeds=0, scoring="letter", **QUIET
    )
    pd.testing.assert_frame_equal(matrix.frame, own.frame)
