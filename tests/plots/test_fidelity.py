"""Figures of predicted effects hold the numbers of the objects, and stay readable."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.experiments.ablation_fidelity import matrix_fidelity
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.predicted_matrix import PredictedMatrix
from culture_lens.neurons.neuron_set import Neurons, NeuronSet
from culture_lens.plots import fidelity as drawing
from culture_lens.plots import heatmap as heatmaps
from culture_lens.plots import point_labels
from culture_lens.plots import style as look
from culture_lens.statistics.estimates import Estimate
from tests.plots.test_plots import CULTURES, METADATA, make_found, make_matrix


def make_fidelity(scale=1.0, kinds=("neuron", "set"), units=6):
    """Units whose measured change is half of the predicted one, and noise of each item."""
    source = np.random.default_rng(0)
    names = {
        "neuron": [f"gate 1.{i}" for i in range(units)],
        "set": [f"{w} {s}%" for s in ("0.01", "0.1", "1") for w in ("top", "random")][:units],
        "cell": [f"{m} on {c}" for m in ("Iran", "Japan") for c in ("Iran", "Japan", "Spain")],
    }
    rows = []
    for kind in kinds:
        for number, unit in enumerate(names[kind]):
            for item in range(12):
                noise = source.normal(0, 0.02, 2)
                rows.append(
                    {
                        "id": f"q{item}",
                        "culture": unit.split(" on ")[-1] if kind == "cell" else "Japan",
                        "group": f"g{item // 2}",
                        "p_gold": 0.4,
                        "unit": unit,
                        "kind": kind,
                        "size": 1 if kind == "neuron" else 10 * number + 7,
                        "score": number / 10 if kind == "neuron" else float("nan"),
                        "predicted": scale * (-0.1 * number + noise[0]),
                        "measured": scale * (-0.05 * number + noise[1]),
                    }
                )
    return Fidelity(pd.DataFrame(rows), {"model": "org/tiny", "benchmark": "made", "items": 12})


def make_predicted(matrix, factor=2.0):
    """A prediction that is twice what the matrix has measured, item by item."""
    base = matrix.frame[matrix.frame["condition"] == "unmodified"].set_index("id")["p_gold"]
    found = matrix.frame[matrix.frame["condition"] == "found"]
    change = found["p_gold"] - found["id"].map(base)
    frame = found[["mask", "id", "culture", "group"]].assign(predicted=factor * change, p_gold=0.5)
    sizes = {mask: 5 for mask in matrix.masks}
    return PredictedMatrix(frame.reset_index(drop=True), dict(METADATA, items=36, neurons=sizes))


@pytest.fixture(scope="module")
def matrix():
    sizes = {culture: 5 for culture in CULTURES}
    return make_matrix(scoring="letter", value="zero", neurons=sizes)


def general(matrix):
    """The same records as if one set had been ablated, of culture-general neurons."""
    frame = matrix.frame[matrix.frame["mask"].isin(["", "Japan"])]
    frame = frame.assign(mask=frame["mask"].replace("Japan", "general"))
    return AblationMatrix(frame, {**matrix.metadata, "neurons": {"general": 5}})


def drawn(figure, axis):
    return [t for t in figure.data if t.customdata and t.xaxis == axis]


# ------------------------------------------------------------------ fidelity_chart


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e-9])
def test_points_and_intervals_are_those_of_the_units(scale):
    fidelity = make_fidelity(scale, ("neuron", "set", "cell"))
    figure = plots.fidelity_chart(fidelity)
    for kind, axis in (("neuron", "x"), ("set", "x2"), ("cell", "x3")):
        table = fidelity.units(kind)
        seen = []
        for trace in drawn(figure, axis):
            for i, unit in enumerate(trace.customdata):
                x, y = table.loc[unit, "predicted"], table.loc[unit, "measured"]
                assert (trace.x[i], trace.y[i]) == (x.value, y.value)
                for bar, estimate in ((trace.error_x, x), (trace.error_y, y)):
                    ends = (estimate.value - bar.arrayminus[i], estimate.value + bar.array[i])
                    assert ends == pytest.approx((estimate.low, estimate.high))
                filled = trace.marker.color[i] != look.PAPER
                assert filled == y.excludes(0.0)
                seen.append(unit)
        assert sorted(seen) == sorted(table.index)


def test_panels_name_correlation_and_slope():
    fidelity = make_fidelity()
    figure = plots.fidelity_chart(fidelity)
    for kind, title in (("neuron", "single neurons"), ("set", "sets of neurons")):
        (text,) = [note.text for note in figure.layout.annotations if f"<b>{title}" in note.text]
        for estimate in (
            fidelity.correlation(kind),
            fidelity.correlation(kind, "spearman"),
            fidelity.slope(kind),
        ):
            assert str(estimate).replace("-", look.MINUS) in text
        assert ("score and loss" in text) == (kind == "neuron")
    subtitle = figure.layout.title.subtitle.text
    assert "tiny · made · 12 items · 95% intervals, bootstrap clustered" in subtitle
    assert "every panel has its own scale" in subtitle


def test_one_kind_may_be_drawn_alone():
    figure = plots.fidelity_chart(make_fidelity(), "set")
    assert {trace.xaxis for trace in figure.data} == {"x"}
    assert "own scale" not in figure.layout.title.subtitle.text


def test_random_sets_and_own_cells_have_their_colours():
    figure = plots.fidelity_chart(make_fidelity(kinds=("set", "cell")))
    for trace in drawn(figure, "x"):
        random = [unit.startswith("random") for unit in trace.customdata]
        assert all(random) or not any(random)
        colour = look.RANDOM_COLOUR if random[0] else look.FOUND_COLOUR
        assert set(trace.marker.line.color) == {colour}
    (own,) = [t for t in drawn(figure, "x2") if t.marker.line.color[0] == look.FOUND_COLOUR]
    assert list(own.customdata) == ["Iran on Iran", "Japan on Japan"]
    names = [trace.name for trace in figure.data if trace.showlegend is None]
    assert sorted(names) == [
        "chosen neurons",
        "other cultures’ questions",
        "own questions",
        "random neurons",
    ]


def test_neurons_of_higher_score_are_darker():
    figure = plots.fidelity_chart(make_fidelity(), "neuron")
    (trace,) = drawn(figure, "x")
    assert len(set(trace.marker.line.color)) == len(trace.customdata) == 6


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-5, 1e-7, 1e-9])
def test_numbers_stay_readable_at_every_scale(scale):
    figure = plots.fidelity_chart(make_fidelity(scale))
    for axis in (figure.layout.xaxis, figure.layout.yaxis2):
        texts = list(axis.ticktext)
        assert 2 <= len(texts) <= 8 and len(set(texts)) == len(texts)
        assert "0" in [text.rstrip("0").rstrip(".") or "0" for text in texts]
        assert max(map(len, texts)) <= 9
    hover = drawn(figure, "x")[0].hovertext[3]
    value = hover.split("predicted: ")[1].split(" ")[0]
    if scale >= 1e-5:
        assert float(value.replace(look.MINUS, "-")) != 0


def test_hover_says_what_a_point_is():
    fidelity = make_fidelity()
    hover = drawn(plots.fidelity_chart(fidelity), "x")[0].hovertext[2]
    row = fidelity.units("neuron").loc["gate 1.2"]
    assert "<b>gate 1.2</b>, 1 neuron<br>attribution score 0.2<br>" in hover
    for name in ("predicted", "measured"):
        estimate = row[name]
        assert f"{name}: {look.points(estimate.value)} [{look.points(estimate.low)}" in hover


def test_the_identity_line_runs_through_every_panel():
    figure = plots.fidelity_chart(make_fidelity(kinds=("neuron", "set", "cell")))
    lines = [s for s in figure.layout.shapes if s.line.dash == "dash"]
    assert [line.xref for line in lines] == ["x", "x2", "x3"]
    assert all((line.x0, line.x1) == (line.y0, line.y1) for line in lines)


def test_a_few_sets_are_named_beside_their_points():
    figure = plots.fidelity_chart(make_fidelity(), "set")
    labels = [note.text for note in figure.layout.annotations if "<b>" not in note.text]
    assert len(labels) >= 4 and set(labels) <= set(make_fidelity().units("set").index)


def test_labels_do_not_cover_points_or_each_other():
    assert point_labels.overlap((0.0, 0.0, 2.0, 1.0), (1.0, 0.5, 3.0, 2.0))
    assert not point_labels.overlap((0.0, 0.0, 1.0, 1.0), (1.1, 0.0, 2.0, 1.0))
    close = make_fidelity(kinds=("set",))
    close = Fidelity(close.frame.assign(predicted=0.1, measured=0.1), close.metadata)
    notes = plots.fidelity_chart(close).layout.annotations
    assert len([note for note in notes if "<b>" not in note.text]) <= 4


def test_two_units_are_too_few_to_correlate():
    figure = plots.fidelity_chart(make_fidelity(units=2), "neuron")
    assert "2 only: too few to correlate" in figure.layout.annotations[0].text
    assert len(drawn(figure, "x")[0].x) == 2


def test_effects_that_are_all_0_are_drawn():
    nothing = make_fidelity()
    nothing = Fidelity(nothing.frame.assign(predicted=0.0, measured=0.0), nothing.metadata)
    figure = plots.fidelity_chart(nothing)
    assert "Pearson \u2013" in figure.layout.annotations[0].text
    assert figure.layout.xaxis.range[0] < 0 < figure.layout.xaxis.range[1]


def test_names_of_units_are_data_not_tags():
    fidelity = make_fidelity(kinds=("set",))
    frame = fidelity.frame.assign(unit=fidelity.frame["unit"].replace("top 1%", "<script>"))
    figure = plots.fidelity_chart(Fidelity(frame, fidelity.metadata))
    assert "<script" not in str([t.hovertext for t in drawn(figure, "x")])
    assert "<script" not in str([note.text for note in figure.layout.annotations])


# ------------------------------------------------------------------ predicted_heatmap


def test_predicted_and_measured_stand_beside_each_other(matrix):
    predicted = make_predicted(matrix)
    figure = plots.predicted_heatmap(predicted, matrix)
    one, other = figure.data
    np.testing.assert_allclose(one.z, predicted.table().to_numpy())
    np.testing.assert_allclose(other.z, matrix.table("p_change").to_numpy())
    assert (one.zmin, one.zmax) == (other.zmin, other.zmax) and one.zmin == -one.zmax
    assert (one.showscale, other.showscale) == (False, True)
    assert [s.xref for s in figure.layout.shapes] == ["x"] * 3 + ["x2"] * 3
    subtitle = figure.layout.title.subtitle.text.replace("<br>", " ")
    for method in ("pearson", "spearman"):
        estimate = matrix_fidelity(predicted, matrix).correlation("cell", method)
        assert f"{method.capitalize()} {estimate}" in subtitle
    assert "slope 0.500" in subtitle and "outlined: own neurons" in subtitle
    for (i, mask), (j, culture) in product(enumerate(CULTURES), repeat=2):
        cell = matrix.cell(mask, culture, "p_change")
        assert other.text[i][j].endswith("*</b>") == cell.excludes(0.0)
        hover = other.hovertext[i][j]
        assert heatmaps.estimate_text(cell, "p_change") in hover and "predicted: " in hover


def test_a_prediction_is_drawn_alone(matrix):
    figure = plots.predicted_heatmap(make_predicted(matrix))
    assert len(figure.data) == 1 and figure.data[0].showscale
    assert "measured" not in figure.layout.title.text + figure.layout.title.subtitle.text
    assert not any("*" in text for row in figure.data[0].text for text in row)


@pytest.mark.parametrize("beside", [True, False])
def test_culture_general_neurons_have_one_row_and_no_outline(matrix, beside):
    only = general(matrix)
    figure = plots.predicted_heatmap(make_predicted(only), only if beside else None)
    assert all(np.shape(trace.z) == (1, 3) for trace in figure.data)
    assert not figure.layout.shapes
    assert "outlined" not in figure.layout.title.subtitle.text
    assert figure.layout.height >= 340


def test_impossible_predictions_do_not_stretch_the_colours(matrix):
    figure = plots.predicted_heatmap(make_predicted(matrix, factor=40.0), matrix)
    assert figure.data[0].zmax == 1.0 and np.abs(figure.data[0].z).max() > 5


def test_tiny_predictions_are_written_out(matrix):
    predicted = make_predicted(matrix, factor=1e-5)
    figure = plots.predicted_heatmap(predicted)
    assert figure.data[0].text[0][0] == "\u22120.00025"
    assert "\u22120.0005" in figure.data[0].colorbar.ticktext


# ------------------------------------------------------------------ the other heat maps


@pytest.mark.parametrize("condition", ["found", "random"])
def test_probabilities_are_tables_of_the_ablation_heatmap(matrix, condition):
    change = plots.ablation_heatmap(matrix, what="p_change", condition=condition)
    np.testing.assert_array_equal(change.data[0].z, matrix.table("p_change", condition).to_numpy())
    assert change.data[0].zmin == -change.data[0].zmax
    cell = matrix.cell(CULTURES[0], CULTURES[1], "p_change", condition)
    assert heatmaps.estimate_text(cell, "p_change") in change.data[0].hovertext[0][1]
    gold = plots.ablation_heatmap(matrix, what="p_gold", condition=condition)
    np.testing.assert_array_equal(gold.data[0].z, matrix.table("p_gold", condition).to_numpy())
    assert gold.data[0].zmin == 0
    base = matrix.draws("p_gold", "unmodified")[0, 0]
    for figure in (change, gold):
        assert figure.layout.xaxis.ticktext[0].endswith(look.percent(base[0], 1))
        assert "probability of the right answer" in figure.layout.xaxis.title.text


@pytest.mark.parametrize("what", ["change", "accuracy", "flips", "p_gold", "p_change"])
def test_doubled_neurons_are_not_called_ablated(what):
    figure = plots.ablation_heatmap(make_matrix(value="double"), what=what)
    said = [figure.layout.title.text, figure.layout.title.subtitle.text]
    said += [figure.layout.yaxis.title.text, figure.data[0].hovertext[0][0]]
    assert not any("ablated" in text for text in said)
    assert all("doubled" in text for text in said)
    plain = plots.ablation_heatmap(make_matrix(), what=what)
    assert "doubled" not in str(plain.layout) and "ablated" in plain.layout.title.text


def test_an_ablation_heatmap_of_culture_general_neurons(matrix):
    figure = plots.ablation_heatmap(general(matrix))
    assert figure.layout.title.text.endswith("when culture-general neurons are ablated")
    assert not figure.layout.shapes and "outlined" not in figure.layout.title.subtitle.text


def test_culture_general_neurons_are_laid_out_by_site():
    neurons = Neurons.of({"gate": [(0, 1), (2, 3), (2, 4)], "q": [(1, 0)]})
    shapes = {"gate": (4, 8), "q": (4, 6), "k": (4, 6)}
    found = NeuronSet({"general": neurons}, shapes, dict(METADATA, items=36))
    figure = plots.layer_heatmap(found)
    assert figure.layout.title.text == "Where culture-general neurons sit"
    assert list(figure.data[0].y) == ["gate", "q", "k"]
    assert list(figure.layout.yaxis.ticktext) == ["gate (3)", "q (1)", "k (none)"]
    expected = [[1 / 3, 0, 2 / 3, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(figure.data[0].z, expected)
    assert "2 of 3 neurons" in figure.data[0].hovertext[0][2]
    assert "4 neurons" in figure.layout.title.subtitle.text
    alone = plots.layer_heatmap(found, site="gate")
    np.testing.assert_allclose(alone.data[0].z, expected[:1])
    with pytest.raises(InputError, match="at least two cultures"):
        plots.overlap_heatmap(found)


def test_one_culture_is_named():
    title = plots.layer_heatmap(make_found(["Japan"])).layout.title.text
    assert title == "Where Japan’s neurons sit"


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.fidelity_chart(make_fidelity(), "cell"),
        lambda: plots.fidelity_chart(make_fidelity(), "neurons"),
        lambda: plots.fidelity_chart(Fidelity(pd.DataFrame())),
        lambda: plots.predicted_heatmap(PredictedMatrix(pd.DataFrame())),
        lambda: plots.predicted_heatmap(
            make_predicted(make_matrix()), make_matrix(scoring="letter_options")
        ),
        lambda: plots.predicted_heatmap(
            make_predicted(make_matrix()), make_matrix(scoring="letter", value="double")
        ),
    ],
)
def test_bad_input_is_refused(draw):
    with pytest.raises(InputError):
        draw()


def test_figures_change_nothing_and_fit_any_width(matrix):
    fidelity, predicted = make_fidelity(kinds=("neuron", "set", "cell")), make_predicted(matrix)
    before = fidelity.frame.copy(), predicted.frame.copy(), matrix.frame.copy()
    for figure in (
        plots.fidelity_chart(fidelity),
        plots.predicted_heatmap(predicted, matrix),
        plots.ablation_heatmap(matrix, what="p_change"),
    ):
        assert figure.layout.width is None
        assert figure.layout.title.font.size == 19 and figure.layout.paper_bgcolor == look.PAPER
        # The subtitle's lines and the headings of panels have room above the panels.
        assert figure.layout.margin.t >= 72 + 16 * figure.layout.title.subtitle.text.count("<br>")
    for kept, frame in zip(before, (fidelity.frame, predicted.frame, matrix.frame), strict=True):
        pd.testing.assert_frame_equal(kept, frame)


def test_digits_follow_the_size():
    assert heatmaps.telling_digits(float("nan")) == heatmaps.telling_digits(0.0) == 1
    assert [heatmaps.telling_digits(x) for x in (0.5, 0.05, 0.005, 3e-6)] == [0, 1, 2, 5]
    assert drawing.small_points(3e-6, 4) == "+0.0003"
    assert drawing.small_points(-2e-9, 7) == "\u22122e\u22127"
    assert drawing.small_points(1.2e-8, 7) == "+1.2e\u22126"
    assert drawing.small_points(0.0, 9) == "0"
    tiny = Estimate(3.1e-6, 1.0e-6, 5.2e-6)
    assert heatmaps.estimate_text(tiny, "p_change") == "+0.00031 [+0.00010, +0.00052]"
