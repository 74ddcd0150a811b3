"""Figures for print: width, letters of at least 6 points, what gives way, and nothing changed."""

import json

import numpy as np
import pandas as pd
import pytest

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.plots.fitting import SMALL, wide, wrapped
from tests.helpers.comparison import compared_by_hand
from tests.helpers.results import CULTURES, METADATA, make_found, make_matrix

LONG = [f"Spain, Basque Country (Euskara speaking), {i}" for i in range(25)]


def large_set():
    """25 cultures with CVQA's longest name, 40 layers, one culture without neurons."""
    source = np.random.default_rng(0)
    places = {
        name: [(int(layer), i) for i, layer in enumerate(source.integers(0, 40, 30))]
        for name in LONG[:-1]
    }
    neurons = {name: Neurons.of({"act": own}) for name, own in places.items()}
    return NeuronSet({**neurons, LONG[-1]: Neurons.of({})}, {"act": (40, 64)}, METADATA)


def sizes(part):
    """Every font size in a layout."""
    if isinstance(part, dict):
        own = [part["font"]["size"]] if "size" in part.get("font", {}) else []
        own += [part["tickfont"]["size"]] if "size" in part.get("tickfont", {}) else []
        return own + [size for one in part.values() for size in sizes(one)]
    if isinstance(part, (list, tuple)):
        return [size for one in part for size in sizes(one)]
    return []


def test_a_column_is_3_3_inches_and_no_letter_is_below_6_points(matrix):
    for figure in (
        plots.self_cross_chart(matrix),
        plots.overlap_heatmap(make_found()),
        plots.beside_random_heatmap(matrix),
    ):
        before = json.loads(figure.to_json())
        printed = plots.paper(figure)
        assert printed.layout.width == pytest.approx(3.3 * 96)
        found = sizes(printed.to_plotly_json()["layout"])
        assert len(found) >= 4 and min(found) >= SMALL == 8.0
        for trace in printed.data:
            if trace.type == "heatmap" and trace.textfont.size is not None:
                assert trace.textfont.size >= 7
        assert printed.layout.title.text is None
        assert json.loads(figure.to_json()) == before
        pd.testing.assert_frame_equal(plots.data(printed), plots.data(figure))


def test_25_cultures_have_a_line_each():
    found = large_set()
    printed = plots.paper(plots.layer_heatmap(found))
    margin = printed.layout.margin
    rows = (printed.layout.height - margin.t - margin.b) / 25
    assert rows >= 1.1 * SMALL
    assert len(printed.layout.yaxis.ticktext) == 25
    assert max(map(wide, printed.layout.yaxis.ticktext)) <= 0.45 * printed.layout.width
    # the culture without neurons is hatched, and not 0
    assert np.isnan(printed.data[0].z[-1]).all() and not np.isnan(printed.data[0].z[:-1]).any()
    assert sum(shape.type == "path" for shape in printed.layout.shapes) == 2


@pytest.mark.slow
def test_where_numbers_do_not_fit_their_stars_stay():
    names = [f"Culture {i:02}" for i in range(18)]
    figure = plots.ablation_heatmap(make_matrix(names, items=30, seeds=0))
    starred = ["*" in text for row in figure.data[0].text for text in row]
    small = plots.paper(figure).data[0]
    kept = [text for row in small.text for text in row]
    assert any(starred) and [text != "" for text in kept] == starred
    assert set(kept) == {"", "<b>*</b>"} and small.textfont.size == SMALL
    large = plots.paper(figure, 20.0).data[0]
    assert [text for row in large.text for text in row] == [
        text for row in figure.data[0].text for text in row
    ]


def test_a_title_may_be_kept(matrix):
    figure = plots.ablation_heatmap(matrix)
    kept, without = plots.paper(figure, title=True), plots.paper(figure)
    assert kept.layout.title.text.replace("<br>", " ") == figure.layout.title.text
    assert kept.layout.margin.t > without.layout.margin.t
    assert all(wide(line) <= 317 for line in kept.layout.title.subtitle.text.split("<br>"))
    assert plots.paper(figure, height=4.0).layout.height == pytest.approx(4 * 96)


def test_the_bar_over_several_panels_keeps_its_numbers(matrix):
    bar = plots.paper(plots.beside_random_heatmap(matrix)).data[-1].colorbar
    assert len(bar.tickvals) >= 3 and 0 in bar.tickvals and bar.orientation == "h"


def test_words_are_broken_and_long_ones_at_underscores():
    assert wrapped("one two three", 40.0, 10.0) == "one two<br>three"
    assert wrapped("<b>one two</b>", 22.0, 10.0) == "<b>one</b><br><b>two</b>"
    assert wrapped("untouched", 500.0) == "untouched"


@pytest.mark.parametrize("width", [0.0, 1.9, 21.0, float("nan"), float("inf")])
def test_an_impossible_width_is_refused(width):
    with pytest.raises(InputError, match="inches"):
        plots.paper(plots.layer_heatmap(make_found()), width)


def test_scales_are_fixed_where_shares_are_compared(matrix):
    for what in ("accuracy", "flips", "p_gold"):
        trace = plots.ablation_heatmap(matrix, what=what).data[0]
        assert (trace.zmin, trace.zmax) == (0.0, 1.0)
    trace = plots.ablation_heatmap(matrix, range=(-0.8, 0.8)).data[0]
    assert (trace.zmin, trace.zmax) == (-0.8, 0.8)
    trace = plots.layer_heatmap(make_found(), range=(0, 1)).data[0]
    assert (trace.zmin, trace.zmax) == (0.0, 1.0)
    trace = plots.overlap_heatmap(make_found(), range=(0, 0.9)).data[0]
    assert (trace.zmin, trace.zmax) == (0.0, 0.9)
    for figure in (
        plots.self_cross_chart(matrix, range=(-1, 0.2)),
        plots.method_comparison({"a": matrix}, range=(-1, 0.2)),
        plots.layer_profile_chart(compared_by_hand(), range=(-1, 0.2)),
    ):
        assert figure.layout.xaxis.range == (-1.0, 0.2)
    with pytest.raises(InputError, match="in the middle"):
        plots.ablation_heatmap(matrix, range=(-0.1, 0.3))
    for wrong in ((0.3, 0.1), (0, float("nan")), 0.3, "01", (1, 2, 3)):
        with pytest.raises(InputError, match="range"):
            plots.layer_heatmap(make_found(), range=wrong)


def test_cells_that_were_not_asked_are_hatched(matrix):
    frame = matrix.frame
    gone = (frame["mask"] == CULTURES[0]) & (frame["culture"] == CULTURES[1])
    figure = plots.ablation_heatmap(type(matrix)(frame[~gone], matrix.metadata))
    squares, lines = [shape for shape in figure.layout.shapes if shape.type == "path"]
    assert squares.path == "M0.5,-0.5L1.5,-0.5L1.5,0.5L0.5,0.5Z"
    assert lines.path.count("M") == 3 and lines.layer == squares.layer == "below"
    assert figure.data[0].text[0][1] == ""
    assert not any(shape.type == "path" for shape in plots.ablation_heatmap(matrix).layout.shapes)
