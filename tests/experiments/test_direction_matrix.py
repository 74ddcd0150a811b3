"""The matrix of directions: the records of evaluate under each, and random ones beside them."""

import pytest
import torch

import culture_lens as cl
from culture_lens.errors import InputError
from culture_lens.experiments.direction_matrix import direction_matrix
from culture_lens.experiments.edited_answers import random_like
from culture_lens.neurons.directions import Direction, Directions
from tests.helpers import lm
from tests.helpers.marks import QUIET, quiet
from tests.helpers.questions import toy_questions


def made(looked_at=()):
    source = torch.Generator().manual_seed(3)
    held = {
        culture: Direction(culture, "resid", 1, 3 * torch.randn(32, generator=source), 0.5)
        for culture in ("Japan", "Mexico")
    }
    return Directions(held, metadata={"model": "tiny-llama", **cl.looked_at(looked_at)})


@quiet
@pytest.mark.parametrize("edit", ["removed", "mean", "added"])
def test_records_are_those_of_evaluate_within_the_edit(edit):
    model, directions, asked = lm.lens("llama"), made(), toy_questions()
    options = {"scoring": "letter", **QUIET}
    matrix = direction_matrix(
        model, directions, asked, edit=edit, scale=2.0, random_seeds=1, **options
    )
    random = random_like(directions, 0)
    for condition, every in (("found", directions), ("random", random)):
        one = every["Japan"]
        edited = {
            "removed": cl.direction_removed(model, one),
            "mean": cl.direction_removed(model, one, "mean"),
            "added": cl.direction_added(model, one, 2.0),
        }[edit]
        with edited:
            alone = cl.evaluate(model, asked, **options).frame
        frame = matrix.frame
        own = frame[(frame["condition"] == condition) & (frame["mask"] == "Japan")]
        assert own["p_gold"].tolist() == alone["p_gold"].tolist()
    assert matrix.masks == ("Japan", "Mexico") and matrix.has_random
    assert {"self", "cross", "gap"} <= set(matrix.summary().columns)


def test_random_directions_are_as_long_and_others():
    directions = made()
    one, other = random_like(directions, 0), random_like(directions, 1)
    for culture in directions:
        assert one[culture].norm == pytest.approx(directions[culture].norm)
        assert (one[culture].site, one[culture].layer) == ("resid", 1)
        assert abs(float(one[culture].unit @ other[culture].unit)) < 0.9
    assert torch.equal(random_like(directions, 0)["Japan"].vector, one["Japan"].vector)


def test_questions_of_the_fit_are_left_out_and_nonsense_is_refused(idle):
    asked = toy_questions()
    with pytest.raises(InputError, match="every question was used"):
        direction_matrix(idle, made(asked), asked)
    with pytest.raises(InputError, match="edit"):
        direction_matrix(idle, made(), asked, edit="steered")
    with pytest.raises(InputError, match="leave out run="):
        direction_matrix(idle, made(), asked, run="runs/none")
    with pytest.raises(InputError, match="layer"):
        direction_matrix(idle, made(), asked, layers=[7])
