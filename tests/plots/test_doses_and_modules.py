"""Dose curves, modules, score distributions: the numbers of their objects, a panel each."""

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.experiments.dose import DoseCurve
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.scores import NEVER, NeuronScores
from tests.helpers.results import CULTURES, METADATA, make_found, make_matrix


def make_curve(cultures=CULTURES, **options):
    """Two shares; under the larger one, the larger loss of ``make_matrix``."""
    whole = make_matrix(cultures, **options)
    base = whole.frame["condition"] == "unmodified"
    small = whole.frame[~base].assign(share=0.01, neurons=1)
    kept = small["correct"] | (small["id"].str[1:2].astype(int) % 4 == 0)
    small = small.assign(correct=kept, prediction=(~kept).astype(int))
    frames = [
        whole.frame[base].assign(share=0.0, neurons=0),
        small,
        whole.frame[~base].assign(share=0.1, neurons=10),
    ]
    return DoseCurve(pd.concat(frames, ignore_index=True), {**whole.metadata, "others": True})


@pytest.mark.parametrize("metric", ["self", "gap", "flips"])
def test_every_panel_has_the_curve_of_its_culture(metric):
    curve = make_curve()
    figure = plots.dose_chart(curve, metric=metric)
    table = plots.data(figure).set_index(["series", "panel", "x"])
    for name, condition in (("found neurons", "found"), ("random neurons, as many per layer",
                                                         "random")):  # fmt: skip
        expected = curve.table(metric, condition)
        assert len(expected) == 2 * 4
        for row in expected.itertuples():
            drawn = table.loc[(name, row.culture, row.share)]
            assert (drawn["y"], drawn["y_low"], drawn["y_high"]) == pytest.approx(
                (row.value, row.low, row.high)
            )
    assert figure.layout.xaxis.type == "log"
    assert len({trace.xaxis for trace in figure.data}) == 4
    assert list(figure.layout.xaxis.ticktext) == ["1%", "10%"]


def test_two_curves_are_drawn_together_and_one_culture_alone():
    figure = plots.dose_chart({"conact": make_curve(), "mad": make_curve(seeds=0)})
    assert {trace.name for trace in figure.data} == {"conact", "mad"}
    assert sum(trace.showlegend for trace in figure.data) == 2
    alone = plots.dose_chart(make_curve(["Japan"], seeds=0), range=(-1, 0.1))
    assert len(alone.data) == 1 and alone.layout.yaxis.range == (-1, 0.1)


def test_what_no_curve_has_is_refused():
    for call in (
        lambda: plots.dose_chart({}),
        lambda: plots.dose_chart(make_matrix()),
        lambda: plots.dose_chart(make_curve(), metric="selfs"),
        lambda: plots.dose_chart(make_curve(["Japan"], seeds=0), metric="gap"),
    ):
        with pytest.raises(InputError):
            call()


def test_bars_are_mean_shares_of_all_neurons():
    """Japan: 1 of 4 in gate 0, 2 in gate 2, 1 in q 1; Peru: both in q 1; Iran has none."""
    japan = Neurons.of({"gate": [(0, 1), (2, 3), (2, 4)], "q": [(1, 0)]})
    peru = Neurons.of({"q": [(1, 2), (1, 3)]})
    shapes = {"gate": (3, 8), "q": (3, 4)}
    found = NeuronSet({"Japan": japan, "Peru": peru, "Iran": Neurons.of({})}, shapes, METADATA)
    figure = plots.module_profile_chart(found)
    gate, q = figure.data
    assert list(gate.y) == [0.125, 0.0, 0.25] and list(q.y) == [0.0, 0.625, 0.0]
    assert list(q.error_y.array) == [0.0, 0.375, 0.0]
    assert list(gate.error_y.arrayminus) == [0.125, 0.0, 0.25]
    assert [shape.y0 for shape in figure.layout.shapes] == [8 / 36, 4 / 36]
    assert "without neurons: Iran" in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    single = plots.module_profile_chart(make_found(["Japan"]), range=(0, 1))
    assert single.data[0].error_y.array is None and single.layout.yaxis.range == (0, 1)
    with pytest.raises(InputError, match="none of these cultures"):
        plots.module_profile_chart(NeuronSet({"Iran": Neurons.of({})}, shapes))


def made_scores(values, never=()):
    table = torch.tensor(values, dtype=torch.float64).view(2, 1, -1)
    for place in never:
        table[0, 0, place] = NEVER
    return NeuronScores(("Japan", "Peru"), {"act": table}, metadata=METADATA)


def test_neurons_are_counted_down_to_each_score():
    scores = made_scores([0.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0])
    null = [made_scores([0.0, 0.0, 0.0, 1.0] * 2), made_scores([0.0, 0.0, 2.0, 2.0] * 2)]
    figure = plots.score_chart(scores, found=scores.top(k=1), null=null)
    lines = {(t.meta["panel"], t.name): t for t in figure.data}
    own = lines["Japan", "these labels"]
    for x, y in zip(own.x, own.y, strict=True):
        expected = sum(score >= x for score in (0.0, 1.0, 2.0, 3.0))
        assert y == expected or (expected == 0 and np.isnan(y))
    chance = lines["Peru", "permuted labels, mean"]
    middle = int(np.argmin(np.abs(np.array(chance.x) - 0.5)))
    assert chance.y[middle] == 1.5 and chance.x[0] == 0.0 and chance.y[0] == 4.0
    table = plots.data(figure)
    last = table[(table["panel"] == "Japan") & (table["x"] == table["x"].max())]
    assert last["y"].tolist() == [0.0] * 4  # what the axis of factors cannot show
    dashed = [shape.x0 for shape in figure.layout.shapes if shape.line.dash == "dash"]
    assert dashed == [3.0, 4.0]
    without = plots.score_chart(made_scores([0.0, 1.0] * 4, never=(3,)), cultures=["Japan"])
    assert len(without.data) == 1 and without.data[0].y[0] == 3.0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"site": "gate"}, "site"),
        ({"cultures": ["Japn"]}, "Japan"),
        ({"null": [NeuronScores(("a",), {"act": torch.zeros(1, 1, 4)})]}, "null\\[0\\]"),
        ({"found": make_found()}, "other neurons"),
    ],
)
def test_scores_of_something_else_are_refused(options, told):
    with pytest.raises(InputError, match=told):
        plots.score_chart(made_scores([0.0, 1.0] * 4), **options)
