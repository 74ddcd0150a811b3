"""Figures of predicted effects hold the numbers of the objects, and stay readable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.predicted_matrix import PredictedMatrix
from culture_lens.plots import fidelity as drawing
from culture_lens.plots import heatmap as heatmaps
from culture_lens.plots import point_labels
from culture_lens.plots import style as look
from culture_lens.statistics.estimates import Estimate
from culture_lens.statistics.tables import as_estimates
from tests.helpers.results import make_matrix, make_predicted


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


def drawn(figure, axis):
    return [t for t in figure.data if t.customdata and t.xaxis == axis]


# ------------------------------------------------------------------ fidelity_chart


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e-9])
def test_points_and_intervals_are_those_of_the_units(scale):
    fidelity = make_fidelity(scale, ("neuron", "set", "cell"))
    figure = plots.fidelity_chart(fidelity)
    for kind, axis in (("neuron", "x"), ("set", "x2"), ("cell", "x3")):
        table = as_estimates(fidelity.units(kind))
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
    assert "tiny · made · 12 items · 95% intervals, clustered" in subtitle
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
    row = as_estimates(fidelity.units("neuron")).loc["gate 1.2"]
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


# ------------------------------------------------------------------ objectives

ODDS = {
    "objective": "logit_difference",
    "scoring": "option_likelihood",
    "path": "integrated",
    "points": 6,
}


def test_changes_of_odds_are_written_in_log_odds():
    fidelity = make_fidelity(20.0, kinds=("set",))
    figure = plots.fidelity_chart(Fidelity(fidelity.frame, {**fidelity.metadata, **ODDS}))
    assert figure.layout.xaxis.title.text == (
        "predicted change of the logit difference of the right answer and all others, log-odds"
    )
    axis = figure.layout.xaxis
    for value, text in zip(axis.tickvals, axis.ticktext, strict=True):
        assert float(text.replace(look.MINUS, "-")) == pytest.approx(value)
    estimate = as_estimates(fidelity.units("set")).loc["random 0.1%", "measured"]
    (hover,) = [t for trace in drawn(figure, "x") for t in trace.hovertext if "random 0.1%" in t]
    written = hover.split("measured: ")[1].split(" ")[0]
    assert float(written.replace(look.MINUS, "-")) == pytest.approx(estimate.value, rel=0.06)
    assert hover.endswith("log-odds") and "points" not in hover
    subtitle = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "by option likelihood, from a path of 6 points" in subtitle


def test_chances_are_written_in_points():
    figure = plots.fidelity_chart(make_fidelity(kinds=("set",)))
    words = "predicted change of the probability of the right answer, percentage points"
    assert figure.layout.xaxis.title.text == words
    assert "from one backward pass" in figure.layout.title.subtitle.text.replace("<br>", " ")


def test_a_predicted_matrix_of_odds_has_their_scale(matrix):
    predicted = make_predicted(matrix, factor=40.0)
    odds = PredictedMatrix(predicted.frame, {**predicted.metadata, **ODDS})
    figure = plots.predicted_heatmap(odds)
    (trace,) = figure.data
    largest = float(np.abs(odds.table().to_numpy()).max())
    assert trace.zmax == largest > 5  # no bound, as a probability has
    shown = [float(text.replace(look.MINUS, "-")) for row in trace.text for text in row]
    np.testing.assert_allclose(shown, odds.table().to_numpy().flatten(), atol=0.051)
    assert trace.colorbar.title.text.startswith("log-odds")
    assert "Logit difference of the right answer" in figure.layout.title.text


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


def test_a_range_fixes_both_axes_of_every_panel():
    figure = plots.fidelity_chart(make_fidelity(), range=(-0.5, 0.25))
    layout = figure.layout
    for axis in (layout.xaxis, layout.yaxis, layout.xaxis2, layout.yaxis2):
        assert axis.range == (-0.5, 0.25)
    words = [
        one.layout.title.subtitle.text for one in (plots.fidelity_chart(make_fidelity()), figure)
    ]
    assert ["own scale" in one.replace("<br>", " ") for one in words] == [True, False]


def test_a_range_fixes_the_colours_of_both_panels(matrix):
    figure = plots.predicted_heatmap(make_predicted(matrix), matrix, range=(-0.4, 0.4))
    maps = [trace for trace in figure.data if trace.type == "heatmap" and trace.zmin is not None]
    assert {(trace.zmin, trace.zmax) for trace in maps} == {(-0.4, 0.4)}
    with pytest.raises(InputError, match="in the middle"):
        plots.predicted_heatmap(make_predicted(matrix), range=(-0.4, 0.2))
