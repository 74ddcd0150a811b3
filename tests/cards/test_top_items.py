"""top_items on a recording written by hand."""

import pytest

from culture_lens.cards.top_items import top_items
from culture_lens.errors import InputError
from tests.helpers.cards import NEURON, item, recording

RECORDED = recording(
    item("a", [0.1, 0.9, 5.0], [1, 1, 0]),  # 5 is on a token that does not count
    item("b", [0.3, -2.0, 0.0]),
    item("c", [0.9, 0.2, 0.1]),
    item("d", [0.5, 0.4, -0.1]),
    item("e", [7.0, 7.0, 7.0], [0, 0, 0]),  # no token counts
    item("f", [0.2, -2.0, 0.1]),
)


def ids(which, k):
    return top_items(RECORDED, NEURON, k, which=which)["id"].tolist()


def test_highest_by_the_maximum_over_counted_tokens_ties_by_id():
    assert ids("highest", 3) == ["a", "c", "d"]


def test_lowest_by_the_minimum():
    assert ids("lowest", 3) == ["b", "f", "d"]


def test_middle_next_to_the_median_of_the_maximum():
    # Maxima 0.9 (a), 0.9 (c), 0.5 (d), 0.3 (b), 0.2 (f).
    assert ids("middle", 1) == ["d"] and ids("middle", 3) == ["c", "d", "b"]


def test_all_items_where_fewer_are_left():
    assert ids("highest", 50) == ["a", "c", "d", "b", "f"]


def test_the_row_of_an_item():
    first = top_items(RECORDED, NEURON, 1).iloc[0]
    assert first["token"] == "t1" and first["minimum"] == pytest.approx(0.1)
    assert first["maximum"] == pytest.approx(0.9) and first["mean"] == pytest.approx(0.5)


def test_mistakes_are_named():
    with pytest.raises(InputError, match="did you mean 'lowest'"):
        top_items(RECORDED, NEURON, which="lowst")
    with pytest.raises(InputError, match="k=0"):
        top_items(RECORDED, NEURON, 0)
    with pytest.raises(InputError, match="token_activations"):
        top_items([1], NEURON)
