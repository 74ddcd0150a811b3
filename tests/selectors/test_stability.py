"""Stability of neuron sets: by hand, and intervals that cover."""

import math

import numpy as np
import pytest
from scipy import stats

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.selectors.stability import mean_of_pairs, set_stability
from culture_lens.statistics.tables import as_estimates
from tests.helpers.neurons import drawn_set


def test_stability_by_hand_and_its_chance():
    def sets_of(*picks):
        return {
            str(i): NeuronSet({"A": Neurons.of({"act": [(0, j) for j in own]})}, {"act": (1, 10)})
            for i, own in enumerate(picks)
        }

    table = as_estimates(set_stability(sets_of([0, 1], [1, 2], [0, 1])))
    pairs = [1 / 3, 1, 1 / 3]  # 01, 02, 12
    mean = sum(pairs) / 3
    without = [1 / 3, 1, 1 / 3]  # of set 0, 1, 2: what is left is one pair
    pseudo = [3 * mean - 2 * m for m in without]
    reach = stats.t.ppf(0.975, 2) * np.std(pseudo, ddof=1) / math.sqrt(3)
    estimate = table.loc["A", "jaccard"]
    assert estimate.value == pytest.approx(np.mean(pseudo)) == pytest.approx(mean)
    assert (estimate.low, estimate.high) == pytest.approx((max(0, mean - reach), 1))
    assert table.loc["A", "pairs"] == 3
    # 2 and 2 of 10: P(0, 1, 2 shared) = 28/45, 16/45, 1/45
    assert table.loc["A", "by_chance"] == pytest.approx(16 / 45 / 3 + 1 / 45)
    two = as_estimates(set_stability(sets_of([0, 1], [1, 2])))
    assert two.loc["A", "jaccard"].value == pytest.approx(1 / 3)
    assert math.isnan(two.loc["A", "jaccard"].low)
    assert two.loc["mean", "jaccard"].value == two.loc["A", "jaccard"].value


def test_intervals_of_stability_cover():
    """Sets whose neurons each come in with a probability of their own."""
    source, n, trials = np.random.default_rng(0), 8, 400
    chance = source.beta(0.3, 2, 200)

    def overlaps(sets):
        one, other = np.triu_indices(len(sets), 1)
        both = sets[one] & sets[other]
        return both.sum(1) / (sets[one] | sets[other]).sum(1)

    truth = overlaps(source.random((600, 200)) < chance).mean()
    covered = 0
    for _ in range(trials):
        estimate = mean_of_pairs(overlaps(source.random((n, 200)) < chance), n)
        covered += estimate.low <= truth <= estimate.high
    assert 0.915 <= covered / trials <= 0.985  # standard error 0.011


def test_sets_that_cannot_be_compared():
    source = np.random.default_rng(5)
    one, other = drawn_set(source, (5, 5)), drawn_set(source, (5, 5), cultures=("B", "C"))
    with pytest.warns(CultureLensWarning, match="2 cultures are not in every set.*: A, C"):
        table = as_estimates(set_stability({"one": one, "other": other}))
    assert table.index.tolist() == ["B", "mean"]
    with pytest.raises(InputError, match="at least two neuron sets"):
        set_stability({"one": one})
    with pytest.raises(InputError, match="no culture in common"):
        set_stability({"one": one, "other": drawn_set(source, (5, 5), cultures=("C", "D"))})
    with pytest.raises(InputError, match="sets 'one' and 'wide' are of models or sites"):
        set_stability({"one": one, "wide": drawn_set(source, (5, 5), shape=(4, 31))})
    bare_set = NeuronSet({**one.neurons, "B": Neurons.of({})}, one.shapes)
    with pytest.warns(CultureLensWarning, match="no overlap, for B"):
        table = as_estimates(set_stability({"one": bare_set, "other": bare_set}))
    assert table.loc["mean", "jaccard"].value == 1 == table.loc["A", "jaccard"].value
    assert math.isnan(table.loc["B", "jaccard"].value)
    nothing = NeuronSet(dict.fromkeys("AB", Neurons.of({})), one.shapes)
    with pytest.raises(InputError, match="nothing to compare"):
        set_stability({"one": nothing, "other": nothing})
