"""Layers without units change nothing: all is as of the layers that have units, by themselves.

Units in one layer of one are set beside the same units in the middle layer of three, as of an
autoencoder for one layer: what is counted, ranked and drawn by chance is the same.
"""

from dataclasses import replace

import pytest
import torch

from culture_lens import plots
from culture_lens.cards.ranks import ranks_of
from culture_lens.errors import InputError
from culture_lens.experiments.transfer_matrix import overlaps
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.overlap import overlap_with_chance, shared_with_chance
from culture_lens.neurons.scores import NeuronScores
from culture_lens.report.findings import neuron_table
from culture_lens.selectors.fusion import fuse
from culture_lens.selectors.invariance import invariance
from culture_lens.selectors.random import random
from culture_lens.selectors.ranking import first
from culture_lens.selectors.stability import set_stability
from tests.helpers.summaries import summary_with

WIDTH, AT, LAYERS = 12, 1, 3
UNITS = {"units": {"sae": {"content": "0", "layers": [AT]}}}
ONE, THREE = (0, 1, {}), (AT, LAYERS, UNITS)
"""Where the units are, in how many layers, and what metadata say of it."""


def found_at(layer, layers, metadata):
    """Two cultures with six and five of twelve units, two of them in common."""
    chosen = {"Japan": range(6), "Peru": range(4, 9)}
    neurons = {c: Neurons.of({"sae": [(layer, i) for i in own]}) for c, own in chosen.items()}
    return NeuronSet(neurons, {"sae": (layers, WIDTH)}, dict(metadata))


def scores_at(layer, layers, metadata, seed=0):
    """Scores of both signs, so that the 0 of layers without units lies among them."""
    values = torch.randn(2, 1, WIDTH, generator=torch.Generator().manual_seed(seed)).double()
    return NeuronScores(("Japan", "Peru"), {"sae": wide(values, layer, layers)}, {}, metadata)


def wide(values, layer, layers):
    """Put the one layer of a table among layers of 0."""
    return torch.nn.functional.pad(values, (0, 0, layer, layers - layer - 1))


def summary_at(layer, layers, metadata, seed=0):
    """Counts of two cultures."""
    table = torch.rand(2, WIDTH, generator=torch.Generator().manual_seed(seed)).tolist()
    summary = summary_with(table, site="sae", cultures=("Japan", "Peru"), **metadata)
    return replace(summary, counts={"sae": wide(summary.counts["sae"], layer, layers)})


def fused_at(layer, layers, metadata, how):
    every = {str(seed): summary_at(layer, layers, metadata, seed) for seed in range(3)}
    return fuse(every, how)


@pytest.mark.parametrize("match", ["layer", "site", "pool"])
def test_overlap_by_chance(match):
    """Of 12 units 6 and 5 share 2.5 by chance, whatever other layers the model has."""
    alone, beside = (found_at(*place) for place in (ONE, THREE))
    assert overlap_with_chance(alone)["by_chance"].item() == pytest.approx(2.5)
    for function in (overlap_with_chance, shared_with_chance):
        expected, got = function(alone, match=match), function(beside, match=match)
        assert got.equals(expected) if hasattr(got, "equals") else got == expected
    expected, got = (
        set_stability({"a": one, "b": one}, match=match)["by_chance"] for one in (alone, beside)
    )
    assert got.equals(expected)


def test_stability_is_that_of_the_same_layers():
    """A set in layer 1 and one in layer 2 have the same shapes and no unit in common."""
    other = found_at(2, LAYERS, {"units": {"sae": {"content": "0", "layers": [2]}}})
    with pytest.raises(InputError, match="sae"):
        set_stability({"a": found_at(*THREE), "b": other})


def test_tables_of_benchmarks_and_of_the_page():
    alone, beside = (found_at(*place) for place in (ONE, THREE))
    expected, got = (overlaps({"a": one, "b": one}) for one in (alone, beside))
    assert got == expected and expected[0]["by_chance"] == 3.0  # 6 * 6 / 12
    shares = [row["share"] for row in neuron_table(beside)]
    assert shares == [row["share"] for row in neuron_table(alone)] == ["50.00%", "41.67%"]


def test_figures_of_neurons():
    """What evenly spread units would give is drawn where there are units, and only there."""
    figure = plots.module_profile_chart(found_at(*THREE))
    (line,) = figure.layout.shapes
    assert (line.x0, line.x1, line.y0, line.y1) == (AT - 0.5, AT + 0.5, 1.0, 1.0)
    (bars,) = figure.data
    assert list(bars.x) == [AT] and list(bars.y) == [1.0]
    heat = plots.layer_heatmap(found_at(*THREE)).data[0]
    assert torch.tensor(heat.z).isnan().tolist() == [[True, False, True]] * 2
    assert "no units" in heat.hovertext[0][0]


def test_figures_of_scores():
    expected, got = (plots.score_chart(scores_at(*place)) for place in (ONE, THREE))
    for mine, theirs in zip(got.data, expected.data, strict=True):
        assert mine.meta["y"] == theirs.meta["y"] and max(mine.meta["y"]) == WIDTH
    expected, got = (
        plots.rank_agreement_heatmap({str(seed): scores_at(*place, seed=seed) for seed in range(2)})
        for place in (ONE, THREE)
    )
    assert got.data[0].z[0][1] == expected.data[0].z[0][1]
    assert "12 neurons" in got.layout.title.subtitle.text.replace("<br>", " ")


def test_ranks_of_a_card():
    for index in range(WIDTH):
        one, three = (
            ranks_of({"mine": scores_at(*place)}, ("sae", place[0], index), ["Japan", "Peru"])
            for place in (ONE, THREE)
        )
        assert three == one and one[0].neurons == WIDTH


def test_the_first_of_a_ranking():
    """All twelve, and none of the layers without."""
    drawn_at_random = random(summary_at(*THREE), seed=1)
    for scores in (scores_at(*THREE), drawn_at_random):
        chosen = first(scores, "Japan", 2 * WIDTH)
        assert chosen.members() == {("sae", AT, index) for index in range(WIDTH)}


@pytest.mark.parametrize("how", ["joint", "consistent", "overlap"])
def test_wordings_fused(how):
    alone, beside = (fused_at(*place, how=how) for place in (ONE, THREE))
    assert torch.equal(beside.scores["sae"][:, [AT]], alone.scores["sae"])
    assert beside.top(share=0.5)["Japan"].places["sae"].tolist() == [
        [AT, index] for _, index in alone.top(share=0.5)["Japan"].places["sae"].tolist()
    ]


def test_wordings_of_other_units_are_not_fused():
    """Features of one autoencoder and of another have the same shapes."""
    other = summary_at(AT, LAYERS, {"units": {"sae": {"content": "1", "layers": [AT]}}})
    for function in (fuse, invariance):
        with pytest.raises(InputError, match="units"):
            function({"a": summary_at(*THREE), "b": other})


def test_the_mean_p_that_a_summary_shows():
    alone, beside = (summary_at(*place)._overview() for place in (ONE, THREE))
    assert beside.equals(alone)
