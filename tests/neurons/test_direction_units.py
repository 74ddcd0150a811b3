"""Directions as units: ablating one is projecting it out, in every call that takes neurons."""

from dataclasses import replace

import pytest
import torch

import culture_lens as cl
from culture_lens.errors import InputError
from culture_lens.experiments.direction_matrix import direction_matrix
from culture_lens.neurons.direction_units import direction_set, with_directions
from culture_lens.neurons.directions import Direction, Directions
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from tests.helpers import lm
from tests.helpers.closeness import assert_close
from tests.helpers.marks import QUIET, quiet
from tests.helpers.questions import toy_questions


def made(width=32, site="resid"):
    source = torch.Generator().manual_seed(3)
    held = {
        culture: Direction(culture, site, 1, 3 * torch.randn(width, generator=source), 0.5)
        for culture in ("Japan", "Mexico")
    }
    return Directions(held, metadata={"model": "tiny-llama", **cl.looked_at([])})


@quiet
@pytest.mark.parametrize(("value", "edit"), [("zero", "removed"), ("mean", "mean")])
def test_the_matrix_of_units_is_that_of_directions(value, edit, tmp_path):
    model, directions, asked = lm.lens("llama"), made(), toy_questions()
    further = with_directions(model, directions)
    found = direction_set(further, directions)
    options = {"scoring": "letter", "random_seeds": 0, **QUIET}
    matrix = cl.ablation_matrix(further, found, asked, value=value, run=tmp_path, **options)
    other = direction_matrix(model, directions, asked, edit=edit, **options)
    assert matrix.frame["prediction"].tolist() == other.frame["prediction"].tolist()
    assert matrix.frame["p_gold"].tolist() == pytest.approx(
        other.frame["p_gold"].tolist(), abs=1e-6
    )


def test_a_unit_is_the_projection_and_steering_scales_it():
    model, directions = lm.lens("llama"), made()
    further = with_directions(model, directions)
    batch = collate(build_prompts(toy_questions()[:3], model.processor), model.pad_id)
    with lm.captured(model, ["blocks.1.hook_out"]) as seen:
        model.logits(batch)
    stream = seen["blocks.1.hook_out"]
    units = further.units["direction"].encode(1, stream)
    assert_close(units[..., 1], stream @ directions["Mexico"].unit.float(), 1e-6)
    one, found = directions["Japan"], direction_set(further, directions)

    def doubled(activation, hook):
        return activation + (activation @ one.unit.float())[..., None] * one.unit.float()

    with cl.steered(further, found["Japan"], alpha=1.0):
        steered = further.logits(batch)
    with model.hooks([("blocks.1.hook_out", doubled)]):
        assert_close(steered, model.logits(batch))


def test_directions_of_another_model_or_of_units_are_refused():
    model = lm.lens("llama")
    with pytest.raises(InputError, match="fitted on 'tiny-llama', not on 'tiny-gpt2'"):
        with_directions(lm.lens("gpt2"), made())
    other = replace(made(), metadata={"model": "tiny-llama", "weights": "0" * 32})
    with pytest.warns(cl.CultureLensWarning, match="differ from those"):
        other.check_model(model)
    with pytest.raises(InputError, match="no vectors of 'tiny-llama'"):
        with_directions(model, made(31))
    further = with_directions(model, made())
    with pytest.raises(InputError, match="direction"):
        with_directions(further, made())
    with pytest.raises(InputError, match="site of plain activations"):
        with_directions(further, made(2, "direction"), site="again")
    with pytest.raises(InputError, match="unknown site|direction"):
        direction_set(model, made())
