"""Metrics of an ablation matrix against plain loops, by hand, and their intervals."""

import math

import numpy as np
import pandas as pd
import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.conditions import METRICS
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.statistics.bootstrap import group_weights
from culture_lens.statistics.tables import as_estimates
from tests.helpers.intervals import plain_interval
from tests.helpers.marks import mostly_slow
from tests.helpers.matrices import random_records, records


def loop_tables(frame, condition, weights=None):
    """Accuracy, base and flips by loops over rows; each item weighs as often as its group."""
    weigh = (lambda group: 1) if weights is None else (lambda group: weights[group])
    base = {r["id"]: r for r in frame.to_dict("records") if r["condition"] == "unmodified"}

    def mean(rows, value):
        top = sum(weigh(r["group"]) * value(r) for r in rows)
        total = sum(weigh(r["group"]) for r in rows)
        return top / total if total else math.nan

    rows = [r for r in frame.to_dict("records") if r["condition"] == condition]
    cultures = sorted(set(frame["culture"]))
    masks = sorted({r["mask"] for r in rows})
    cells = {
        (m, e): [r for r in rows if r["mask"] == m and r["culture"] == e]
        for m in masks
        for e in cultures
    }
    accuracy = {cell: mean(own, lambda r: r["correct"]) for cell, own in cells.items()}
    flips = {
        cell: mean(own, lambda r: r["prediction"] != base[r["id"]]["prediction"])
        for cell, own in cells.items()
    }
    bases = {
        e: mean([r for r in base.values() if r["culture"] == e], lambda r: r["correct"])
        for e in cultures
    }
    return masks, cultures, accuracy, bases, flips


def average(values):
    held = [v for v in values if not math.isnan(v)]
    return sum(held) / len(held) if held else math.nan


def loop_metrics(frame, condition, weights=None):
    masks, cultures, accuracy, base, flips = loop_tables(frame, condition, weights)
    result = {name: {} for name in METRICS}
    for c in (c for c in masks if c in cultures):
        change = {cell: accuracy[cell] - base[cell[1]] for cell in accuracy}
        own = change[c, c]
        cross = average([change[c, e] for e in cultures if e != c])
        cross_masks = average([change[m, c] for m in masks if m != c])
        values = (base[c], own, cross, cross_masks, own - cross, own - cross_masks, flips[c, c])
        for name, value in zip(METRICS, values, strict=True):
            result[name][c] = value
    return result


@pytest.mark.parametrize("condition", ["found", "random"])
@pytest.mark.parametrize("which", mostly_slow(["real", "shared", "uneven"], fast=["uneven"]))
def test_metrics_equal_plain_loops(which, condition, request):
    matrix = {
        "real": lambda: request.getfixturevalue("real"),
        "shared": random_records,
        "uneven": lambda: random_records(1, cultures=("A", "B", "C", "D"), drop=0.3),
    }[which]()
    summary = as_estimates(matrix.summary(condition))
    expected = loop_metrics(matrix.frame, condition)
    for name in METRICS:
        for culture, value in expected[name].items():
            assert summary.loc[culture, name].value == pytest.approx(value, abs=1e-12), name
        mean = average(expected[name].values())
        assert matrix.overall(name, condition).value == pytest.approx(mean, abs=1e-12)
    masks, cultures, accuracy, base, flips = loop_tables(matrix.frame, condition)
    for (m, e), value in accuracy.items():
        assert matrix.table("accuracy", condition).loc[m, e] == pytest.approx(value, abs=1e-12)
        assert matrix.table("change", condition).loc[m, e] == pytest.approx(
            value - base[e], abs=1e-12
        )
        assert matrix.cell(m, e, "flips", condition).value == pytest.approx(flips[m, e], abs=1e-12)
    assert matrix.table("accuracy", "unmodified").loc["unmodified"].tolist() == pytest.approx(
        [base[e] for e in cultures]
    )


