"""The page and exported figures in a real browser, opened from disk, without a network."""

import re
import unicodedata

import pytest

from culture_lens import plots
from culture_lens.cards.card import NeuronCards
from culture_lens.cli.plot import write_figures
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.report.colours import contrast, on_scale
from culture_lens.report.page import build_report
from culture_lens.storage.runs import Run
from tests.helpers.cards import card
from tests.helpers.results import make_found, make_matrix, make_run

pytestmark = pytest.mark.slow
NASTY = "<img src=x onerror=alert(1)>"
CULTURES = [NASTY, *(f"Land {letter}" for letter in "ABCDEFGH")]
OPEN_ALL = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"
UPLOADS = re.compile(r"share|cloud|studio|upload|send", re.IGNORECASE)


@pytest.fixture(scope="module")
def matrix():
    return make_matrix(CULTURES, items=4, seeds=1)


@pytest.fixture(scope="module")
def page(tmp_path_factory, matrix):
    places = {c: [*((i, j) for j in range(i % 4 + 1)), (15, 5)] for i, c in enumerate(CULTURES)}
    neurons = {culture: Neurons.of({"act": own}) for culture, own in places.items()}
    found = NeuronSet(neurons, {"act": (16, 8)}, matrix.metadata)
    run = make_run(
        tmp_path_factory.mktemp("page"), conact=(found, matrix), lape=(make_found(), None)
    )
    NeuronCards((card(neuron=("act", 0, 0), cultures=(NASTY,)),)).save(
        run.named("cards", "conact", ".html")
    )
    return build_report(run)


def colours(tab):
    """The colours of the first heat map: its paper, and ink and ground of every cell."""
    return tab.run(
        """(() => {
            const [map, ...others] = plots[0]._fullData;
            const text = others.at(-1);
            return {
                drawn: plots[0].dataset.drawn,
                paper: plots[0]._fullLayout.paper_bgcolor,
                scale: map.colorscale.map(([, colour]) => colour),
                limits: [map.zmin, map.zmax],
                cells: [...text.x].map((x, i) => [x, text.y[i], text.textfont.color[i]]),
            };
        })()"""
    )


@pytest.fixture(scope="module")
def tab(browser, page):
    """The page on a wide screen, at first dark, then with all that was closed opened."""
    opened = browser.page(page, dark=True)
    opened.until("undrawn().length === 0")
    opened.dark = colours(opened)
    opened.darken(False)
    opened.run(OPEN_ALL)
    opened.until("plots.every((plot) => plot.dataset.drawn)")
    yield opened
    opened.close()


def buttons(tab):
    return tab.run("[...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title)")


def test_every_figure_is_drawn_and_nothing_is_asked_for(tab, page):
    drawn = tab.run("plots.map((plot) => plot.querySelectorAll('svg.main-svg').length)")
    assert len(drawn) == 6 + 2 and all(drawn)
    assert tab.errors() == []
    assert tab.requests() == [page.resolve().as_uri()]


def test_pictures_say_what_they_show_and_hold_no_buttons(tab):
    told = tab.run("plots.map((p) => p.querySelector('[role=img]').getAttribute('aria-label'))")
    assert len(told) == 8 and all(len(text) > 40 for text in told)
    assert "Mean of the outlined diagonal −50.0 points" in told[0]
    assert tab.run("document.querySelectorAll('[role=img] button, [role=img] a').length") == 0


def test_figures_are_dark_on_a_dark_page_and_cells_can_be_read(tab, matrix):
    light = colours(tab)
    assert (tab.dark["drawn"], light["drawn"]) == ("dark", "light")
    assert contrast(tab.dark["paper"], "#ffffff") > 12 and light["paper"] == "#ffffff"
    table = matrix.table("change")
    for seen in (tab.dark, light):
        assert len(seen["cells"]) == table.size
        for culture, mask, ink in seen["cells"]:
            ground = on_scale(table.loc[mask, culture], *seen["limits"], seen["scale"])
            assert contrast(ink, ground) >= 4.5


def test_a_card_opens_in_its_neuron(tab):
    shown = "document.querySelectorAll('.neuron > details.card')"
    assert tab.run(f"{shown}.length") == 1
    assert tab.run(f"{shown}[0].closest('.neuron').querySelector('b').textContent") == (
        "act, layer 0, neuron 0"
    )
    assert tab.run(f"{shown}[0].querySelector('.tokens').checkVisibility()")


def test_no_control_sends_anything(tab):
    assert len(buttons(tab)) > 8 and not any(map(UPLOADS.search, buttons(tab)))
    assert tab.run("[...document.links].every((a) => a.getAttribute('href').startsWith('#'))")
    assert tab.run("document.querySelectorAll('form[action], iframe, object').length") == 0


def test_names_are_text_in_tables_cards_figures_and_hovers(tab):
    assert tab.run("document.querySelectorAll('img, [onerror]').length") == 0
    tab.run("plots[0].scrollIntoView()")
    tab.hover("plots[0].querySelector('.heatmaplayer')")
    hovered = "plots[0].querySelector('.hoverlayer').textContent"
    tab.until(f"{hovered} !== ''")
    assert f"neurons of {NASTY}" in tab.run(hovered)
    assert tab.run("document.querySelector('[name=culture]').options[1].text") == NASTY
    assert NASTY in tab.run("document.querySelector('.neuron').textContent")


