"""The steering curve: a case on paper, the records of evaluate at every strength, and refusals."""

import pytest
import torch

import culture_lens as cl
from culture_lens.errors import InputError
from culture_lens.experiments.edited_answers import random_like
from culture_lens.experiments.steering import SteeringCurve
from culture_lens.experiments.steering_curve import steering_curve
from culture_lens.neurons.directions import Direction, Directions
from tests.helpers import lm
from tests.helpers.dose import steering_by_hand
from tests.helpers.marks import QUIET, quiet
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions

LETTER = {"scoring": "letter", **QUIET}


def made(looked_at=()):
    source = torch.Generator().manual_seed(3)
    held = {
        culture: Direction(culture, "resid", 1, 3 * torch.randn(32, generator=source))
        for culture in ("Japan", "Mexico")
    }
    return Directions(held, metadata={"model": "tiny-llama", **cl.looked_at(looked_at)})


def test_a_case_on_paper(tmp_path):
    """A gains 1 of 4 answers at strength 1 and 2 at 2, where B loses 3 to A's direction."""
    base = {"A": (1, 0, 0, 0), "B": (1, 1, 1, 1)}
    curve = steering_by_hand(
        {
            ("unmodified", 0.0, "", 0): base,
            ("found", 1.0, "A", 0): {**base, "A": (1, 1, 0, 0)},
            ("found", 1.0, "B", 0): base,
            ("found", 2.0, "A", 0): {"A": (1, 1, 1, 0), "B": (1, 0, 0, 0)},
            ("found", 2.0, "B", 0): base,
        },
        scaled=False,
    )
    table = curve.table("self").set_index(["culture", "strength"])["value"]
    assert table["A"].tolist() == [0.25, 0.5] and table["B"].tolist() == [0, 0]
    assert table["mean"].tolist() == [0.125, 0.25] and "neurons" not in curve.table()
    cross = curve.table("cross").set_index(["culture", "strength"])["value"]
    assert cross["A"].tolist() == [0, -0.75] and curve.strengths == (1.0, 2.0)
    again = SteeringCurve.from_parquet(curve.to_parquet(tmp_path / "curve.parquet"))
    assert again.table("gap").equals(curve.table("gap"))
    assert again.matrix(2.0).metadata["strength"] == 2.0
    with pytest.raises(InputError, match="no strength 3"):
        curve.matrix(3.0)


@quiet
def test_directions_are_added_at_every_strength():
    model, directions, asked = lm.lens("llama"), made(), toy_questions()
    curve = steering_curve(
        model, directions, asked, strengths=(2.0, -1.0), random_seeds=1, others=False, **LETTER
    )
    assert curve.strengths == (-1.0, 2.0) and curve.metadata["layer"] == 1
    for condition, every in (("found", directions), ("random", random_like(directions, 0))):
        for strength in curve.strengths:
            with cl.direction_added(model, every["Mexico"], strength):
                own = [question for question in asked if question.culture == "Mexico"]
                alone = cl.evaluate(model, own, **LETTER).frame
            rows = curve.frame[
                (curve.frame["condition"] == condition)
                & (curve.frame["strength"] == strength)
                & (curve.frame["mask"] == "Mexico")
            ]
            assert rows["id"].tolist() == alone["id"].tolist()
            assert rows["p_gold"].tolist() == pytest.approx(alone["p_gold"].tolist(), abs=1e-6)
    with pytest.raises(InputError, match="others=True"):
        curve.table("cross")


@quiet
def test_heads_are_scaled_as_steered_scales_them():
    model, asked = cl.with_heads(lm.lens("llama")), toy_questions()
    scored = {c: cl.Neurons.of({"head": [(1, n)]}) for n, c in enumerate(("Japan", "Mexico"))}
    heads = cl.NeuronSet(scored, {"head": model.shape("head")}, {"model": model.name,
                                                                 **cl.looked_at([])})  # fmt: skip
    curve = steering_curve(model, heads, asked, strengths=[1.0], random_seeds=1, **LETTER)
    with cl.steered(model, heads["Japan"], alpha=1.0):
        alone = cl.evaluate(model, asked, **LETTER).frame
    rows = curve.frame[(curve.frame["condition"] == "found") & (curve.frame["mask"] == "Japan")]
    assert rows["p_gold"].tolist() == pytest.approx(alone["p_gold"].tolist(), abs=1e-6)
    assert set(rows["neurons"]) == {1} and curve.has_random
    assert not curve.table("self", "beyond")["value"].isna().any()


@quiet
def test_cultures_without_questions_are_left_out_with_a_warning():
    """Nobody could see what is done to them."""
    model, directions = lm.lens("llama"), made()
    asked = [question for question in toy_questions() if question.culture != "Mexico"]
    with pytest.warns(cl.CultureLensWarning, match="steering curve, no questions: Mexico"):
        curve = steering_curve(
            model, directions, asked, strengths=[1.0], random_seeds=1, others=False, **LETTER
        )
    assert set(curve.frame["mask"]) == {"", "Japan"} and len(curve.table()) == 1


def test_what_is_refused(idle):
    asked = toy_questions()
    with pytest.raises(InputError, match="no questions: Japan, Mexico"):
        steering_curve(idle, made(), [q for q in asked if q.culture == "France"])
    none = cl.NeuronSet({"Japan": cl.Neurons.of({})}, {"act": (3, 48)}, cl.looked_at([]))
    with pytest.raises(InputError, match="no neurons: Japan"):
        steering_curve(idle, none, asked)
    with pytest.raises(InputError, match="each once"):
        steering_curve(idle, made(), asked, strengths=[1.0, 1.0])
    with pytest.raises(InputError, match="not 0"):
        steering_curve(idle, made(), asked, strengths=[0.0, 1.0])
    with pytest.raises(InputError, match="leave out run="):
        steering_curve(idle, made(), asked, run="runs/none")
    with pytest.raises(InputError, match="every question was used"):
        steering_curve(idle, made(asked), asked)
    with pytest.raises(InputError, match="the directions of fit_directions"):
        steering_curve(idle, found_set()["Japan"], asked)
