"""The figures of the localization gap and of written answers hold the numbers of the results."""

import math

import pytest

from culture_lens import plots
from culture_lens.errors import InputError
from culture_lens.plots import style as look
from culture_lens.statistics.tables import as_estimates
from tests.helpers.generation import effect_by_hand
from tests.helpers.localization import KNOWN, gap_by_hand


@pytest.mark.parametrize("measure", ["accuracy", "p_gold"])
def test_the_gap_has_both_versions_largest_gap_on_top(measure):
    result = gap_by_hand()
    figure = plots.localization_gap(result, measure=measure)
    table = as_estimates(result.table(measure))
    named, unnamed = (trace for trace in figure.data if trace.customdata is not None)
    assert list(named.customdata) == ["all questions", "US", "Japan"]  # from the bottom up
    for trace, version in ((named, "named"), (unnamed, "unnamed")):
        assert list(trace.x) == [table.loc[row, version].value for row in ("all", "US", "Japan")]
    gap = look.with_interval(table.loc["Japan", "gap"])
    assert f"gap {gap}" in named.hovertext[2]
    rows = plots.data(figure)
    assert rows[rows["label"] == "Japan"]["x"].tolist() == [named.x[2], unnamed.x[2]]
    assert "largest gap first" in figure.layout.title.subtitle.text.replace("<br>", " ")


def test_a_gap_that_is_clear_is_filled():
    clear = gap_by_hand({**KNOWN, "Peru": ((1,) * 12, (0,) * 12)})
    assert clear.gap()["Peru"].excludes(0.0) and not clear.gap()["US"].excludes(0.0)
    for trace in plots.localization_gap(clear).data:
        if trace.customdata is not None:
            colours = dict(zip(trace.customdata, trace.marker.color, strict=True))
            assert colours["US"] == look.PAPER != colours["Peru"]


def test_written_answers_are_points_of_score_and_perplexity():
    effect = effect_by_hand()
    figure = plots.generation_chart(effect)
    (trace,) = figure.data
    assert list(trace.x) == pytest.approx([math.exp(0.7 / 12), math.exp(3)])
    assert list(trace.y) == pytest.approx([0.375, -0.125])
    assert list(trace.text) == ["1", "4"] and figure.layout.xaxis.type == "log"
    assert trace.marker.color[0] != look.PAPER == trace.marker.color[1]
    low, high = figure.layout.xaxis.range
    assert low < 0 and high > 3 / math.log(10)
    assert "broken (perplexity)" in trace.hovertext[1]
    assert list(plots.data(figure)["label"]) == ["steered 1", "steered 4"]
    assert figure.layout.shapes[0].x0 == 3.0


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="measure"):
        plots.localization_gap(gap_by_hand(), measure="flips")
    with pytest.raises(InputError, match="Peru"):
        plots.generation_chart(effect_by_hand(), culture="Peru")
    effect = effect_by_hand()
    silent = type(effect)(effect.frame.assign(tokens=0, surprisal=0.0), effect.metadata)
    with pytest.raises(InputError, match="no intervention wrote a token"):
        plots.generation_chart(silent)
