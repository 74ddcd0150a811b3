"""The smallest effect that would be found: by hand, against loops, with the power it promises."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from culture_lens.errors import InputError
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.power import clustered_errors, minimum_detectable_effect
from culture_lens.statistics.permutation import (
    relabelling_p,
)
from tests.helpers.matrices import clustered, random_records


@pytest.mark.slow
def test_minimum_detectable_effect_is_found_with_its_power(null):
    for groups, wanted in ((40, 0.8), (40, 0.5), (20, 0.8)):
        part = null.frame[null.frame["group"].isin([f"g{g}" for g in range(groups)])]
        pilot = minimum_detectable_effect(AblationMatrix(part), mask="m", power=wanted)
        effect = float(pilot["effect"][:-1].mean())
        source = np.random.default_rng(8)
        before = clustered(source, (1000, groups, 5), 0.5 + effect / 2).sum(2)
        after = clustered(source, (1000, groups, 5), 0.5 - effect / 2).sum(2)
        counts = np.stack([before, after], 2)
        found = np.mean([relabelling_p(own) <= 0.05 for own in counts])
        # standard error 0.013 to 0.016; the exact test is discrete and so finds a little less
        assert wanted - 0.065 < found < wanted + 0.03, (groups, wanted, found)


def test_standard_error_by_hand_and_loop():
    # groups of 1 and 3 items, sums of change -1 and 0: d = -1/4, residuals -3/4 and 3/4
    error = clustered_errors(np.array([[-1.0], [0.0]]), np.array([[1], [3]]))
    assert error.tolist() == pytest.approx([math.sqrt(2 * 2 * (9 / 16) / 16)] * 2)
    matrix = random_records(9, cultures=("A", "B", "C"), groups=30, drop=0.2)
    table = minimum_detectable_effect(matrix)
    for culture in "ABC":
        frame = matrix.frame[matrix.frame["culture"] == culture].set_index("group")
        after = frame[(frame["condition"] == "found") & (frame["mask"] == culture)]["correct"]
        change = after.astype(int) - frame[frame["condition"] == "unmodified"]["correct"].astype(
            int
        )
        expected = change.std(ddof=1) / math.sqrt(len(change))  # groups of one item
        factor = stats.t.ppf([0.975, 0.8], len(change) - 1).sum()
        assert table.loc[culture, "standard_error"] == pytest.approx(expected)
        assert table.loc[culture, "effect"] == pytest.approx(factor * expected)
        assert table.loc[culture, "items"] == len(change) == table.loc[culture, "groups"]
    influences = matrix.metrics()["self"].over_cultures().rows[1:]
    expected = math.sqrt(len(influences) / (len(influences) - 1) * (influences**2).sum())
    assert table.loc["mean", "standard_error"] == pytest.approx(expected)


@pytest.mark.slow
def test_errors_match_the_spread_of_repeated_experiments(null):
    change = null.table("change").to_numpy()[0]
    error = minimum_detectable_effect(null, mask="m")["standard_error"][:-1]
    assert error.mean() == pytest.approx(change.std(), rel=0.1)


@pytest.mark.slow
def test_planning_from_one_evaluation(null):
    frame = null.frame[null.frame["condition"] == "unmodified"].drop(
        columns=["condition", "mask", "seed"]
    )
    planned = minimum_detectable_effect(frame)
    paired = minimum_detectable_effect(null, mask="m")
    # in this simulation both runs are drawn anew, which is what planning assumes
    ratio = planned["effect"][:-1].mean() / paired["effect"][:-1].mean()
    assert ratio == pytest.approx(1, abs=0.03)
    assert planned.loc["c0003", "groups"] == 40 and planned.loc["c0003", "items"] == 200


@pytest.mark.slow
def test_power_refuses_nonsense(null):
    with pytest.raises(InputError, match="power=80.0 is outside"):
        minimum_detectable_effect(null, mask="m", power=80.0)
    with pytest.raises(InputError, match="alpha=0.0 is outside"):
        minimum_detectable_effect(null, mask="m", alpha=0.0)
    with pytest.raises(InputError, match="lacks group"):
        minimum_detectable_effect(pd.DataFrame({"culture": ["A"], "correct": [True]}))
    with pytest.raises(InputError, match="is empty"):
        minimum_detectable_effect(pd.DataFrame({"culture": [], "group": [], "correct": []}))
    with pytest.raises(InputError, match="give the matrix itself"):
        minimum_detectable_effect(null.frame)
