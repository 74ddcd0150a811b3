"""Tests of the cells, the diagonal and random masks: by hand, against loops, calibrated."""

import math
import warnings
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.cell_tests import (
    against_random,
    cell_tests,
    diagonal_contrast,
    diagonal_test,
)
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.paired_answers import PairedAnswers
from culture_lens.experiments.power import minimum_detectable_effect
from culture_lens.statistics.permutation import (
    holm,
    permutation_p,
    relabelling_p,
    relabellings,
)
from culture_lens.statistics.tables import as_estimates
from tests.helpers.calibration import exactly_uniform
from tests.helpers.matrices import clustered, frame_of, one_mask, random_records, records


@pytest.fixture(scope="module")
def null_table(null):
    return as_estimates(cell_tests(null))


# ------------------------------------------------------------------ by hand and by enumeration


def test_cells_by_hand():
    # mask A spoils 7 of A's 8 right answers and mends its wrong one; each item its own group
    items = [("A", f"{i}") for i in range(9)] + [("B", f"{i}") for i in range(9)]
    base = {item: int(item[1] == "8") for item in items}
    mask = {item: int(item[1] < "7") if item[0] == "A" else base[item] for item in items}
    matrix = records(
        {("unmodified", "", 0): base, ("found", "A", 0): mask, ("found", "B", 0): base}
    )
    table = as_estimates(cell_tests(matrix)).set_index(["mask", "culture"])
    cell = table.loc["A", "A"]
    assert (cell["lost"], cell["gained"], cell["items"], cell["groups"]) == (7, 1, 9, 9)
    # binomial of 8 pairs, two tails of 0 and 1: 2 (1 + 8) / 2^8
    assert cell["mcnemar_p"] == pytest.approx(18 / 256) == cell["p"]
    assert cell["corrected_p"] == pytest.approx(4 * 18 / 256) and cell["mark"] == ""
    assert cell["change"].value == pytest.approx(-6 / 9) and cell["note"] == ""
    assert cell["change"] == matrix.cell("A", "A")
    still = table.drop(("A", "A"))
    assert (still["p"] == 1).all() and (still["mcnemar_p"] == 1).all()
    assert (still["note"] == "no answer went from right to wrong or back").all()


def test_mcnemar_is_the_special_case_of_one_item_per_group():
    matrix = random_records(2, cultures=("A", "B"), groups=23)
    table = as_estimates(cell_tests(matrix))
    assert table["p"].tolist() == pytest.approx(table["mcnemar_p"].tolist(), abs=1e-12)
    assert len(set(table["p"])) > 2


def test_random_masks_in_cells():
    matrix = random_records(3, cultures=("A", "B"), groups=5, seeds=2)
    with pytest.warns(CultureLensWarning, match="too few question groups"):
        found = cell_tests(matrix, condition="found")
    table = as_estimates(cell_tests(matrix, condition="random")).set_index(["mask", "culture"])
    assert table["mcnemar_p"].isna().all() and found["mcnemar_p"].notna().all()
    frame = matrix.frame[matrix.frame["culture"] == "B"]
    wide = frame.pivot(
        index="group", columns=["condition", "mask", "seed"], values="correct"
    ).astype(int)
    counts = wide[[("unmodified", "", 0), ("random", "A", 0), ("random", "A", 1)]].to_numpy()
    assert table.loc[("A", "B"), "p"] == relabelling_p(counts)
    lost = sum(int((counts[:, 0] > counts[:, k]).sum()) for k in (1, 2))
    assert table.loc[("A", "B"), "lost"] == lost


