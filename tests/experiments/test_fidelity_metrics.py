"""Correlation, slope and intervals of fidelity, against numpy, pandas and a plain bootstrap."""

import math

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.fidelity_units import NEURON, SET
from culture_lens.statistics.tables import as_estimates
from tests.helpers.intervals import plain_interval


def made(unit_effects, groups=6, items=3, kind=NEURON, seed=0, scores=None):
    """Records with given mean effects, predicted and measured, and noise of each item."""
    source = np.random.default_rng(seed)
    rows = []
    for number, (predicted, measured) in enumerate(unit_effects):
        for group in range(groups):
            for item in range(items):
                noise = source.normal(0, 0.3, 2)
                rows.append(
                    {
                        "unit": f"u{number}",
                        "kind": kind,
                        "size": number + 1,
                        "score": float("nan") if scores is None else scores[number],
                        "id": f"{group}/{item}",
                        "culture": f"c{item}",
                        "group": f"g{group}",
                        "p_gold": 0.5,
                        "predicted": predicted + noise[0],
                        "measured": measured + noise[1],
                    }
                )
    return Fidelity(pd.DataFrame(rows), {"model": "made"})


EFFECTS = [(0.0, 0.1), (1.0, 0.7), (2.0, 2.5), (-1.0, 0.0), (0.5, 0.4)]


def test_unit_means_are_those_by_hand():
    found = made(EFFECTS)
    table = as_estimates(found.units(NEURON))
    for unit, part in found.frame.groupby("unit"):
        for column in ("predicted", "measured"):
            assert table.loc[unit, column].value == pytest.approx(part[column].mean(), rel=1e-12)
            estimate = table.loc[unit, column]
            assert estimate.low < estimate.value < estimate.high
    assert table["size"].tolist() == [1, 2, 3, 4, 5]


def test_unit_intervals_are_those_of_a_plain_loop():
    found = made(EFFECTS[:1])
    estimate = as_estimates(found.units(NEURON)).loc["u0", "measured"]
    expected = plain_interval(found.frame["measured"].tolist(), found.frame["group"].tolist())
    assert (estimate.low, estimate.high) == pytest.approx(expected)


def test_correlation_and_slope_are_those_of_numpy_and_pandas():
    found = made(EFFECTS)
    means = found.frame.groupby("unit")[["predicted", "measured"]].mean()
    x, y = means["predicted"], means["measured"]
    assert found.correlation(NEURON).value == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-12)
    rank = found.correlation(NEURON, "spearman").value
    assert rank == pytest.approx(x.rank().corr(y.rank()), rel=1e-12)
    slope = np.linalg.lstsq(x.to_numpy()[:, None], y.to_numpy(), rcond=None)[0][0]
    assert found.slope(NEURON).value == pytest.approx(slope, rel=1e-12)
    for estimate in (found.correlation(NEURON), found.slope(NEURON)):
        assert estimate.low <= estimate.value <= estimate.high


def test_perfect_predictions_have_slope_and_correlation_one():
    found = made(EFFECTS)
    perfect = Fidelity(found.frame.assign(predicted=found.frame["measured"]))
    for estimate in (
        perfect.correlation(NEURON),
        perfect.correlation(NEURON, "spearman"),
        perfect.slope(NEURON),
    ):
        # no draw differs from another, so nothing is known of how much they might
        assert estimate.value == pytest.approx(1.0) and math.isnan(estimate.low)


def test_scores_are_correlated_with_what_ablation_costs():
    losses = [(0.0, -3.0), (0.0, -2.0), (0.0, -1.0), (0.0, 2.0)]
    found = made(losses, scores=[4.0, 3.0, 2.0, 1.0])
    assert found.score_correlation().value == pytest.approx(1.0)
    turned = made(losses, scores=[1.0, 2.0, 3.0, 4.0])
    assert turned.score_correlation().value == pytest.approx(-1.0)


def test_repeated_items_of_a_group_do_not_narrow_intervals():
    frame = made(EFFECTS).frame
    alike = frame.groupby(["unit", "group"])["measured"].transform("mean")
    found = Fidelity(frame.assign(measured=alike))
    twice = found.frame.assign(id=found.frame["id"] + "again")
    doubled = Fidelity(pd.concat([found.frame, twice], ignore_index=True))
    for one, other in (
        (found.correlation(NEURON), doubled.correlation(NEURON)),
        (found.slope(NEURON), doubled.slope(NEURON)),
        (
            as_estimates(found.units(NEURON)).loc["u1", "measured"],
            as_estimates(doubled.units(NEURON)).loc["u1", "measured"],
        ),
    ):
        assert (other.value, other.low, other.high) == pytest.approx(
            (one.value, one.low, one.high), rel=1e-9
        )
    apart = twice.assign(group=twice["group"] + "again")
    narrower = Fidelity(pd.concat([found.frame, apart], ignore_index=True))
    one, other = (as_estimates(f.units(NEURON)).loc["u1", "measured"] for f in (found, narrower))
    assert other.high - other.low < 0.9 * (one.high - one.low)


def test_too_few_units_and_unknown_names_are_refused():
    found = made(EFFECTS[:2])
    for read in (found.correlation, found.slope):
        with pytest.raises(InputError, match="only 2 units"):
            read(NEURON)
        with pytest.raises(InputError, match="kind of unit 'sets'"):
            read("sets")
    with pytest.raises(InputError, match="correlation 'kendall'"):
        found.correlation(NEURON, "kendall")
    with pytest.raises(InputError):
        made(EFFECTS, kind=SET).score_correlation()
    with pytest.raises(InputError):
        found.units("sets")


def test_records_survive_a_file(tmp_path):
    found = made(EFFECTS)
    again = Fidelity.from_parquet(found.to_parquet(tmp_path / "fidelity.parquet"))
    pd.testing.assert_frame_equal(found.frame, again.frame)
    assert again.correlation(NEURON) == found.correlation(NEURON)
    (tmp_path / "fidelity.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="damaged"):
        Fidelity.from_parquet(tmp_path / "fidelity.parquet")
    with pytest.raises(InputError, match="no such file"):
        Fidelity.from_parquet(tmp_path / "other.parquet")
