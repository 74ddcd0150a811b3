"""Heat maps of ablated, predicted and doubled neurons show their tables."""

from itertools import product

import numpy as np
import pytest

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.experiments.ablation_fidelity import matrix_fidelity
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.plots import heatmap as heatmaps
from culture_lens.plots import style as look
from tests.helpers.results import CULTURES, METADATA, make_found, make_matrix, make_predicted


def general(matrix):
    """The same records as if one set had been ablated, of culture-general neurons."""
    frame = matrix.frame[matrix.frame["mask"].isin(["", "Japan"])]
    frame = frame.assign(mask=frame["mask"].replace("Japan", "general"))
    return AblationMatrix(frame, {**matrix.metadata, "neurons": {"general": 5}})


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
        assert other.text[i][j].startswith("<b>") == cell.excludes(0.0)
        hover = other.hovertext[i][j]
        assert heatmaps.estimate_text(cell, "p_change") in hover and "predicted: " in hover


def test_a_prediction_is_drawn_alone(matrix):
    figure = plots.predicted_heatmap(make_predicted(matrix))
    assert len(figure.data) == 1 and figure.data[0].showscale
    assert "measured" not in figure.layout.title.text + figure.layout.title.subtitle.text
    assert not any("<b>" in text for row in figure.data[0].text for text in row)


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


@pytest.mark.slow
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
    expected = [[1 / 3, 0, 2 / 3, 0], [0, 1, 0, 0], [np.nan] * 4]
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