def test_diagonal_equals_a_plain_loop():
    matrix = random_records(8, cultures=("A", "B", "C", "D"), groups=9)
    change = matrix.table("change").to_numpy()

    def contrast(order):
        own = [change[order[c], c] for c in range(4)]
        other = [change[m, c] for c in range(4) for m in range(4) if m != order[c]]
        return np.mean(own) - np.mean(other)

    values = [contrast(order) for order in permutations(range(4))]
    result = diagonal_test(matrix)
    assert result.estimate.value == pytest.approx(values[0]) and result.estimate.low < values[0]
    assert result.p == np.mean(np.abs(values) >= abs(values[0]) - 1e-12)
    assert (result.permutations, result.exact) == (24, True)
    one_sided = [diagonal_test(matrix, alternative=a).p for a in ("less", "greater")]
    assert one_sided == [
        np.mean(np.array(values) <= values[0] + 1e-12),
        np.mean(np.array(values) >= values[0] - 1e-12),
    ]
    with pytest.raises(InputError, match="unknown alternative 'lesser': did you mean 'less'"):
        diagonal_test(matrix, alternative="lesser")


def test_effects_of_rows_and_columns_cancel_in_the_diagonal():
    source = np.random.default_rng(1)
    rows, columns = source.normal(size=(5, 1)), source.normal(size=(1, 5))
    orders, _ = relabellings(5)
    assert np.abs(diagonal_contrast((rows + columns)[None], orders)).max() < 1e-12


def test_against_random_by_hand_and_loop():
    matrix = random_records(6, cultures=("A", "B", "C"), groups=12, seeds=3)
    table = as_estimates(against_random(matrix))
    assert table.index.tolist() == ["A", "B", "C", "mean"]
    for culture in "ABC":
        row = table.loc[culture]
        frame = matrix.frame[
            (matrix.frame["culture"] == culture) & (matrix.frame["mask"] == culture)
        ]
        sets = frame.groupby(["condition", "seed"])["correct"].mean()
        found, random = sets["found", 0], sets["random"]
        assert (row["rank"], row["sets"]) == (1 + (random <= found).sum(), 3)
        assert row["rank_p"] == row["rank"] / 4
        wide = frame.pivot(index="group", columns=["condition", "seed"], values="correct")
        difference = wide["found", 0].astype(float) - wide["random"].astype(float).mean(axis=1)
        assert row["difference"].value == pytest.approx(difference.mean())
        # p and interval agree, with 2 degrees of freedom, and hold the variance of sets
        low, high = row["difference"].low, row["difference"].high
        error = (high - low) / 2 / stats.t.ppf(0.975, 2)
        assert error >= np.std(random, ddof=1) * math.sqrt(4 / 3) - 1e-12
        assert row["p"] == pytest.approx(2 * stats.t.sf(abs(low + high) / 2 / error, 2))
    assert table.loc["mean", "difference"] == matrix.beyond_random("self")
    assert table["corrected_p"][:3].tolist() == holm(table["p"][:3].to_numpy()).tolist()
    assert table.loc["mean", "corrected_p"] == table.loc["mean", "p"]