@pytest.mark.parametrize("shared", [True, False])
def test_every_influence_is_the_derivative_of_plain_loops(shared):
    """A group's influence on a metric is how the metric moves with the group's weight."""
    matrix = random_records(3, groups=5, seeds=1, shared=shared)
    groups = sorted(set(matrix.frame["group"]))
    metrics, step = matrix.metrics(), 1e-4
    for place, group in enumerate(groups):
        weights = [{g: 1 + sign * step * (g == group) for g in groups} for sign in (1, -1)]
        more, less = (loop_metrics(matrix.frame, "found", own) for own in weights)
        for name in METRICS:
            expected = [(more[name][c] - less[name][c]) / (2 * step) for c in matrix.both]
            found = metrics[name].rows[1 + place].tolist()
            assert found == pytest.approx(expected, abs=1e-7), (name, group)


def test_bootstrap_draws_equal_plain_loops():
    matrix = random_records(3, groups=3, seeds=1)
    groups = sorted(set(matrix.frame["group"]))
    draws = matrix.draws("change")
    for draw, row in enumerate(group_weights(len(groups))[:20], start=1):
        _, _, accuracy, base, _ = loop_tables(
            matrix.frame, "found", dict(zip(groups, row, strict=True))
        )
        change = [[accuracy[m, e] - base[e] for e in matrix.cultures] for m in matrix.masks]
        assert draws[draw] == pytest.approx(np.array(change), abs=1e-12)


def test_cells_have_the_interval_of_their_items():
    matrix = random_records(4, groups=8)
    frame = matrix.frame[matrix.frame["culture"] == "B"]
    before = frame[frame["condition"] == "unmodified"].set_index("id")
    after = frame[(frame["condition"] == "found") & (frame["mask"] == "B")].set_index("id")
    change = after["correct"].astype(float) - before["correct"].astype(float)
    cell = as_estimates(matrix.summary()).loc["B", "self"]
    expected = plain_interval(change.tolist(), after["group"].tolist(), (-1, 1))
    assert (cell.low, cell.high) == pytest.approx(expected) and cell == matrix.cell("B", "B")
    flips = (after["prediction"] != before["prediction"]).astype(float)
    cell = as_estimates(matrix.summary()).loc["B", "flips"]
    expected = plain_interval(flips.tolist(), after["group"].tolist(), (0, 1))
    assert (cell.low, cell.high) == pytest.approx(expected)


def test_means_over_cultures_are_paired_by_group():
    """A loses where B does not: every group costs their mean the same, which is the surer."""
    base = {(c, str(g)): 0 for c in "AB" for g in range(40)}
    lost = {(c, g): int((int(g) < 20) == (c == "A")) for c, g in base}
    runs = {("unmodified", "", 0): base} | {("found", c, 0): lost for c in "AB"}
    matrix = records(runs)
    own, mean = as_estimates(matrix.summary())["self"], matrix.overall("self")
    assert [e.value for e in own] == [mean.value] * 2 == [-0.5, -0.5]
    # within a culture half of the items are lost, so the mean is at most as sure as of 80 items
    narrow, wide = mean.high - mean.low, own["A"].high - own["A"].low
    assert narrow == pytest.approx(wide / math.sqrt(2), rel=0.1)


def test_a_gap_varies_with_other_cultures_questions_too():
    """No answer of A changes; half of B's do under A's mask, so A's gap is not sure."""
    base = {(c, str(g)): 0 for c in "AB" for g in range(40)}
    half = {(c, g): int(c == "B" and int(g) < 20) for c, g in base}
    runs = {("unmodified", "", 0): base} | {("found", c, 0): half for c in "AB"}
    summary = as_estimates(records(runs).summary())
    gap, own, cross = (summary.loc["A", name] for name in ("gap", "self", "cross"))
    assert (gap.value, own.value, cross.value) == (0.5, 0.0, -0.5)
    assert gap.high - gap.low > 0.9 * (cross.high - cross.low) > own.high - own.low


def test_by_hand():
    # culture A has 2 items, B 2; the mask of A spoils both of A and one of B
    base = {("A", "1"): 0, ("A", "2"): 0, ("B", "1"): 0, ("B", "2"): 1}
    mask_a = {("A", "1"): 1, ("A", "2"): 1, ("B", "1"): 1, ("B", "2"): 1}
    mask_b = {("A", "1"): 0, ("A", "2"): 0, ("B", "1"): 2, ("B", "2"): 2}
    matrix = records(
        {("unmodified", "", 0): base, ("found", "A", 0): mask_a, ("found", "B", 0): mask_b}
    )
    values = {n: [e.value for e in as_estimates(matrix.summary())[n]] for n in METRICS}
    assert values == {
        "base": [1.0, 0.5],
        "self": [-1.0, -0.5],
        "cross": [-0.5, 0.0],
        "cross_masks": [0.0, -0.5],
        "gap": [-0.5, -0.5],
        "gap_masks": [-1.0, 0.0],
        "flips": [1.0, 1.0],  # B/2 was wrong before and is wrong otherwise: a flip, no change
    }
    assert not matrix.has_random
    with pytest.raises(InputError, match="no table 'flips' under condition 'random'; there are"):
        matrix.cell("A", "A", "flips", "random")


