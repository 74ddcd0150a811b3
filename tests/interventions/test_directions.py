"""Edits along a direction: on paper, at several layers, at sites of heads, and what is refused."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.interventions.change_norm import change_norm, layer_of, matched_scale
from culture_lens.interventions.directions import direction_added, direction_removed
from culture_lens.neurons.direction_hooks import addition_hooks, removal_hooks
from culture_lens.neurons.directions import Direction
from culture_lens.neurons.hooks import ablation_hooks, steering_hooks
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES
from tests.helpers import lm, reference
from tests.helpers.closeness import assert_close
from tests.helpers.marks import QUIET, quiet
from tests.helpers.questions import toy_questions

WIDTH = 32


def along(axis, length, layer=1, **options):
    vector = torch.zeros(WIDTH, dtype=torch.float64)
    vector[axis] = length
    return Direction("Japan", "resid", layer, vector, **options)


def edited(hooks, *values):
    """What a hook makes of a token that starts with some values."""
    x = torch.zeros(1, 1, WIDTH)
    x[0, 0, : len(values)] = torch.tensor(values)
    ((_, hook),) = hooks
    return hook(x, None)[0, 0, : len(values)].tolist()


def test_a_case_on_paper():
    """x = (3, 4) and v = (0, 2), whose unit is (0, 1): x . u = 4."""
    model, two = lm.lens("llama"), along(1, 2.0, mean=1.5)
    assert edited(addition_hooks(model, two), 3.0, 4.0) == [3.0, 6.0]
    assert edited(addition_hooks(model, two, -0.5), 3.0, 4.0) == [3.0, 3.0]
    assert edited(removal_hooks(model, two), 3.0, 4.0) == [3.0, 0.0]
    assert edited(removal_hooks(model, two, "mean"), 3.0, 4.0) == [3.0, 1.5]


def test_hooks_stand_at_the_layers_asked_for_and_go_away():
    model, one = lm.lens("llama"), along(0, 1.0)
    assert [name for name, _ in addition_hooks(model, one)] == ["blocks.1.hook_out"]
    names = [name for name, _ in removal_hooks(model, one, layers=[2, 0, 2])]
    assert names == ["blocks.2.hook_out", "blocks.0.hook_out"]
    before = lm.live_hooks(model)
    with pytest.raises(ValueError, match="stop"), direction_added(model, one):
        raise ValueError("stop")
    with direction_removed(model, one):
        assert lm.live_hooks(model) > before
    assert lm.live_hooks(model) == before


def test_a_direction_at_a_site_of_heads_is_one_of_all_heads():
    model = lm.lens("llama")
    batch = collate(build_prompts(toy_questions()[:3], model.processor), model.pad_id)
    vector = torch.zeros(model.widths["z"])
    vector[5] = 1.0
    with direction_removed(model, Direction("a", "z", 1, vector)):
        found = model.logits(batch)
    with model.hooks(ablation_hooks(model, Neurons.of({"z": [(1, 5)]}))):
        assert_close(found, model.logits(batch))


@quiet
def test_the_change_of_one_neuron_is_its_activation_times_its_outgoing_weights():
    """|x' - x| = |a| |w| at every token: on a Llama the neuron adds a w to the stream."""
    model, hf, asked = lm.lens("llama"), lm.raw("llama"), toy_questions()[::2]
    layer, index = 1, 7
    weight = hf.model.layers[layer].mlp.down_proj.weight[:, index].detach().double().norm()
    values = []
    for prompt in build_prompts(asked, model.processor):
        gate, up = (
            reference.site_values(hf, site, prompt.ids)[layer, :, index] for site in ("act", "up")
        )
        counted = [role in CONTENT_ROLES for role in prompt.roles]
        values.append(abs(gate * up)[counted].mean() * float(weight))
    hooks = ablation_hooks(model, Neurons.of({"post": [(layer, index)]}))
    found = change_norm(model, hooks, asked, layer=layer, batch_size=4, **QUIET)
    assert found.value == pytest.approx(sum(values) / len(values), rel=1e-4)
    assert found.low < found.value < found.high
    assert change_norm(model, hooks, asked, layer=0, **QUIET).value == 0
    last = change_norm(model, hooks, asked, layer=layer, position="last", **QUIET)
    assert last.value != pytest.approx(found.value)


@quiet
def test_a_matched_direction_changes_the_stream_as_much():
    model, asked = lm.lens("llama"), toy_questions()[:6]
    neurons = Neurons.of({"act": [(0, 3), (1, 5), (2, 9)]})
    hooks, one = steering_hooks(model, neurons, 2.0), along(3, 0.5)
    matched = matched_scale(model, one, hooks, asked, **QUIET)
    assert matched.later == (2,) and matched.layer == 1 and matched.norm == 0.5
    found = change_norm(model, addition_hooks(model, one, matched.scale), asked, layer=1, **QUIET)
    assert found.value == pytest.approx(matched.change.value, rel=1e-5)
    assert "later layers not counted: 1" in repr(matched)
    late = steering_hooks(model, Neurons.of({"act": [(2, 9)]}), 2.0)
    with pytest.raises(InputError, match="change nothing at 'resid' of layer 1"):
        matched_scale(model, one, late, asked, **QUIET)


def test_a_direction_of_another_width_is_refused_before_the_model_runs(idle):
    wide = Direction("Japan", "resid", 1, torch.ones(WIDTH + 1))
    hooks = ablation_hooks(idle, Neurons.of({"act": [(0, 1)]}))
    with pytest.raises(InputError, match=f"has {WIDTH + 1} elements"):
        matched_scale(idle, wide, hooks, toy_questions(), **QUIET)


def test_layers_are_read_from_names():
    names = ("decoder_blocks.3.hook_out", "blocks.0.attn.o.hook_in", "hook_embed")
    assert [layer_of(name) for name in names] == [3, 0, -1]


def test_what_does_not_fit_a_model_is_refused():
    model = lm.lens("llama")
    with pytest.raises(InputError, match="has 3 elements, 'resid' of 'tiny-llama' has 32"):
        addition_hooks(model, Direction("a", "resid", 0, torch.ones(3)))
    with pytest.raises(InputError, match="layer"):
        removal_hooks(model, along(0, 1.0, layer=3))
    with pytest.raises(InputError, match="layers is empty"):
        removal_hooks(model, along(0, 1.0), layers=[])
    with pytest.raises(InputError, match="not a finite number"):
        addition_hooks(model, along(0, 1e300), 1e100)
    with pytest.raises(InputError, match="value"):
        removal_hooks(model, along(0, 1.0), "double")
    half = lm.lens("llama", torch.float16)
    with pytest.raises(InputError, match="65504"):
        addition_hooks(half, along(0, 1e5))
