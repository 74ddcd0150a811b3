"""Which cultures lose accuracy together: by hand and on families that are known."""

import math
import warnings
from itertools import combinations

import numpy as np
import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.agreement_with_table import agreement_with_table
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.related_cultures import related_cultures, relation_effects
from culture_lens.plots.relations import relations_heatmap
from culture_lens.statistics.tables import as_estimates
from tests.helpers.families import CULTURES, FAMILY, families
from tests.helpers.matrices import random_records


def test_relation_effects_are_those_of_the_social_relations_model():
    """Its closed form, with row means R, column means C and the grand mean M off the diagonal."""
    source, n = np.random.default_rng(0), 5
    table = source.normal(size=(n, n))
    off = ~np.eye(n, dtype=bool)
    table[~off] = np.nan
    row, column, grand = np.nanmean(table, 1), np.nanmean(table, 0), np.nanmean(table)
    actor = (n - 1) ** 2 / (n * (n - 2)) * row + (n - 1) / (n * (n - 2)) * column
    actor = actor - (n - 1) / (n - 2) * grand
    partner = (n - 1) ** 2 / (n * (n - 2)) * column + (n - 1) / (n * (n - 2)) * row
    partner = partner - (n - 1) / (n - 2) * grand
    expected = table - actor[:, None] - partner[None] - grand
    found = relation_effects(table[off][None], n)[0]
    assert found == pytest.approx(expected[off], abs=1e-12)


def test_changes_ranks_and_distances_of_a_matrix():
    matrix = random_records(4, cultures=("A", "B", "C", "D"), groups=12)
    raw = related_cultures(matrix, adjusted=False)
    change = matrix.table("change")
    for mask in "ABCD":
        others = [c for c in "ABCD" if c != mask]
        assert raw.table.loc[mask, others].tolist() == change.loc[mask, others].tolist()
        for c in others:  # ties share the mean of their places
            below = sum(change.loc[mask, o] < change.loc[mask, c] for o in others)
            same = sum(change.loc[mask, o] == change.loc[mask, c] for o in others)
            assert raw.ranks.loc[mask, c] == below + (same + 1) / 2
        listed = as_estimates(raw.related(mask))
        assert sorted(listed.index) == others and listed["rank"].is_monotonic_increasing
        assert listed.loc[others[0], "change"] == matrix.cell(mask, others[0])
        assert listed.loc[others[0], "relation"] == raw.cell(mask, others[0])
    both = (raw.table + raw.table.T) / 2
    smallest = np.nanmin(both.to_numpy())
    for a, b in combinations("ABCD", 2):
        assert raw.distance.loc[a, b] == pytest.approx(both.loc[a, b] - smallest)
        assert raw.distance.loc[b, a] == raw.distance.loc[a, b]
    assert np.diag(raw.distance).tolist() == [0] * 4
    assert np.isnan(np.diag(raw.table)).all()


def test_families_are_found_and_frailty_does_not_hide_them():
    plain = related_cultures(families())
    first = {c: set(plain.related(c).index[:2]) for c in CULTURES}
    assert first == {c: {o for o in CULTURES if FAMILY[o] == FAMILY[c]} - {c} for c in CULTURES}
    assert "".join(FAMILY[c] for c in plain.order) in ("xxxyyy", "yyyxxx")
    assert plain.cophenetic > 0.8
    relation = plain.cell("A", "B")
    assert relation.value < relation.high < 0
    frail = families(seed=1, drop=0.15, own=0.2, frail=0.35)
    adjusted, raw = related_cultures(frail), related_cultures(frail, adjusted=False)
    assert "".join(FAMILY[c] for c in adjusted.order) in ("xxxyyy", "yyyxxx")
    near = [set(raw.related(c).index[:2]) for c in "AB"]
    assert all("F" in own for own in near)  # of the other family, but hit by everything


def test_too_few_cultures_and_no_difference():
    with pytest.raises(InputError, match="at least 3 cultures that are both ablated.*are 2"):
        related_cultures(random_records(cultures=("A", "B")))
    matrix = random_records(1)
    part = matrix.frame[(matrix.frame["culture"] != "B") | (matrix.frame["mask"] != "A")]
    with pytest.raises(InputError, match="no change is known for questions of 'B' under.*'A'"):
        related_cultures(AblationMatrix(part))
    with pytest.raises(InputError, match="unknown culture 'Z'"):
        related_cultures(matrix).related("Z")
    still = matrix.frame.assign(correct=True, prediction=0)
    same = related_cultures(AblationMatrix(still))
    with pytest.warns(CultureLensWarning, match="the tree has no meaning"):
        assert math.isnan(same.cophenetic)
    assert sorted(same.order) == ["A", "B", "C"]


def test_nothing_warns_without_a_reason():
    relations = related_cultures(families(groups=10))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.warns(CultureLensWarning, match="no p below 0.1 is possible"):
            result = agreement_with_table(relations, FAMILY)  # two families of three
        figure = relations_heatmap(relations)
    assert (result.permutations, result.exact) == (720, True) and 0 < result.p <= 1
    assert tuple(figure.data[0].x) == relations.order and set(relations.order) == set(CULTURES)
    with pytest.warns(CultureLensWarning, match="2 of 6 cultures are not in the table.*: E, F"):
        assert agreement_with_table(relations, {c: FAMILY[c] for c in "ABCD"}).permutations == 24
