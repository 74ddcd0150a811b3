"""Agreement of relations with a table of distances: by hand, by enumeration, on known families."""

import math
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.agreement_with_table import agreement_with_table, as_distances
from culture_lens.experiments.related_cultures import related_cultures
from culture_lens.statistics.mantel import square
from tests.helpers.families import CULTURES, FAMILY, families, relations_of


def test_mantel_by_hand_and_by_enumeration():
    # distances 0, 1, 2, 3, 4, 5 of pairs AB, AC, AD, BC, BD, CD in both: full agreement
    ours = square(np.arange(6.0))
    table = {pair: 10.0 * i for i, pair in enumerate(combinations("ABCD", 2))}
    result = agreement_with_table(relations_of([ours, ours], "ABCD"), table, alternative="greater")
    assert result.estimate.value == pytest.approx(1) and result.exact
    # of the 24 orders only the given one puts every pair where it was
    assert (result.p, result.permutations) == (pytest.approx(1 / 24), 24)
    source = np.random.default_rng(3)
    ours, theirs = square(source.random(10)), square(source.integers(0, 4, 10).astype(float))
    above = np.triu_indices(5, 1)
    observed = stats.spearmanr(ours[above], theirs[above]).statistic
    null = [
        stats.spearmanr(ours[above], theirs[np.ix_(order, order)][above]).statistic
        for order in permutations(range(5))
    ]
    frame = pd.DataFrame(theirs, index=list("ABCDE"), columns=list("ABCDE"))
    for alternative, count in {
        "two-sided": np.sum(np.abs(null) >= abs(observed) - 1e-12),
        "less": np.sum(np.array(null) <= observed + 1e-12),
        "greater": np.sum(np.array(null) >= observed - 1e-12),
    }.items():
        result = agreement_with_table(relations_of([ours], "ABCDE"), frame, alternative=alternative)
        assert result.estimate.value == pytest.approx(observed)
        assert result.p == pytest.approx(count / 120)


def test_families_agree_with_their_table():
    relations = related_cultures(families())
    with pytest.warns(CultureLensWarning, match=r"no p below 0\.1 is possible"):
        result = agreement_with_table(relations, FAMILY, alternative="greater")
    assert result.estimate.value > 0.8 and result.estimate.low > 0.5
    # 3! 3! 2 of the 6! orders keep the families
    assert result.p == pytest.approx(72 / 720)
    wrong = agreement_with_table(relations, dict(zip(CULTURES, "xyxyxy", strict=True)))
    assert wrong.estimate.value < 0.2 and wrong.p > 0.3


def test_tables_of_every_form():
    pairs = {("A", "B"): 1, ("C", "A"): 2, ("B", "C"): 3, ("B", "Z"): 9}
    expected = [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    assert as_distances(pairs, ("A", "B", "C")).to_numpy().tolist() == expected
    frame = pd.DataFrame(expected, index=list("ABC"), columns=list("ABC"))
    assert as_distances(frame, ("A", "B", "C", "D")).to_numpy().tolist() == expected
    series = pd.Series({"A": "x", "B": "x", "C": "y", "D": None})
    table = as_distances(series, ("A", "B", "C", "D"))
    assert table.index.tolist() == ["A", "B", "C"] and table.loc["A"].tolist() == [0, 0, 1]
    for broken, message in {
        (("A", "B"), 1.0): "distance of 'A' and 'C' is lacking",
        (("A", "C"), -1.0): r"distance of 'A' and 'C' is \[-1.0\]",
        (("A", "C"), 2.0): r"distance of 'A' and 'C' is \[2.0, 5.0\]",
        ("A", 1.0): "mixes pairs and single cultures",
    }.items():
        bad = {("B", "C"): 1.0, ("A", "B"): 1.0, broken[0]: broken[1]}
        if "5.0" in message:
            bad["C", "A"] = 5.0
        with pytest.raises(InputError, match=message):
            as_distances(bad, ("A", "B", "C"))


def test_cultures_that_the_table_lacks_are_said():
    relations = related_cultures(families(groups=20))
    with pytest.warns(CultureLensWarning, match="1 of 6 cultures are not in the table.*: F"):
        result = agreement_with_table(relations, {c: FAMILY[c] for c in "ABCDE"})
    assert result.permutations == 120
    with pytest.raises(InputError, match="has 3 of the 6 cultures.*lacks D, E, F"):
        agreement_with_table(relations, {c: FAMILY[c] for c in "ABC"})
    with pytest.raises(InputError, match="all cultures are equally far"):
        agreement_with_table(relations, dict.fromkeys(CULTURES, "x"))
    with pytest.warns(CultureLensWarning, match="no agreement to test"):
        nothing = agreement_with_table(relations_of(np.zeros((3, 6, 6))), FAMILY)
    assert math.isnan(nothing.p) and math.isnan(nothing.estimate.value)
