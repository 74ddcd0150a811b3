"""The selector ``knowledge`` is its equation, computed in plain numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.selectors.knowledge import knowledge, second_other
from tests.helpers.knowledge import ITEMS, by_the_equation, drawn, neuron_scores

CASES = {
    "four cultures": (ITEMS, list(ITEMS)),
    "three": ({"Brazil": 3, "China": 5, "Iran": 4}, ["Brazil", "China", "Iran"]),
    "two": ({"Brazil": 3, "Iran": 1}, ["Brazil", "Iran"]),
    "CountryRC of two": (ITEMS, ["China", "Iran"]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weight", [0.5, 0.0, 2.0])
def test_scores_are_the_equation(case, weight):
    items, named = CASES[case]
    arrays, scores = drawn(1, items, named)
    expected = by_the_equation(arrays, items, named, weight)
    found = knowledge(scores, country_weight=weight)
    assert found.cultures == tuple(items)
    for site, its in expected.items():
        mine = found.scores[site].numpy()
        assert np.isfinite(its).any() and np.isinf(its).any()
        assert np.array_equal(np.isfinite(mine), np.isfinite(its))
        np.testing.assert_allclose(mine[np.isfinite(its)], its[np.isfinite(its)], rtol=1e-12)


def by_hand(contributions, country=0.0, mean=1.0, square=2.0, **fields):
    """One neuron at one site, one item of each culture: two of three by default."""
    items = {f"c{n}": 1 for n in range(len(contributions))}

    def table(value):
        values = np.broadcast_to(np.asarray(value, dtype=float), len(items))
        return values.reshape(-1, 1, 1).copy()

    _, made = drawn(0, items, halves=False)
    return replace(
        made,
        task=neuron_scores({"act": table(contributions)}, items),
        country=neuron_scores({"act": table(country)}, items),
        activity=neuron_scores({"act": table(mean), "squares of act": table(square)}, items),
        **fields,
    )


def flat(scores):
    return scores.scores["act"].flatten().tolist()


def test_a_neuron_on_paper():
    """G = 4, 1, 2; R = 2; V = 1 - 1/2.

    c0: (4 - 1) (1 - 1/4) 1/2 * 4/4 = 9/8; c1: 1 - 1 is 0; c2: (2 - 1) (1 - 1/2) 1/2 * 2/4 = 1/8.
    """
    assert flat(knowledge(by_hand([4, 1, 2], country=2))) == [9 / 8, -np.inf, 1 / 8]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"contrast": "highest"}, [3 * (1 - 2 / 4) / 2, -np.inf, -np.inf]),
        ({"contrast": "mean"}, [3 * (1 - 1.5 / 4) / 2, -np.inf, -np.inf]),
        ({"contrast_weight": 0.5}, [3 * (1 - 0.5 / 4) / 2, -np.inf, (1 - 0.5 / 2) / 2 * 2 / 4]),
        ({"contrast": "mean", "contrast_weight": 0.0}, [3 / 2, -np.inf, 1 / 2 * 2 / 4]),
    ],
)
def test_other_contrasts_on_paper(options, expected):
    """The neuron above, with the highest other or the mean of the others in the place of G2."""
    assert flat(knowledge(by_hand([4, 1, 2], country=2), **options)) == expected


def test_below_zero_is_never_chosen():
    """All contributions negative, no activity, the same activity on every item, a country's."""
    never = [-np.inf] * 3
    assert flat(knowledge(by_hand([-1, -2, -3]))) == never
    assert flat(knowledge(by_hand([0, 0, 0]))) == never
    assert flat(knowledge(by_hand([3, 1, 0], mean=0.0, square=0.0))) == never
    assert flat(knowledge(by_hand([3, 1, 0], mean=2.0, square=4.0))) == never
    assert flat(knowledge(by_hand([3, 1, 0], country=6))) == never
    # Rounding may put the square of the mean above the mean of squares.
    assert flat(knowledge(by_hand([3, 1, 0], mean=2.0, square=np.nextafter(4, 0)))) == never