def test_beyond_random_is_paired():
    matrix = random_records(5, groups=8)
    difference = matrix.beyond_random("self")
    found, random = loop_metrics(matrix.frame, "found"), loop_metrics(matrix.frame, "random")
    expected = average(found["self"][c] - random["self"][c] for c in found["self"])
    assert difference.value == pytest.approx(expected)
    same = matrix.frame[matrix.frame["condition"] == "found"].assign(condition="random")
    twin = AblationMatrix(
        pd.concat([matrix.frame[matrix.frame["condition"] != "random"], same], ignore_index=True)
    )
    exact = twin.beyond_random("self")  # one set: no interval
    assert exact.value == 0 and math.isnan(exact.low)
    again = pd.concat([twin.frame, same.assign(seed=1)], ignore_index=True)
    alike = AblationMatrix(again).beyond_random("self")
    assert alike.value == 0 and alike.low == pytest.approx(-alike.high) and alike.low < -0.1


def test_cultures_that_are_only_evaluated_or_only_ablated():
    matrix = random_records(6, cultures=("A", "B", "C"))
    frame = matrix.frame[(matrix.frame["mask"] != "C") & (matrix.frame["culture"] != "A")]
    part = AblationMatrix(frame)
    assert part.masks == ("A", "B") and part.cultures == ("B", "C")
    with pytest.raises(InputError, match="at least two cultures that are both ablated and"):
        part.metrics()
    wide = AblationMatrix(matrix.frame[matrix.frame["mask"] != "C"])  # C is evaluated only
    expected = loop_metrics(wide.frame, "found")
    for name in METRICS:
        assert wide.summary()[name].index.tolist() == ["A", "B"]
        for culture, value in expected[name].items():
            assert as_estimates(wide.summary()).loc[culture, name].value == pytest.approx(value)


def test_unknown_metric():
    with pytest.raises(InputError, match="unknown metric 'selfs': did you mean 'self'"):
        random_records().overall("selfs")


def test_few_question_groups_have_no_interval():
    frame = random_records().frame
    alone = frame["culture"] == "A"
    names = frame["group"].mask(alone & (frame["group"] > "g2"), "g2")
    matrix = AblationMatrix(frame.assign(group=names))
    assert matrix.too_few_groups == {"A": 3}
    with pytest.warns(CultureLensWarning, match=r"for intervals, which take 4: A \(3\)"):
        cell = matrix.cell("A", "A")
    assert cell.value == AblationMatrix(frame).cell("A", "A").value
    assert math.isnan(cell.low) and math.isnan(as_estimates(matrix.summary()).loc["A", "self"].high)
    assert math.isnan(as_estimates(matrix.effects("B")).loc["A", "change"].low)
    assert not math.isnan(matrix.cell("A", "B").low)
    assert not math.isnan(as_estimates(matrix.effects("B")).loc["B", "change"].low)


@pytest.mark.slow
def test_parquet_round_trip_and_damage(tmp_path, real):
    path = real.to_parquet(tmp_path / "m.parquet")
    loaded = AblationMatrix.from_parquet(path)
    assert loaded.metadata == real.metadata
    assert loaded.summary().map(str).equals(real.summary().map(str))
    assert pd.read_parquet(path).shape == real.frame.shape
    whole = path.read_bytes()
    for damaged in (whole[:-20], whole[: len(whole) // 2], b"", b"PAR1"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="m.parquet is damaged"):
            AblationMatrix.from_parquet(path)
    real.frame.to_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="not an ablation matrix"):
        AblationMatrix.from_parquet(tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no such file"):
        AblationMatrix.from_parquet(tmp_path / "none.parquet")
