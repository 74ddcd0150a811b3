"""Files of figures: pictures, pages that send nothing out, and the numbers behind a figure."""

import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from culture_lens import plots
from culture_lens.cli.plot import write_figures
from culture_lens.errors import InputError
from culture_lens.plots.saving import HTML_CONFIG
from culture_lens.report.figures import embed
from culture_lens.storage.runs import Run
from tests.helpers.places import ROOT
from tests.helpers.results import CULTURES, make_found, make_matrix

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
SHARE = re.compile(r'data-title="(Share chart|Send|Edit)[^"]*"')


def sends_nothing(page):
    """The options of every figure in a page take the buttons out that upload."""
    options = re.findall(r"Plotly\.newPlot\(.*?,\s*(\{[^{}]*\})\s*\)", page, re.DOTALL)
    held = [json.loads(one) for one in options]
    assert held
    return all(one["showSendToCloud"] is False and one["displaylogo"] is False for one in held)


def test_no_page_has_a_control_that_uploads(matrix, tmp_path):
    figure = plots.layer_heatmap(make_found())
    assert sends_nothing(plots.save(figure, tmp_path / "one.html").read_text())
    write_figures(Run.open(tmp_path), {"two": figure})
    assert sends_nothing((tmp_path / "figures" / "two.html").read_text())
    assert "sendChartToCloud" in str(embed(plots.ablation_heatmap(matrix), "words")["json"])
    script = (ROOT / "docs" / "assets" / "figures.js").read_text()
    assert "showSendToCloud: false" in script
    assert not sends_nothing(go.Figure().to_html(config={**HTML_CONFIG, "showSendToCloud": True}))


def test_only_one_place_writes_html():
    """Every other writer of pages would need the options too."""
    writers = []
    for file in (ROOT / "culture_lens").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        pages = re.search(r"\.write_html\(|(figure|io)\.to_html\(", text)  # tables have to_html too
        if pages and "config=dict(HTML_CONFIG)" not in text:
            writers.append(file.name)
    assert writers == []


def test_the_figure_itself_takes_the_button_out(matrix):
    """So that a notebook, or anybody's ``figure.write_html``, has none either."""
    for figure in (plots.layer_heatmap(make_found()), plots.paper(plots.ablation_heatmap(matrix))):
        assert "sendChartToCloud" in figure.layout.modebar.remove


@needs_browser
@pytest.mark.slow
def test_in_a_browser_there_is_no_button_to_share(matrix, tmp_path):
    """A figure as a user writes it, and a bare one that shows that the button would be seen."""
    ours = plots.layer_heatmap(make_found()).to_html(full_html=False, include_plotlyjs=False)
    bare = go.Figure(go.Bar(y=[1])).to_html(full_html=False)
    page = tmp_path / "page.html"
    page.write_text(f"<html><body>{bare}{ours}</body></html>")
    seen = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000",
         f"--user-data-dir={tmp_path}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    assert seen.count('data-title="Download plot') == 2
    assert len(SHARE.findall(seen)) == 1


@needs_browser
@pytest.mark.slow
def test_a_picture_is_as_large_as_on_paper(tmp_path):
    from PIL import Image

    pytest.importorskip("kaleido")
    where = plots.save(plots.paper(plots.layer_heatmap(make_found())), tmp_path / "f.png")
    with Image.open(where) as picture:
        assert picture.size[0] == pytest.approx(3.3 * 300, abs=2)
        assert np.asarray(picture.convert("L")).std() > 5  # something is drawn


def test_the_numbers_of_a_heat_map_are_the_table(matrix, tmp_path):
    figure = plots.ablation_heatmap(matrix)
    table = plots.data(figure).pivot(index="y", columns="x", values="value")
    expected = matrix.table("change")
    np.testing.assert_array_equal(table.loc[expected.index, expected.columns], expected)
    read = pd.read_csv(plots.save(figure, tmp_path / "matrix.csv"))
    np.testing.assert_allclose(read["value"], plots.data(figure)["value"])


def test_the_numbers_of_a_chart_have_names_panels_and_intervals(matrix):
    table = plots.data(plots.self_cross_chart(matrix))
    assert set(table["panel"]) == {"self", "cross", "cross_masks"}
    own = table[(table["panel"] == "self") & (table["series"] == "found neurons")]
    held = matrix.summary().loc[CULTURES[0], ["self", "self_low", "self_high"]]
    row = own.set_index("label").loc[CULTURES[0]]
    assert [row["x"], row["x_low"], row["x_high"]] == pytest.approx(list(held))
    assert len(own) == len(CULTURES) + 1


@pytest.mark.parametrize("name", ["figure.docx", "figure", "figure.jpeg"])
def test_other_files_are_refused(name, tmp_path):
    with pytest.raises(InputError):
        plots.save(plots.layer_heatmap(make_found()), tmp_path / name)


def test_a_picture_without_its_extra_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "kaleido", None)
    with pytest.raises(InputError, match=r"culture-lens\[plots\]"):
        plots.save(plots.layer_heatmap(make_found()), tmp_path / "f.pdf")
    assert not list(tmp_path.iterdir())


def test_other_objects_are_no_figures(tmp_path):
    for call in (plots.paper, plots.data, lambda one: plots.save(one, tmp_path / "f.png")):
        with pytest.raises(InputError, match="give a figure"):
            call(make_matrix())