def test_others_below_zero_do_not_raise_a_score():
    one = flat(knowledge(by_hand([4, 0, 0])))
    assert one == [2.0, -np.inf, -np.inf]
    assert flat(knowledge(by_hand([4, -8, -8]))) == one


def test_the_second_other_culture():
    """The highest other is let be: two cultures may share a neuron. Of two, it is the other."""
    assert second_other(torch.tensor([5.0, 4.0, 1.0]).view(3, 1, 1)).flatten().tolist() == [1, 1, 4]
    assert second_other(torch.tensor([5.0, 4.0]).view(2, 1, 1)).flatten().tolist() == [4, 5]
    tied = second_other(torch.tensor([2.0, 2.0, 2.0, 1.0]).view(4, 1, 1))
    assert tied.flatten().tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("wrong", [{"contrast_weight": -1.0}, {"contrast": "third"}])
def test_an_unknown_contrast_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        knowledge(drawn(0)[1], **wrong)


def test_a_weight_below_zero_and_a_single_culture_are_refused():
    with pytest.raises(InputError, match="country_weight=-1"):
        knowledge(drawn(0)[1], country_weight=-1.0)
    with pytest.raises(InputError, match="country_weight"):
        knowledge(drawn(0)[1], country_weight=float("nan"))
    alone = by_hand([1.0, 1.0])
    one = {"c0": 1}
    scores = replace(
        alone,
        task=neuron_scores({"act": [[[1.0]]]}, one),
        country=neuron_scores({"act": [[[1.0]]]}, one),
        activity=neuron_scores({"act": [[[1.0]]], "squares of act": [[[1.0]]]}, one),
    )
    with pytest.raises(InputError, match="only c0 was scored"):
        knowledge(scores)


# ------------------------------------------------------------------ two halves


def halved(one, other, layers=1, **facts):
    """Two cultures, 400 neurons in the last layer; V and Gmax are the same for all."""
    items, shape = {"a": 2, "b": 2}, (2, layers, 400)

    def sums(best):
        values = np.full(shape, -1.0)
        for row, neurons in enumerate(best):
            values[row, -1, list(neurons)] = 1.0
        return neuron_scores({"act": values}, {"a": 1, "b": 1})

    whole = neuron_scores({"act": np.ones(shape)}, items, **facts)
    squares = {"act": np.ones(shape), "squares of act": 2 * np.ones(shape)}
    _, made = drawn(0, items, halves=False)
    return replace(
        made,
        task=whole,
        country=neuron_scores({"act": np.zeros(shape)}, items),
        activity=neuron_scores(squares, items),
        halves=(sums(one), sums(other)),
    )


def test_agreement_is_the_share_of_the_top_in_common():
    """0.5% of 400 are 2. For `a` one of two is in both; for `b` both are."""
    scores = halved(([3, 7], [1, 2]), ([7, 9], [2, 1]))
    assert knowledge(scores).metadata["agreement"] == {"a": 0.5, "b": 1.0}


def test_layers_without_units_have_no_top():
    """0.5% of 400 units and not of 1,200 numbers, as of an autoencoder for one layer of three."""
    units = {"act": {"content": "0", "layers": [2]}}
    scores = halved(([3, 7], [1, 2]), ([7, 9], [2, 1]), layers=3, units=units)
    assert knowledge(scores).metadata["agreement"] == {"a": 0.5, "b": 1.0}


def test_neurons_without_a_score_agree_on_nothing():
    """Where a half scores none, its top would be whichever come first."""
    scores = halved(([], [1, 2]), ([], [2]))
    assert knowledge(scores).metadata["agreement"] == {"a": 0.0, "b": 0.5}


def test_without_halves_nothing_is_said():
    assert knowledge(drawn(0, halves=False)[1]).metadata["agreement"] == {}
