"""Overlap beyond chance, found beside random, items, rank agreement."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.experiments.cell_tests import against_random
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.overlap import overlap_with_chance
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.questions.question import Question
from culture_lens.statistics.tables import as_estimates
from tests.helpers.results import CULTURES, METADATA, make_found, make_matrix


def test_cells_are_overlap_minus_chance_and_stars_its_corrected_test():
    places = {"A": range(10), "B": range(10), "C": range(20, 30)}
    sets = {c: Neurons.of({"act": [(0, i) for i in own]}) for c, own in places.items()}
    found = NeuronSet(sets, {"act": (1, 100)}, METADATA)
    figure = plots.overlap_beyond_chance(found)
    pairs = overlap_with_chance(found).set_index(["one", "other"])
    chance = pairs.loc[("A", "B"), "jaccard_by_chance"]
    z, text = figure.data[0].z, figure.data[0].text
    assert z[0][1] == z[1][0] == pytest.approx(1 - chance) and np.isnan(z[0][0])
    assert z[0][2] == pytest.approx(-chance)
    assert text[0][1].endswith("*") and not text[0][2].endswith("*")
    assert [note.text for note in figure.layout.annotations] == ["10"] * 3
    assert figure.data[0].zmin == -figure.data[0].zmax
    with pytest.raises(InputError, match="way to match"):
        plots.overlap_beyond_chance(found, match="layers")


def test_found_random_and_difference_share_a_scale(matrix):
    figure = plots.beside_random_heatmap(matrix)
    found, random, difference = figure.data
    np.testing.assert_array_equal(found.z, matrix.table("change"))
    np.testing.assert_array_equal(random.z, matrix.table("change", "random"))
    np.testing.assert_allclose(difference.z, np.array(found.z) - np.array(random.z))
    assert len({(one.zmin, one.zmax) for one in figure.data}) == 1
    assert [one.showscale for one in figure.data] == [False, False, True]
    tests = as_estimates(against_random(matrix))
    for place, culture in enumerate(CULTURES):
        assert difference.z[place][place] == pytest.approx(tests.loc[culture, "difference"].value)
        assert ("*" in difference.text[place][place]) == (tests.loc[culture, "mark"] == "*")
        bold = difference.text[place][place].startswith("<b>")
        assert bold == tests.loc[culture, "difference"].excludes(0.0)
    assert set(plots.data(figure)["panel"]) == {"found", "random", "found minus random"}


@pytest.mark.slow
def test_many_cultures_are_stacked():
    names = [f"Culture {i:02}" for i in range(13)]
    figure = plots.beside_random_heatmap(make_matrix(names, items=4, seeds=2))
    assert len({figure.layout[f"yaxis{n}"].domain for n in ("", "2", "3")}) == 3
    assert figure.layout.xaxis.domain == figure.layout.xaxis3.domain


def test_no_random_neurons_is_refused():
    with pytest.raises(InputError, match="random_seeds"):
        plots.beside_random_heatmap(make_matrix(seeds=0))
    with pytest.raises(InputError, match="unknown change"):
        plots.beside_random_heatmap(make_matrix(), what="accuracy")


def questions_of(matrix):
    items = matrix.frame.drop_duplicates("id")
    return [
        Question(id=i, culture=c, text=f"What of {i}?", options=("tea", "<b>"), answer=0)
        for i, c in zip(items["id"], items["culture"], strict=True)
    ]


def test_items_lost_and_gained_have_their_text(matrix):
    """Every second item that was right is lost: 0, 2, 4, 6, 8, 10; item 5 turns right."""
    frame = matrix.frame.copy()
    turned = (frame["id"] == "q5/Japan") & (frame["condition"] == "found")
    frame.loc[turned & (frame["mask"] == "Japan"), ["correct", "p_gold"]] = [True, 0.99]
    changed = type(matrix)(frame, matrix.metadata)
    figure = plots.instances_chart(changed, questions_of(matrix), "Japan", most=9)
    names = [trace.name for trace in figure.data if trace.showlegend is None]
    assert names == ["lost: right to wrong", "gained: wrong to right", "right or wrong as before"]
    lost, _, gained, *_ = figure.data
    assert sorted(lost.customdata) == [f"What of q{i}/Japan?" for i in (0, 10, 2, 4, 6, 8)]
    assert lost.x[0] == pytest.approx(0.1 + 0.0) and list(gained.customdata) == [
        "What of q5/Japan?"
    ]
    back = gained.x[0] + gained.error_x.array[0] - gained.error_x.arrayminus[0]
    assert back == pytest.approx(0.1 + 0.05)
    assert len(figure.layout.yaxis.ticktext) == 9
    assert "&lt;b&gt;" in lost.hovertext[0] and "<b>tea</b>" in lost.hovertext[0]
    assert "6 lost, 1 gained of 12 items" in figure.layout.title.subtitle.text
    assert "x_low" not in plots.data(figure)  # the lines are no intervals


def test_unknown_items_cultures_and_masks_are_refused(matrix):
    questions = questions_of(matrix)
    for call in (
        lambda: plots.instances_chart(matrix, questions[:3], "Japan"),
        lambda: plots.instances_chart(matrix, questions, "Japn"),
        lambda: plots.instances_chart(matrix, questions, "Japan", mask="Japn"),
        lambda: plots.instances_chart(matrix, questions, "Japan", most=0),
    ):
        with pytest.raises(InputError):
            call()


def test_agreement_is_the_mean_of_spearman_over_cultures():
    source = np.random.default_rng(0)
    tables = {name: torch.tensor(source.normal(size=(2, 3, 10))) for name in ("a", "b", "c")}
    tables["b"][0, 0, :5] = NEVER
    scores = {n: NeuronScores(("x", "y"), {"act": t}, metadata=METADATA) for n, t in tables.items()}
    z = plots.rank_agreement_heatmap(scores).data[0].z
    filled = {n: np.where(np.isinf(t), -99.0, t).reshape(2, -1) for n, t in tables.items()}
    each = [spearmanr(filled["a"][i], filled["b"][i]).statistic for i in range(2)]
    assert z[0][1] == z[1][0] == pytest.approx(np.mean(each)) and np.isnan(z[1][1])
    alone = plots.rank_agreement_heatmap(scores, cultures=["y"]).data[0].z
    assert alone[0][1] == pytest.approx(each[1])
    for wrong in (
        {"a": scores["a"]},
        {"a": scores["a"], "d": NeuronScores(("x",), {"act": tables["a"][:1]})},
        {"a": scores["a"], "d": NeuronScores(("x", "y"), {"gate": tables["a"]})},
        {"a": scores["a"], "d": NeuronScores(("x", "y"), {"act": tables["a"][:, :2]})},
    ):
        with pytest.raises(InputError):
            plots.rank_agreement_heatmap(wrong)


def test_one_culture_has_no_overlap():
    with pytest.raises(InputError, match="at least two cultures"):
        plots.overlap_beyond_chance(make_found(["Japan"]))