@pytest.mark.slow
def test_one_more_random_set_is_rarely_taken_for_found():
    """Found neurons drawn as the random ones: sets that differ are no evidence.

    Of 40 matrices 15% are three standard errors above 5%; speed/intervals.py has more.
    """
    source, cultures, claims = np.random.default_rng(0), ("A", "B"), 0
    runs = [("unmodified", "", 0), *(("found", c, 0) for c in cultures)]
    runs += [("random", c, seed) for seed in range(5) for c in cultures]
    for _ in range(40):
        own = 0.5 + 0.25 * source.uniform(-1, 1, (6, 2))  # accuracy by set and culture
        rate = np.full((len(runs), 2, 60), 0.5)
        for run, (_, mask, _) in enumerate(runs[1:], start=1):
            place = cultures.index(mask)
            rate[run, place] = own[(run - 1) // 2, place]
        answers = source.random((len(runs), 2, 60, 1)) < rate[..., None]
        claims += frame_of(runs, cultures, answers.astype(int)).beyond_random().excludes(0.0)
    assert claims / 40 <= 0.15


def test_one_random_set_is_no_test():
    table = as_estimates(against_random(random_records(6, cultures=("A", "B"), groups=12, seeds=1)))
    assert table["p"].isna().all() and (table["mark"] == "").all()
    assert all(math.isnan(e.low) for e in table["difference"]) and (table["sets"] == 1).all()


def test_one_mask_of_no_culture():
    matrix = random_records(7, cultures=("A", "B"), groups=8, seeds=2)
    frame = matrix.frame[matrix.frame["mask"] != "B"]
    general = AblationMatrix(frame.assign(mask=frame["mask"].replace("A", "general")))
    table = as_estimates(against_random(general, mask="general"))
    assert table.loc["mean", "difference"] == general.effect_beyond_random("general")
    with pytest.raises(InputError, match="no culture was both ablated"):
        against_random(general)
    with pytest.raises(InputError, match="unknown mask 'generals': did you mean 'general'"):
        minimum_detectable_effect(general, mask="generals")


# ------------------------------------------------------------------ calibration


@pytest.mark.slow
def test_p_of_cells_is_uniform_under_the_null_and_mcnemar_is_not(null, null_table):
    answers, source = PairedAnswers.of(null), np.random.default_rng(0)
    runs = [("unmodified", "", 0), ("found", "m", 0)]
    spread = [exactly_uniform(answers.of_groups(c, runs), source) for c in null.cultures]
    assert stats.kstest(spread, "uniform").pvalue > 0.05
    p = null_table["p"].to_numpy()
    # never too many small ones, and not so few that the test were of no use
    assert stats.kstest(p, "uniform", alternative="greater").pvalue > 0.05
    for level in (0.01, 0.05, 0.2):
        error = math.sqrt(level * (1 - level) / len(p))
        assert abs((p <= level).mean() - level) < 3 * error
    naive = null_table["mcnemar_p"].to_numpy()
    assert stats.kstest(naive, "uniform", alternative="greater").pvalue < 1e-10
    assert (naive <= 0.05).mean() > 0.15


@pytest.mark.parametrize("n", [5, 12])
def test_p_of_the_diagonal_is_uniform_under_the_null(n):
    """Masks of different strength, cultures of different frailty, items going together."""
    source, trials = np.random.default_rng(n), 400
    orders, exact = relabellings(n)
    assert exact == (n == 5)
    strength = source.uniform(0, 0.2, (trials, n, 1, 1))
    frailty = source.uniform(0, 0.2, (trials, 1, n, 1))
    base = clustered(source, (trials, 1, n, 20, 4), 0.7)
    rate = np.broadcast_to(0.7 - strength - frailty, (trials, n, n, 20))
    change = clustered(source, (trials, n, n, 20, 4), rate).mean((3, 4)) - base.mean((3, 4))
    observed = diagonal_contrast(change, np.arange(n)[None])[:, 0]
    p = [
        permutation_p(value, diagonal_contrast(own[None], orders[:2000])[0], exact)
        for value, own in zip(observed, change, strict=True)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.05
    own = change - 0.15 * np.eye(n)
    found = [
        permutation_p(value, diagonal_contrast(one[None], orders[:2000])[0], exact) <= 0.05
        for value, one in zip(diagonal_contrast(own, np.arange(n)[None])[:, 0], own, strict=True)
    ]
    assert np.mean(found) > 0.9


@pytest.mark.slow
def test_intervals_of_cells_cover():
    for effect in (0.0, -0.2):
        matrix = one_mask(3, np.full(400, effect))
        cells = [matrix.cell("m", culture) for culture in matrix.cultures]
        # the standard error of a coverage of 0.95 over 400 cells is 0.011
        assert 0.925 <= np.mean([c.low <= effect <= c.high for c in cells]) <= 0.985


@pytest.mark.slow
def test_intervals_of_the_diagonal_cover():
    source, cultures, covered = np.random.default_rng(4), ("A", "B", "C", "D"), 0
    truth, trials = -0.2, 100
    runs = [("unmodified", "", 0), *(("found", c, 0) for c in cultures)]
    rate = np.full((5, 4, 30), 0.7)
    rate[1:][np.arange(4), np.arange(4)] += truth
    for _ in range(trials):
        matrix = frame_of(runs, cultures, clustered(source, (5, 4, 30, 3), rate))
        result = diagonal_test(matrix)
        covered += result.estimate.low <= truth <= result.estimate.high
    assert 0.89 <= covered / trials <= 0.99  # standard error 0.022


@pytest.mark.slow
def test_power_grows_with_the_effect():
    effects = np.repeat([0.0, -0.1, -0.2, -0.3], 60)
    table = as_estimates(cell_tests(one_mask(7, effects)))
    found = (table["p"] <= 0.05).to_numpy().reshape(4, 60).mean(1)
    assert (np.diff(found) > 0.1).all() and found[0] <= 0.1 and found[-1] > 0.85


# ------------------------------------------------------------------ nothing to test


def test_one_group_all_alike_and_no_variance():
    answers = {(c, g): 0 for c in "AB" for g in ("1", "2", "3", "4", "5", "6")}
    lone = {("C", "1"): 0}
    base = answers | lone
    runs = {("unmodified", "", 0): base} | {("found", c, 0): base for c in "ABC"}
    runs |= {("random", c, 0): base for c in "ABC"}
    matrix = records(runs)
    with pytest.warns(CultureLensWarning, match=r"any effect.*: C \(1, p at least 1\)\. Ask more"):
        table = as_estimates(cell_tests(matrix))
    assert (table["p"] == 1).all() and (table["corrected_p"] == 1).all()
    assert (table["mark"] == "").all() and all(e.value == 0 for e in table["change"])
    with pytest.warns(CultureLensWarning, match="3 cultures have only 6 orders"):
        result = diagonal_test(matrix)
    assert result.p == 1 and result.estimate.value == 0
    random = as_estimates(against_random(matrix))
    assert random["p"].isna().all() and (random["rank_p"] == 1).all()
    with pytest.warns(
        CultureLensWarning, match="no smallest effect can be given for A, B, C, mean"
    ):
        least = minimum_detectable_effect(matrix)
    assert least["effect"].isna().all() and least.loc["C", "groups"] == 1


def test_ten_groups_warn_of_nothing_and_two_do():
    cultures = ("A", "B", "C", "D")
    matrix = random_records(1, cultures=cultures, groups=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cells, least = cell_tests(matrix), minimum_detectable_effect(matrix)
        tables = (cells, against_random(matrix))
        diagonal = diagonal_test(matrix)
    assert len(cells) == 16 and all(table["p"].between(1e-9, 1).all() for table in tables)
    assert 0 < diagonal.p <= 1 and least["effect"].between(0.01, 2).all()
    few = random_records(1, cultures=cultures, groups=2)
    with pytest.warns(CultureLensWarning, match=r"too few question groups.*A \(2, p at least"):
        assert cell_tests(few)["p"].min() >= 2 / 2**2
    few = AblationMatrix(few.frame)
    with pytest.warns(CultureLensWarning, match=r"for intervals, which take 4: A \(2\), B \(2\)"):
        assert against_random(few)["p"].isna().all()


def test_conditions_and_corrections_that_are_unknown_are_refused():
    matrix = random_records(1, cultures=("A", "B"))
    alone = AblationMatrix(matrix.frame[matrix.frame["condition"] != "random"])
    for call in (against_random, lambda m: cell_tests(m, condition="random")):
        with pytest.raises(InputError, match="no masks of random neurons: run ablation_matrix"):
            call(alone)
    with pytest.raises(InputError, match="unknown condition 'unmodified'"):
        cell_tests(matrix, condition="unmodified")
    with pytest.raises(InputError, match="unknown correction 'bonferoni'"):
        against_random(matrix, correction="bonferoni")
