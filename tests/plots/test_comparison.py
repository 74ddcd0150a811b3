"""Figures of a comparison show its numbers, and layers side by side."""

import pytest

from culture_lens.errors import InputError
from culture_lens.experiments.comparison.compare import COMPARED_SELECTORS
from culture_lens.experiments.comparison.result import Comparison
from culture_lens.plots.comparison import comparison_chart, layer_profile_chart
from tests.helpers.comparison import NUMBERS, SHARES, compared_by_hand


@pytest.mark.slow
def test_the_figure_shows_self_against_cross(compared):
    figure = comparison_chart(compared)
    lines = {line.name: line for line in figure.data}
    assert tuple(lines) == COMPARED_SELECTORS
    for selector, line in lines.items():
        own = [compared.estimate(selector, share, "self") for share in SHARES]
        cross = [compared.estimate(selector, share, "cross") for share in SHARES]
        assert list(line.x) == [one.value for one in cross]
        assert list(line.y) == [one.value for one in own]
        assert line.error_y.array[1] == own[1].high - own[1].value
        assert line.error_x.arrayminus[0] == cross[0].value - cross[0].low
        assert line.marker.size[0] < line.marker.size[1]
        low, high = figure.layout.xaxis.range
        assert all(low < one.low and one.high < high for one in cross)
    assert len({line.line.color for line in figure.data}) == 6
    assert f"3% ({NUMBERS[0]}), 15% ({NUMBERS[1]}) neurons" in figure.layout.title.subtitle.text


@pytest.mark.slow
def test_the_second_figure_shows_profiles_side_by_side(compared):
    figure = layer_profile_chart(compared, share=0.03)
    profiles = compared.layer_profiles(0.03)
    assert len(figure.data) == 6
    for bars, selector in zip(figure.data, COMPARED_SELECTORS, strict=True):
        assert list(bars.x) == profiles.loc[selector].tolist() and list(bars.y) == [0, 1, 2]
        assert bars.orientation == "h"
    titles = [note.text for note in figure.layout.annotations]
    assert titles[0].startswith("lap<br>") and len(titles) == 6
    assert len({bars.xaxis for bars in figure.data}) == 6


def test_nothing_is_not_drawn():
    empty = Comparison(
        compared_by_hand().frame.query("condition == 'unmodified'"), {"numbers": [], "layers": []}
    )
    for draw in (comparison_chart, layer_profile_chart):
        with pytest.raises(InputError, match="comparison is empty"):
            draw(empty)


@pytest.mark.slow
def test_a_range_fixes_both_axes(compared):
    layout = comparison_chart(compared, range=(-1, 0.5)).layout
    assert layout.xaxis.range == layout.yaxis.range == (-1.0, 0.5)
    ends = [(shape.x0, shape.y0, shape.x1, shape.y1) for shape in layout.shapes]
    assert (-1.0, -1.0, 0.5, 0.5) in ends
