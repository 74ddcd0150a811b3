"""Activity of items by hand: P, magnitude, parts, categories, the country's name."""

import numpy as np
import pytest

from culture_lens.cards.activity import activity, by_culture, by_name, by_part, ratio
from culture_lens.cards.naming import name_tokens, names_country
from culture_lens.statistics.estimates import UNBOUNDED, mean_estimate
from tests.helpers.cards import item

ITEMS = [
    item("a", [1.0, -1.0, 3.0, 9.0], [1, 1, 1, 0]),
    item("b", [-1.0], culture="Peru"),
    item("c", [2.0, -0.5]),
]


def test_p_and_magnitude_are_ratios_of_sums_over_counted_tokens():
    found = activity("all", ITEMS, 0)
    assert found.items == 3
    assert found.active.value == pytest.approx(3 / 6)  # two of 3, none of 1, one of 2
    assert found.magnitude.value == pytest.approx((3 - 1 + 1.5) / 6)
    assert np.isnan(found.active.low)  # three groups have no interval


def test_the_share_of_activity_that_differs_between_items():
    """Highest activations 3, 0 (none is positive) and 2: mean 5/3, mean square 13/3."""
    assert activity("all", ITEMS, 0).varying == pytest.approx(1 - (25 / 9) / (13 / 3))
    assert activity("one", ITEMS[:1], 0).varying == pytest.approx(0)
    assert activity("none", ITEMS[1:2], 0).varying == 0


def test_cultures_in_order():
    found = by_culture(ITEMS, 0)
    assert [(one.label, one.items, one.active.value) for one in found] == [
        ("Japan", 2, pytest.approx(0.6)),
        ("Peru", 1, 0.0),
    ]


def test_the_interval_is_that_of_the_linearised_values():
    """By Cochran's formula: the variance of k_i - P t_i over the squared mean of t_i."""
    k, t = np.array([1.0, 3.0, 2.0, 4.0, 0.0]), np.array([4.0, 5.0, 2.0, 6.0, 3.0])
    found = ratio(k, t, list("abcde"))
    assert found.value == pytest.approx(10 / 20)
    residuals = k - found.value * t
    error = np.sqrt(residuals.var(ddof=1) / 5) / t.mean()
    assert found.high - found.value == pytest.approx(2.776445 * error, rel=1e-5)


def test_items_of_like_length_have_the_interval_of_a_mean():
    k, t, groups = np.array([1.0, 3.0, 2.0, 4.0, 0.0, 5.0]), np.full(6, 5.0), list("aabbcd")
    mean, found = mean_estimate((k / t).tolist(), groups, bounds=UNBOUNDED), ratio(k, t, groups)
    assert found.low == pytest.approx(mean.low) and found.high == pytest.approx(mean.high)


def test_picture_and_text_apart():
    both = [item("a", [1.0, -1.0, 5.0, 5.0], roles=[2, 2, 3, 1])]
    picture, text = by_part(both, 0)
    assert (picture.label, picture.active.value, picture.magnitude.value) == ("picture", 0.5, 0.0)
    assert (text.label, text.active.value, text.magnitude.value) == ("text", 1.0, 5.0)
    assert by_part([item("b", [1.0])], 0) == ()


SOUPS = item(
    "s", [0.0, 2.0, 4.0, -1.0], culture="South_Korea", text="soups of South Korea?",
    tokens=["soups of", " South", " Kor", "ea?"],
)  # fmt: skip


def test_the_tokens_of_a_country_s_name():
    assert name_tokens(SOUPS).tolist() == [False, True, True, True]
    assert names_country(SOUPS)
    assert not names_country(item("x", [1.0], culture="Niger", text="In Nigeria?"))
    assert names_country(item("x", [1.0], culture="US", text="in the united states, what?"))
    assert names_country(item("x", [1.0], culture="India (Tamil)", text="What is India's?"))


def test_with_and_without_the_name():
    other = item("o", [1.0, 1.0], culture="South_Korea", text="soups here?")
    rows = {row.label: row for row in by_name([SOUPS, other], 0)}
    assert rows["items that name the country"].magnitude.value == pytest.approx(5 / 4)
    assert rows["items that do not"].magnitude.value == pytest.approx(1)
    assert rows["tokens of the name"].magnitude.value == pytest.approx(5 / 3)
    assert rows["tokens beside it"].magnitude.value == pytest.approx(0)
    assert by_name([other], 0) == ()
