"""The command compare: a file as Python's call gives, and figures."""

import pandas as pd
import pytest

from culture_lens.benchmarks import load_benchmark
from culture_lens.experiments.comparison import Comparison, compare_selectors
from culture_lens.storage.display import format_table
from tests.helpers.marks import QUIET


@pytest.mark.slow
def test_compare_is_that_of_python_and_is_drawn(run, folder, place, model):
    rows = place / "rows.jsonl"
    words = ["--path", rows, "--method", "conact", "--method", "random", "--random-seeds", 2]
    words += ["--share", 0.05, "--share", 0.2, "--whose", "Japan", "--whose", "Italy"]
    code, out, err = run("compare", *words, "--scoring", "letter", "--per-culture", 3)
    assert code == 0, err
    # The benchmark and its limit are those of `find`.
    expected = compare_selectors(
        model, load_benchmark("table", rows, limit=5), ["conact", "random"],
        shares=[0.05, 0.2], cultures=["Japan", "Italy"], random_seeds=2, scoring="letter",
        summary_options={"per_culture": 3}, **QUIET,
    )  # fmt: skip
    written = Comparison.from_parquet(folder.path / "comparison" / "table.parquet")
    pd.testing.assert_frame_equal(written.frame, expected.frame)
    assert written.metadata["layers"] == expected.metadata["layers"]
    assert format_table(expected.table()).to_string(index=False) in out
    figures = [
        folder.named("figures", f"table-{condition}", ".html")
        for condition in ("comparison", "comparison-layers")
    ]
    for figure in figures:
        assert str(figure) in out and "plotly" in figure.read_text()
        figure.unlink()
    code, out, err = run("plot")
    assert code == 0, err
    assert all(figure.exists() and str(figure) in out for figure in figures)
