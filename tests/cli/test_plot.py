"""`culture-lens plot`: every figure of a run, as pages, pictures or numbers."""

from dataclasses import replace

import pandas as pd
import pytest

from culture_lens.selectors import select
from culture_lens.storage.runs import Run
from tests.helpers.cli import run as call
from tests.helpers.results import make_found, make_matrix, make_run
from tests.helpers.summaries import summary_of_counts


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", conact=(make_found(), make_matrix()))


@pytest.mark.slow
def test_every_figure_is_written_in_every_format(run, capsys):
    kinds = ["--format", "html", "--format", "csv", "--width", 3.3]
    code, out, said = call(capsys, "plot", "--run", run.path, *kinds)
    assert code == 0, said
    pages, tables = ({f.stem for f in run.path.glob(f"figures/*.{k}")} for k in ("html", "csv"))
    assert pages == tables == {
        f"conact-{name}"
        for name in ("layers", "overlap", "overlap-beyond-chance", "ablation", "self-cross",
                     "beside-random")
    }  # fmt: skip
    assert '"width":316' in (run.path / "figures" / "conact-layers.html").read_text()
    table = pd.read_csv(run.path / "figures" / "conact-ablation.csv")
    assert len(table) == 9 and table["value"].min() == -0.5


def test_an_unknown_format_is_refused_before_anything_is_drawn(run, capsys):
    code, _, said = call(capsys, "plot", "--run", run.path, "--format", "docx")
    assert code == 2 and "format" in said and "pdf" in said
    assert not (run.path / "figures").exists()
    assert call(capsys, "plot", "--run", run.path, "--width", 0.5)[0] == 2
    assert Run.open(run.path).names("figures", ".html") == []


def test_items_need_to_know_what_was_asked(run, capsys):
    code, _, said = call(capsys, "plot", "--run", run.path, "--items")
    assert code == 2 and "--items" in said and "instances_chart" in said
    assert not (run.path / "figures").exists()


@pytest.mark.slow
def test_scores_are_drawn_of_the_summary_that_chose(run, capsys):
    """A set tells of the pass that it was chosen from; of another pass nothing is drawn."""
    summary = replace(summary_of_counts(), metadata={"model": "hand", "items": 3})
    summary.save(run.named("statistics", "summary", ".safetensors"))
    for name, method in {"lap": "lap", "mine": "conact"}.items():
        select(summary, method, k=1).save(run.named("neurons", name, ".safetensors"))
    other = replace(summary, metadata={**summary.metadata, "items": -1})
    select(other, "conact", k=1).save(run.named("neurons", "old", ".safetensors"))
    assert call(capsys, "plot", "--run", run.path)[0] == 0
    drawn = {file.stem for file in run.path.glob("figures/*.html")}
    assert {"lap-scores", "mine-scores", "rank-agreement"} < drawn
    assert not {"old-scores", "conact-scores"} & drawn
