"""Colours that mean something are told apart without red or green, and in print."""

from itertools import combinations

import numpy as np
import pytest

from culture_lens.plots import style as look
from culture_lens.plots.comparison import SELECTOR_COLOURS, SYMBOLS
from culture_lens.plots.instances import OUTCOMES
from tests.helpers.colour_blind import apart, from_hex, lab, simulated

KINDS = [None, "protanopia", "deuteranopia"]


def test_the_simulation_keeps_grey_and_joins_red_and_green():
    grey = np.array([0.5, 0.5, 0.5])
    for kind in KINDS[1:]:
        assert simulated(grey, kind) == pytest.approx(grey, abs=0.01)
        seen = apart("#b04040", "#807020", kind)
        assert seen < 0.75 * apart("#b04040", "#807020")
    assert lab(np.ones(3)) == pytest.approx([100, 0, 0], abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_gain_and_nothing_differ(kind):
    loss, middle, gain = look.LOSS_TO_GAIN[0], look.LOSS_TO_GAIN[4], look.LOSS_TO_GAIN[-1]
    for one, other in combinations((loss, middle, gain), 2):
        assert apart(one, other, kind) > 40


@pytest.mark.parametrize("kind", KINDS)
def test_cells_without_a_value_do_not_look_like_0(kind):
    for zero in (look.LOSS_TO_GAIN[4], look.AMOUNT[0]):
        assert apart(look.EMPTY, zero, kind) > 10
    assert apart(look.HATCH, look.EMPTY, kind) > 15


@pytest.mark.parametrize("kind", KINDS)
def test_found_and_random_differ(kind):
    assert apart(look.FOUND_COLOUR, look.RANDOM_COLOUR, kind) > 15


@pytest.mark.parametrize("kind", KINDS)
def test_selectors_differ_by_colour_or_symbol(kind):
    assert len(SELECTOR_COLOURS) == len(set(SELECTOR_COLOURS)) == 6 and len(set(SYMBOLS)) == 4
    for one, other in combinations(SELECTOR_COLOURS, 2):
        assert apart(one, other, kind) > 10, (one, other)
    for (one, shape), (other, second) in combinations(OUTCOMES.values(), 2):
        assert shape != second and apart(one, other, kind) > 10


def test_amounts_grow_darker():
    light = [float(lab(from_hex(colour))[0]) for colour in look.AMOUNT]
    assert light == sorted(light, reverse=True)
