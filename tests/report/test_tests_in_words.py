"""The page's sentences on tests, held against a matrix whose tests are worked out by hand.

In ``make_matrix`` with 24 questions and four cultures, a culture's own mask breaks 12 of its 24
right-or-wrong answers and mends none, and no mask touches another culture's.
"""

from __future__ import annotations

import pytest

from culture_lens.neurons.neurons import Neurons
from culture_lens.report.page import build_report, report_context
from culture_lens.report.tests_in_words import in_words, p_value
from tests.helpers.results import make_matrix, make_run

FOUR = ["Iran", "Japan", "Mexico", "Spain"]


@pytest.fixture(scope="module")
def told():
    return in_words(make_matrix(FOUR, items=24))


def test_diagonal_by_hand(told):
    # T = -0.5 - 0; of 4! = 24 orders only this one is as extreme: the next, all moved, has 1/6.
    (line,) = [line for line in told["sentences"] if line.startswith("Diagonal")]
    assert "−50.0 points" in line
    assert "lower their own culture’s accuracy more than" in line
    assert "(p = 0.042; all 24 orders)" in line


def test_cells_by_hand(told):
    # Two of 2^12 exchanges are as extreme, and Holm multiplies the smallest of 16 by 16.
    (line,) = [line for line in told["sentences"] if line.startswith("Cells")]
    assert line.startswith("Cells: of 16, 4 differ")
    assert line.endswith("Iran, Japan, Mexico and Spain.")
    for row in told["rows"]:
        assert row["cells"][:3] == ["−50.0", p_value(2 / 2**12), p_value(16 * 2 / 2**12)]


def test_power_by_hand(told):
    # SE = sqrt(24/23 * 24 * 0.25) / 24; t(23) at 0.975 and 0.8 are 2.0687 and 0.8583.
    effect = (2.0687 + 0.8583) * (24 / 23 * 6) ** 0.5 / 24
    (line,) = [line for line in told["sentences"] if line.startswith("Power")]
    assert f"of {100 * effect:.1f} to {100 * effect:.1f} points in a single culture" in line
    assert [row["cells"][-1] for row in told["rows"]] == [f"{100 * effect:.1f}"] * 4


def test_two_random_sets_show_nothing_in_general(told):
    (line,) = [line for line in told["sentences"] if line.startswith("Random")]
    # Each set breaks item 0 or 1: of 24 answers one, where it was right before.
    assert "found minus random −45.8 points" in line
    assert "do not differ significantly from what one more random set would do" in line
    assert "from questions and 2 sets" in line
    assert line.endswith(
        "By loss the found set has rank 1 of 3 sets (p = 0.33; at level 0.05 a rank needs 19 "
        "random sets)."
    )


def test_nineteen_random_sets_can_rank():
    told = in_words(make_matrix(FOUR, items=24, seeds=19))
    (line,) = [line for line in told["sentences"] if line.startswith("Random")]
    assert "found neurons differ from what one more random set would do (p = 0.00" in line
    assert line.endswith("By loss the found set has rank 1 of 20 sets (p = 0.05).")


def test_one_random_set_is_no_test():
    told = in_words(make_matrix(FOUR, items=24, seeds=1))
    (line,) = [line for line in told["sentences"] if line.startswith("Random")]
    assert "points (no interval) on average; no test from a single random set. By loss" in line


def test_few_cultures_are_noted():
    told = in_words(make_matrix(items=24))
    assert any("3 cultures have only 6 orders" in note for note in told["notes"])


def test_without_effect_nothing_is_claimed():
    matrix = make_matrix(FOUR, items=24)
    frame = matrix.frame.copy()
    base = frame[frame["condition"] == "unmodified"].set_index("id")["correct"]
    frame["correct"] = frame["id"].map(base)
    told = in_words(type(matrix)(frame, matrix.metadata))
    text = " ".join(told["sentences"])
    assert "none differs" in text
    assert "not differ significantly from masks assigned" in text
    assert "neurons do not differ significantly from" in text
    assert "do not vary enough" in text


def test_one_mask_for_all_cultures():
    matrix = make_matrix(FOUR, items=24)
    frame = matrix.frame[matrix.frame["mask"].isin(["", "Iran"])].replace({"mask": {"Iran": "all"}})
    told = in_words(type(matrix)(frame, matrix.metadata))
    assert not any(line.startswith("Diagonal") for line in told["sentences"])
    (line,) = [line for line in told["sentences"] if line.startswith("Cells")]
    assert line == (
        "Cells: of 4, 1 differs from the unmodified model after Holm’s correction at 0.05: Iran."
    )
    assert [row["culture"] for row in told["rows"]] == FOUR


@pytest.mark.slow
def test_page_shows_them(tmp_path, told):
    run = make_run(tmp_path, conact=(None, make_matrix(FOUR, items=24)))
    page = build_report(run).read_text(encoding="utf-8")
    assert told["sentences"][0] in page and "Tests per culture, conact" in page
    (selector,) = report_context(run)["selectors"]
    assert selector["tests"] == told


def test_no_masks_no_tests(tmp_path):
    from culture_lens.neurons.neuron_set import NeuronSet

    found = NeuronSet({"Iran": Neurons.of({"act": [(0, 1)]})}, {"act": (1, 2)})
    (selector,) = report_context(make_run(tmp_path, conact=(found, None)))["selectors"]
    assert selector["tests"] is None
