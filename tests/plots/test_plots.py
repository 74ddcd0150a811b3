"""Figures hold the numbers of the result objects, say what they show, refuse bad input."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.experiments.cell_tests import cell_tests
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.plots import style as look
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import as_estimates
from tests.helpers.results import CULTURES, make_found, make_matrix


def test_layer_heatmap_has_shares_and_counts():
    found = make_found()
    figure = plots.layer_heatmap(found)
    trace = figure.data[0]
    np.testing.assert_array_equal(trace.z, found.layer_share().to_numpy())
    assert list(trace.y) == CULTURES and list(trace.x) == [0, 1, 2, 3]
    assert "1 of 2 neurons" in trace.hovertext[0][0]
    assert "tiny · made · conact · 36 items · site act" in figure.layout.title.subtitle.text


def test_layer_heatmap_names_a_culture_without_neurons():
    found = make_found()
    empty = NeuronSet({**found.neurons, "Iran": Neurons.of({})}, found.shapes, found.metadata)
    assert "Iran (none)" in plots.layer_heatmap(empty).layout.yaxis.ticktext


@pytest.mark.parametrize("what", ["change", "accuracy", "flips"])
@pytest.mark.parametrize("condition", ["found", "random"])
def test_ablation_heatmap_has_the_table(matrix, what, condition):
    figure = plots.ablation_heatmap(matrix, what=what, condition=condition)
    trace = figure.data[0]
    np.testing.assert_array_equal(trace.z, matrix.table(what, condition).to_numpy())
    assert list(trace.x) == list(trace.y) == CULTURES
    estimate = matrix.cell("Ethiopia", "Japan", what, condition)
    assert look.with_interval(estimate, signed=what == "change") in trace.hovertext[0][1]
    assert "95% intervals, clustered" in figure.layout.title.subtitle.text
    if what == "change":
        assert trace.zmin == -trace.zmax


@pytest.mark.parametrize("condition", ["found", "random"])
def test_bold_is_the_interval_and_a_star_the_corrected_test(matrix, condition):
    figure = plots.ablation_heatmap(matrix, condition=condition)
    text = figure.data[0].text
    marks = cell_tests(matrix, condition=condition).set_index(["mask", "culture"])["mark"]
    for (i, mask), (j, culture) in product(enumerate(CULTURES), repeat=2):
        bold = matrix.cell(mask, culture, condition=condition).excludes(0.0)
        assert text[i][j].startswith("<b>") == bold
        assert ("*" in text[i][j]) == (marks[mask, culture] == "*")
    if condition == "found":  # six of twelve answers lost: p = 2/64 each, 0.28 for nine cells
        assert text[0][0] == "<b>\u221250.0</b>" and text[0][1] == "0.0"
    subtitle = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "bold: interval excludes 0 · *: p of at most 0.05, corrected for all" in subtitle


def test_a_star_stands_where_the_corrected_p_is_small():
    """Eighteen of 36 answers lost: p = 2 / 2^18, far below 0.05 / 9."""
    text = plots.ablation_heatmap(make_matrix(items=36)).data[0].text
    assert text[0][0] == "<b>\u221250.0*</b>" and text[0][1] == "0.0"


def test_outlined_cells_and_base(matrix):
    figure = plots.ablation_heatmap(matrix)
    assert [(s.x0, s.y0) for s in figure.layout.shapes] == [(i - 0.5, i - 0.5) for i in range(3)]
    assert all("83%" in label for label in figure.layout.xaxis.ticktext)


@pytest.mark.parametrize("metric", ["self", "cross", "cross_masks"])
def test_self_cross_chart_has_values_and_intervals(matrix, metric):
    figure = plots.self_cross_chart(matrix)
    axis = {"self": "x", "cross": "x2", "cross_masks": "x3"}[metric]
    for condition in ("found", "random"):
        (trace,) = [
            t
            for t in figure.data
            if t.customdata and t.xaxis == axis and t.legendgroup == condition
        ]
        expected = dict(as_estimates(matrix.summary(condition))[metric])
        expected["mean over cultures"] = matrix.overall(metric, condition)
        assert set(trace.customdata) == set(expected)
        for i, name in enumerate(trace.customdata):
            drawn = (
                trace.x[i],
                trace.x[i] - trace.error_x.arrayminus[i],
                trace.x[i] + trace.error_x.array[i],
            )
            estimate = expected[name]
            assert drawn == pytest.approx((estimate.value, estimate.low, estimate.high))


def test_self_cross_chart_without_random_has_no_random(matrix):
    frame = matrix.frame[matrix.frame["condition"] != "random"]
    figure = plots.self_cross_chart(AblationMatrix(frame, matrix.metadata))
    assert {trace.legendgroup for trace in figure.data} == {"found"}


def test_overlap_heatmap_has_overlap_off_the_diagonal():
    found = make_found()
    figure = plots.overlap_heatmap(found)
    expected = found.overlap().to_numpy().copy()
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(figure.data[0].z, expected)
    assert [note.text for note in figure.layout.annotations] == ["2", "3", "4"]


def test_method_comparison_has_overall_metrics(matrix):
    other = make_matrix(seeds=0, items=6)
    figure = plots.method_comparison({"conact": matrix, "lape": other})
    (found,) = [t for t in figure.data if t.customdata and (t.xaxis, t.name[0]) == ("x3", "f")]
    assert list(found.customdata) == ["conact", "lape"]
    assert list(found.x) == [matrix.overall("gap").value, other.overall("gap").value]
    (random,) = [t for t in figure.data if t.customdata and (t.xaxis, t.name[0]) == ("x3", "r")]
    assert list(random.customdata) == ["conact"]
    assert "18\u201336 items" in figure.layout.title.subtitle.text


def test_names_are_data_not_tags():
    names = ["<script>alert(1)</script>", "a & b"]
    figure = plots.ablation_heatmap(make_matrix(names, items=6))
    shown = [*figure.layout.yaxis.ticktext, *figure.layout.xaxis.ticktext]
    shown += [text for row in figure.data[0].hovertext for text in row]
    assert not any("<script" in text for text in shown)
    assert list(figure.data[0].y) == sorted(names)


@pytest.mark.slow
def test_thirty_cultures_are_all_labelled():
    names = [f"Culture {i:02} with a long name indeed" for i in range(30)]
    figure = plots.ablation_heatmap(make_matrix(names, items=2, seeds=0))
    assert len(figure.layout.yaxis.ticktext) == len(figure.layout.xaxis.ticktext) == 30
    assert max(map(len, figure.layout.yaxis.ticktext)) <= look.LONGEST_LABEL
    assert figure.layout.xaxis.tickangle == -90 and figure.layout.height > 600


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.layer_heatmap(NeuronSet({}, {"act": (4, 8)})),
        lambda: plots.layer_heatmap(make_found(), site="gate"),
        lambda: plots.overlap_heatmap(make_found(["Japan"])),
        lambda: plots.ablation_heatmap(make_matrix(["Japan"])),
        lambda: plots.ablation_heatmap(AblationMatrix(pd.DataFrame())),
        lambda: plots.ablation_heatmap(make_matrix(), what="changes"),
        lambda: plots.ablation_heatmap(make_matrix(), condition="unmodified"),
        lambda: plots.ablation_heatmap(make_matrix(seeds=0), condition="random"),
        lambda: plots.self_cross_chart(make_matrix(["Japan"])),
        lambda: plots.self_cross_chart(AblationMatrix(pd.DataFrame())),
        lambda: plots.method_comparison({}),
    ],
)
def test_bad_input_is_refused(draw):
    with pytest.raises(InputError):
        draw()


def test_numbers_are_written_properly():
    assert look.points(-0.2) == "\u221220.0" and look.points(-0.0001) == "0.0"
    assert look.points(float("nan")) == look.percent(float("nan")) == "\u2013"
    assert look.percent(0.333) == "33%"
    assert not look.clear(Estimate(0.1, float("nan"), float("nan")))
    assert look.ticks(-0.27, 0.1) == [-0.2, -0.1, 0.0, 0.1]
