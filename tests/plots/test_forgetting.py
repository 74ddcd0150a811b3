"""The chart of forgetting shows every training and the means."""

import pytest

from culture_lens.finetune import STRATEGIES, ForgettingStudy
from culture_lens.plots.forgetting import forgetting_chart
from tests.helpers.forgetting import study_by_hand


def test_the_chart_shows_every_training_and_the_means():
    study = study_by_hand()
    figure = forgetting_chart(study)
    points = {t.legendgroup: t for t in figure.data if not t.name}
    means = {t.legendgroup: t for t in figure.data if t.name}
    assert list(points["all"].x) == [1.0, 0.5, 0.0] and list(points["all"].y) == [-0.5, -1.0, -1.0]
    assert means["top"].x[0] == 0.5 and means["top"].y[0] == 0.0
    assert means["top"].error_x.array[0] == pytest.approx(1.2421, abs=1e-3)
    low, high = figure.layout.xaxis.range
    assert low < 0.5 - 1.2421 and high > 0.5 + 1.2421
    assert "3 seeds" in figure.layout.title.subtitle.text
    told = {"parameter_share": 0.1}  # with no unit: a study of an earlier version
    for metadata, words in ((told, "projections up to 10%"), ({**told, "unit": "block"}, "blocks")):
        drawn = forgetting_chart(ForgettingStudy(study.frame, metadata))
        assert words in drawn.layout.title.subtitle.text
    assert len({t.marker.symbol for t in means.values()}) == 2
    looks = {(t.marker.color, t.marker.symbol) for t in points.values()}
    assert len(looks) == 2 and "seed 1" in points["top"].hovertext[1]


def test_every_strategy_has_its_own_look():
    from culture_lens.plots.forgetting import LOOKS, STRATEGY_MEANING

    assert LOOKS.keys() == STRATEGY_MEANING.keys() == STRATEGIES.keys()
    assert len({colour for colour, _ in LOOKS.values()}) == len(LOOKS)
    assert len({symbol for _, symbol in LOOKS.values()}) == len(LOOKS)


def test_a_range_fixes_both_axes():
    layout = forgetting_chart(study_by_hand(), range=(-1, 0.5)).layout
    assert layout.xaxis.range == layout.yaxis.range == (-1.0, 0.5)
