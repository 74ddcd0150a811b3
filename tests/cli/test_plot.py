"""`culture-lens plot`: every figure of a run, as pages, pictures or numbers."""

import pandas as pd
import pytest

from culture_lens.storage.runs import Run
from tests.helpers.cli import run as call
from tests.helpers.results import make_found, make_matrix, make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", conact=(make_found(), make_matrix()))


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
