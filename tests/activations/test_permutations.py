"""Which labels are exchanged: whole cells of equal size, every arrangement once."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from culture_lens.activations.resampling import make_design
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.questions.question import Question
from culture_lens.questions.strata import column_of, strata_of
from tests.helpers.simulated import questions_of


def asked(sizes, category=lambda row: "all"):
    """Questions of groups given as ``{culture: number of items}``."""
    return [
        Question(
            id=f"{number}/{culture}/{row}",
            culture=culture,
            text=f"{number}",
            options=("a", "b"),
            answer=0,
            group=f"{number}",
            category=category(row),
        )
        for number, cells in enumerate(sizes)
        for culture, size in cells.items()
        for row in range(size)
    ]


def cells_of(questions):
    cells = {}
    for row, question in enumerate(questions):
        cells.setdefault((question.group, question.culture), []).append(row)
    return cells


def every_arrangement(sizes):
    """All ways to deal labels to cells of equal size within groups, names apart, by plain loops."""
    cells = [(number, culture) for number, held in enumerate(sizes) for culture in held]
    cultures = sorted({culture for _, culture in cells})
    found = set()
    for dealt in product(*(permutations(held) for held in sizes)):
        new = {
            (number, old): label
            for number, (held, order) in enumerate(zip(sizes, dealt, strict=True))
            for old, label in zip(held, order, strict=True)
        }
        if all(sizes[n][old] == sizes[n][label] for (n, old), label in new.items()):
            found.add(tuple(new[cell] for cell in cells))
    named = set()
    for one in sorted(found):
        renamings = (dict(zip(cultures, order, strict=True)) for order in permutations(cultures))
        same = {tuple(names[label] for label in one) for names in renamings} & found
        named.add(min(same))
    return named


# ------------------------------------------------------------------ whole cells


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_rows_of_a_cell_keep_one_label(rows):
    questions = questions_of(6, per_group=rows, mixed=True)
    design = make_design(questions, permutations=30)
    for labels in design.permuted:
        held = {cell: set(labels[at]) for cell, at in cells_of(questions).items()}
        assert all(len(one) == 1 for one in held.values())
        for number in range(6):
            assert len({min(one) for (group, _), one in held.items() if group == str(number)}) == 4


def test_cells_of_unequal_size_do_not_exchange_labels():
    """In every group B and C have one row, A has two: A keeps its label, B and C exchange."""
    questions = asked([{"A": 2, "B": 1, "C": 1}] * 7)
    labels = make_design(questions, permutations=30).permuted
    own = np.array(["ABC".index(q.culture) for q in questions])
    assert (labels[:, own == 0] == 0).all()
    assert {0, 1, 2} - set(labels[:, own == 1].ravel()) == {0}
    assert (labels[:, own == 1] != own[own == 1]).any(0).all()


def test_every_culture_keeps_its_number_of_items_in_every_stratum():
    rng = np.random.default_rng(0)
    sizes = [{c: int(rng.integers(1, 4)) for c in "ABCD"} for _ in range(30)]
    questions = asked(sizes, category=lambda row: "xy"[row % 2])
    strata = strata_of(questions, "category")
    design = make_design(questions, permutations=25, strata=strata)
    cells = cells_of(questions)
    for labels in design.permuted:
        assert all(len(set(labels[rows])) == 1 for rows in cells.values())
        for stratum in "xy":
            at = np.array(strata) == stratum
            assert (np.bincount(labels[at]) == np.bincount(design.labels[at])).all()
    assert design.permuted_weight.sum(1) == pytest.approx(design.weight.sum())


def test_groups_of_one_culture_exchange_with_groups_of_their_size():
    sizes = [{"AB"[number % 2]: 1 + number // 2 % 3} for number in range(24)]
    questions = asked(sizes)
    size_of = np.array([1 + int(q.group) // 2 % 3 for q in questions])
    moved = make_design(questions, permutations=40)
    for labels in moved.permuted:
        for size in (1, 2, 3):
            held = labels[size_of == size]
            assert np.bincount(held).tolist() == [4 * size, 4 * size]
    assert (moved.permuted != moved.labels).any(0).all()


def test_items_that_do_not_count_hinder_no_exchange():
    """A third row of some cells is of a stratum that C lacks: it has no weight."""
    questions = asked([{"A": 2, "B": 3, "C": 2}] * 6, category=lambda row: "xxy"[row])
    with pytest.warns(CultureLensWarning, match="6 of 42 items are not counted"):
        strata = strata_of(questions, "category")
    design = make_design(questions, permutations=25, strata=strata)
    counted = design.weight > 0
    assert (design.permuted[:, counted] != design.labels[counted]).any(0).all()
    assert (design.permuted_weight[:, ~counted] == 0).all()


# ------------------------------------------------------------------ arrangements


@pytest.mark.parametrize(
    "sizes",
    [
        [{"A": 1, "B": 1}] * 4,
        [{"A": 1, "B": 1, "C": 1}] * 2 + [{"A": 2, "B": 1, "C": 1}],
        [{"A": 1, "B": 1, "C": 1}, {"A": 3, "B": 3}, {"B": 1, "C": 1}],
    ],
)
def test_every_arrangement_is_drawn_once(sizes):
    questions = asked(sizes)
    expected = every_arrangement(sizes)
    number = len(expected) - 1
    labels = make_design(questions, permutations=number, bootstraps=0).permuted
    cells = cells_of(questions)
    drawn = {tuple("ABC"[one[rows[0]]] for rows in cells.values()) for one in labels}
    data = tuple(culture for _, culture in cells)
    named = {min(renamed(one) & expected) for one in drawn | {data}}
    assert len(drawn) == number and named == expected
    with pytest.raises(InputError, match=f"there are {len(expected)} arrangements"):
        make_design(questions, permutations=number + 1)


def renamed(one):
    return {
        tuple(dict(zip("ABC", order, strict=True))[label] for label in one)
        for order in permutations("ABC")
    }


@pytest.mark.slow
def test_arrangements_are_equally_likely():
    questions = asked([{"A": 2, "B": 2}] * 4)
    first = [tuple(make_design(questions, permutations=1, bootstraps=0, seed=s).permuted[0, ::2])
             for s in range(700)]  # fmt: skip
    first = [min(one, tuple(1 - label for label in one)) for one in first]
    _, counts = np.unique(first, axis=0, return_counts=True)
    assert len(counts) == 7 and stats.chisquare(counts).pvalue > 0.001


# ------------------------------------------------------------------ refusals


def test_what_cannot_be_exchanged_is_refused():
    """One culture; strata of one culture each; sizes that always differ; too few groups."""
    with pytest.raises(InputError, match="cannot be permuted 20 times.*there is 1 arrangement,"):
        make_design(questions_of(1, cultures=("a",)))
    alone = questions_of(4, category=lambda number, at: f"{at}")
    with pytest.raises(InputError, match="there is 1 arrangement"):
        make_design(alone, strata=column_of(alone, "category"))
    with pytest.raises(InputError, match=r"1 arrangement.*as many items of every culture in a"):
        make_design(asked([{"A": 2, "B": 1}] * 50))
    with pytest.raises(InputError, match=r"16 arrangements.*Give more question groups"):
        make_design(asked([{"A": 4, "B": 4}] * 5))
    make_design(asked([{"A": 4, "B": 4}] * 6))  # 32


def test_a_word_where_most_items_keep_their_label():
    questions = asked([{"A": 1, "B": 1}] * 6 + [{"A": 2, "B": 1}] * 6)
    with pytest.warns(CultureLensWarning, match="18 of 30 items keep their culture"):
        make_design(questions)
