"""A comparison holds what its records say: by hand, against plain loops, from a file."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from culture_lens.errors import InputError
from culture_lens.experiments.comparison.result import Comparison
from culture_lens.plots.comparison import layer_profile_chart
from culture_lens.statistics.tables import as_estimates
from tests.helpers.comparison import compared_by_hand
from tests.helpers.neurons import CULTURES


def test_metrics_by_hand():
    hand = compared_by_hand()
    # sharp: a loses 3 of 4, b 2 of 4, and neither anything of the other's.
    assert hand.estimate("sharp", 0.1, "self").value == pytest.approx((-3 / 4 - 2 / 4) / 2)
    assert hand.estimate("sharp", 0.1, "cross").value == 0
    # blunt: a loses 2 of 4 and b 1 of 4; of the other's 2 of 4 each.
    assert hand.estimate("blunt", 0.1, "self").value == pytest.approx((-2 / 4 - 1 / 4) / 2)
    assert hand.estimate("blunt", 0.1, "cross").value == pytest.approx(-1 / 2)
    gap = hand.difference("sharp", "blunt", 0.1)
    assert gap.value == pytest.approx(-5 / 8 - (-3 / 8 + 1 / 2))
    profiles = hand.layer_profiles()
    assert profiles.loc["sharp"].tolist() == [(3 / 4 + 0) / 2, (1 / 4 + 1) / 2]
    assert profiles.loc["blunt"].tolist() == [1 / 4, 3 / 4]  # a has none, so no profile
    assert hand.taken("sharp", 0.1) == 3 and hand.taken("blunt", 0.1) == 2
    table = as_estimates(hand.table())
    assert list(table["selector"]) == ["sharp", "blunt"] and "beyond_random" not in table
    assert list(table["asked"]) == [4, 4]


@pytest.mark.slow
def test_means_are_of_paired_items_and_sets_widen_what_random_is_compared_with(compared):
    """The reference keeps no table of the package."""
    frame = compared.frame
    right = frame[frame["condition"] == "unmodified"].set_index("id")["correct"].astype(float)

    def own(selector, seed=0):
        mine = frame[(frame["selector"] == selector) & (frame["share"] == 0.15)]
        mine = mine[(mine["seed"] == seed) & (mine["mask"] == mine["culture"])].set_index("id")
        change = mine["correct"].astype(float) - right[mine.index]
        return change.groupby(mine["culture"]).mean()[list(CULTURES)].mean()

    found = compared.estimate("mad", 0.15, "self")
    assert found.value == pytest.approx(own("mad")) and found.low <= found.value <= found.high
    sets = [own("random", seed) for seed in (0, 1)]
    beyond = compared.difference("mad", "random", 0.15, "self")
    assert beyond.value == pytest.approx(own("mad") - np.mean(sets))
    reach = stats.t.ppf(0.975, 1) * np.std(sets, ddof=1) * np.sqrt(3 / 2)
    assert (beyond.high - beyond.low) / 2 >= reach or (beyond.low, beyond.high) == (-1, 1)
    nothing = compared.difference("mad", "mad", 0.15)
    assert nothing.value == 0 and nothing.low == pytest.approx(-nothing.high) and nothing.high > 0


@pytest.mark.slow
def test_the_table_has_a_row_per_selector_and_share(compared):
    table = as_estimates(compared.table())
    assert len(table) == 12
    row = table[(table["selector"] == "lap") & (table["share"] == 0.15)].iloc[0]
    assert row["gap"] == compared.estimate("lap", 0.15)
    assert row["beyond_random"] == compared.difference("lap", "random", 0.15, "self")
    numbers = compared.table()
    assert numbers.loc[numbers["selector"] == "random", "beyond_random"].isna().all()


@pytest.mark.slow
def test_it_is_written_and_read(compared, tmp_path):
    again = Comparison.from_parquet(compared.to_parquet(tmp_path / "comparison.parquet"))
    pd.testing.assert_frame_equal(again.frame, compared.frame)
    pd.testing.assert_frame_equal(again.table(), compared.table())
    pd.testing.assert_frame_equal(again.layer_profiles(0.03), compared.layer_profiles(0.03))
    assert json.loads(json.dumps(again.metadata)) == again.metadata
    other = compared.matrix("mad", 0.15).to_parquet(tmp_path / "matrix.parquet")
    with pytest.raises(InputError, match="is not a comparison of selectors"):
        Comparison.from_parquet(other)
    with pytest.raises(InputError, match="no such file"):
        Comparison.from_parquet(tmp_path / "none.parquet")


@pytest.mark.slow
def test_what_is_not_there_is_refused(compared, tmp_path):
    with pytest.raises(InputError, match="unknown selector 'best'"):
        compared.estimate("best", 0.15)
    with pytest.raises(InputError, match=r"no share 0\.2: there are 0\.03, 0\.15"):
        compared.matrix("lap", 0.2)
    with pytest.raises(InputError, match="unknown metric 'luck'"):
        compared.difference("lap", "mad", 0.15, "luck")
    with pytest.raises(InputError, match=r"no share 0\.2"):
        layer_profile_chart(compared, share=0.2)
    frame = compared.matrix("lap", 0.15).frame.drop(columns=["selector"])
    path = type(compared.matrix("lap", 0.15))(frame, {}).to_parquet(tmp_path / "m.parquet")
    with pytest.raises(InputError, match="is not a comparison of selectors"):
        Comparison.from_parquet(path)