def test_neurons_are_filtered_and_open(tab):
    shown = "[...document.querySelectorAll('.neuron:not([hidden])')]"
    ask = "(([name, value]) => { form.elements[name].value = value; filterNeurons(); })"
    assert tab.run(f"{shown}.length") == 20
    tab.run("form.elements.all.click()")
    everything = tab.run(f"{shown}.length")
    # Of conact layer i has 1 to 4 neurons, and the last one has one of all cultures. Those of lape
    # are the same, but for one in its last layer.
    assert everything == 2 * (1 + 2 + 3 + 4) + 1 + 1 + 1
    tab.run(f"{ask}(['layer', '3'])")
    assert tab.run(f"{shown}.every((n) => n.dataset.layer === '3')")
    assert tab.run(f"{shown}.length") == 4 + 1
    tab.run(f"{ask}(['layer', '']); {ask}(['culture', '2']); {ask}(['selector', '0'])")
    names = tab.run(f"{shown}.map((n) => n.querySelector('b').textContent)")
    assert sorted(names) == sorted(
        [f"act, layer 2, neuron {i}" for i in range(3)] + ["act, layer 15, neuron 5"]
    )
    tab.run(f"{ask}(['search', 'layer 15'])")
    assert tab.run(f"{shown}.length") == 1
    assert "1 shown of 1" in tab.run("form.elements.count.value")
    tab.run(f"for (const n of ['search', 'culture', 'selector']) {ask}([n, ''])")
    assert tab.run(f"{shown}[0].querySelector('table').checkVisibility()")
    tab.run(f"{shown}[0].querySelector('summary').click()")
    assert not tab.run(f"{shown}[0].open")


def test_tables_sort_by_number_both_ways(tab):
    head = "document.querySelector('table').tHead.rows[0].cells"
    name = tab.run(f"[...{head}].map((cell) => cell.textContent)").index("self")
    column = (
        f"[...document.querySelector('table').tBodies[0].rows].map((row) => "
        f"parseFloat(row.cells[{name}].textContent.replace('−', '-')))"
    )
    for rising in (True, False):
        tab.run(f"{head}[{name}].querySelector('button').click()")
        values = tab.run(column)
        assert values == sorted(values, reverse=not rising)
        order = tab.run(f"{head}[{name}].getAttribute('aria-sort')")
        assert order == ("ascending" if rising else "descending")
    tab.run(f"{head}[0].querySelector('button').click()")
    rows = tab.run(
        "[...document.querySelector('table').tBodies[0].rows].map((r) => r.cells[0].textContent)"
    )
    assert sorted(rows) == sorted(CULTURES) and rows[1:] == sorted(rows[1:])


@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_scrolls_sideways(tab, width):
    tab.resize(width)
    assert tab.run("document.documentElement.scrollWidth") <= width


def test_paper_keeps_every_column(tab, tmp_path):
    pdfium = pytest.importorskip("pypdfium2")
    rows = tab.run(
        "[...document.querySelectorAll('section > .scroll tr, section > details > .scroll tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert max(map(len, rows)) == len(CULTURES) + 1
    tab.pdf(tmp_path / "page.pdf")
    with pdfium.PdfDocument(tmp_path / "page.pdf") as document:
        paper = [page.get_textpage() for page in document]
        text = plain(" ".join(page.get_text_range() for page in paper))
        for page in paper:
            page.close()
    for row in rows:
        assert plain("".join(row)) in text, row


def plain(text):
    """Without spaces, which a PDF places as it likes, and without ligatures."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


def test_nothing_else_runs_or_is_loaded(tab):
    """The content policy holds against whatever would get into the page; the last test of it."""
    refused = tab.run(
        """(async () => {
            const refused = [];
            const note = (event) => refused.push(event.effectiveDirective);
            addEventListener("securitypolicyviolation", note);
            const add = (name, own) =>
                document.body.append(Object.assign(document.createElement(name), own));
            add("script", { textContent: "window.ran = true" });
            add("img", { src: "https://example.org/x.png" });
            add("iframe", { src: "https://example.org" });
            document.body.insertAdjacentHTML("beforeend", "<b onclick='window.ran = true'>x</b>");
            document.body.lastChild.click();
            await fetch("https://example.org").catch(() => 0);
            for (let i = 0; i < 250 && refused.length < 5; i++)
                await new Promise((done) => setTimeout(done, 20));
            return [...refused, String(window.ran)];
        })()"""
    )
    assert sorted(refused) == [
        "connect-src", "frame-src", "img-src", "script-src-attr", "script-src-elem", "undefined",
    ]  # fmt: skip


def test_exported_figures_draw_and_upload_nothing(browser, tmp_path, matrix):
    run = Run.open(tmp_path)
    write_figures(run, {"layers": plots.layer_heatmap(make_found())})
    file = run.named("figures", "layers", ".html")
    tab = browser.page(file)
    assert tab.run("document.querySelectorAll('svg.main-svg').length") > 0
    assert len(buttons(tab)) > 3 and not any(map(UPLOADS.search, buttons(tab)))
    beside = file.with_name("plotly.min.js")
    assert tab.requests() == [one.resolve().as_uri() for one in (file, beside)]
    assert tab.errors() == []
    # Without what the style of figures takes out, plotly has such a button.
    tab.run("void Plotly.newPlot(document.body.appendChild(document.createElement('div')), [{}])")
    assert any(map(UPLOADS.search, buttons(tab)))
    tab.close()
