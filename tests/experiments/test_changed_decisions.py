"""The share of decisions in which two matrices differ, counted by hand."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.changed_decisions import changed_decisions
from culture_lens.statistics.estimates import SHARES, mean_estimate
from tests.helpers.lm import lens
from tests.helpers.marks import quiet
from tests.helpers.matrices import LETTERS, records
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions

ITEMS = [("A", "g0"), ("A", "g1"), ("B", "g2"), ("B", "g3"), ("B", "g4")]
BASE, MASK = ("unmodified", "", 0), ("found", "A", 0)


def made(base, masked):
    answers = {BASE: base, MASK: masked}
    return records({run: dict(zip(ITEMS, held, strict=True)) for run, held in answers.items()})


def test_by_hand():
    """The right answer is 0. Unmodified: none of five differs. Found: 1 -> 0, 0 -> 2 and 1 -> 2."""
    one = made([0, 0, 1, 1, 0], [0, 2, 2, 0, 0])
    other = made([0, 0, 1, 1, 0], [1, 0, 1, 0, 0])
    table = changed_decisions(one, other)
    assert table.index.tolist() == ["found", "unmodified", "all"]
    assert table["decisions"].tolist() == [5, 5, 10]
    assert [one.value for one in table["changed"]] == pytest.approx([0.6, 0, 0.3])
    assert [one.value for one in table["accuracy"]] == pytest.approx([0.0, 0, 0.0])
    groups = [group for _, group in ITEMS]
    expected = mean_estimate([1, 1, 1, 0, 0], groups, bounds=SHARES)
    assert table["changed"]["found"] == expected
    assert table["changed"]["unmodified"].high > 0  # five decisions show no more than that


def test_order_does_not_matter_and_other_decisions_are_refused():
    one, other = made([0] * 5, [1] * 5), made([0] * 5, [0] * 5)
    back = type(other)(other.frame[::-1].reset_index(drop=True), other.metadata)
    assert changed_decisions(one, back).equals(changed_decisions(one, other))
    fewer = type(other)(other.frame[:-1], other.metadata)
    with pytest.raises(InputError, match="different decisions .1 are in one of them alone"):
        changed_decisions(one, fewer)


@quiet
@pytest.mark.slow
def test_of_bfloat16():
    matrices = [
        ablation_matrix(
            lens("llama", dtype), found_set(), toy_questions(), random_seeds=1, **LETTERS
        )
        for dtype in (torch.bfloat16, torch.float32)
    ]
    assert [m.metadata["dtype"] for m in matrices] == ["bfloat16", "float32"]
    table = changed_decisions(*matrices)
    pairs = [m.frame.sort_values(["condition", "mask", "seed", "id"]) for m in matrices]
    differ = pairs[0]["prediction"].to_numpy() != pairs[1]["prediction"].to_numpy()
    assert table["changed"]["all"].value == pytest.approx(differ.mean())
