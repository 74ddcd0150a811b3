"""Hooks of plain torch are noticed wherever they are; those that belong to the model are not."""

import functools

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated
from culture_lens.models.checks import check_unhooked, foreign_hooks
from culture_lens.models.load import load_model
from culture_lens.neurons.neurons import Neurons
from tests.helpers.lm import each_architecture, lens
from tests.helpers.tiny import tiny_model, tiny_tokenizer


def double(module, inputs, output):
    return output


def before(module, inputs):
    return None


class Doubler:
    def __call__(self, module, inputs, output):
        return output


def down(model):
    modules = dict(model.bridge.original_model.named_modules())
    return modules[next(name for name in modules if name.endswith("down_proj"))]


REGISTER = {
    "forward": lambda m: down(m).register_forward_hook(double),
    "pre": lambda m: down(m).register_forward_pre_hook(before),
    "backward": lambda m: down(m).register_full_backward_hook(double),
    "lambda": lambda m: down(m).register_forward_hook(lambda *_: None),
    "partial": lambda m: down(m).register_forward_hook(functools.partial(double)),
    "object": lambda m: down(m).register_forward_hook(Doubler()),
    "whole": lambda m: m.bridge.original_model.register_forward_hook(double),
    "bridge": lambda m: m.bridge.register_forward_hook(double),
    "point": lambda m: m.bridge.hook_dict[m.hook_name("act", 0)].register_forward_hook(double),
    "every": lambda m: torch.nn.modules.module.register_module_forward_hook(double),
}


@pytest.mark.parametrize("where", REGISTER)
def test_a_hook_of_plain_torch_is_refused_and_named(where):
    model = lens("llama")
    check_unhooked(model)
    handle = REGISTER[where](model)
    try:
        with pytest.raises(InputError, match=r"the torch hook .* is attached to .*take it off"):
            check_unhooked(model)
    finally:
        handle.remove()
    check_unhooked(model)


def test_a_hook_from_before_the_model_was_wrapped_is_refused():
    hf = tiny_model("llama")
    hf.model.layers[1].mlp.down_proj.register_forward_hook(double)
    model = load_model("m", hf_model=hf, tokenizer=tiny_tokenizer("llama"))
    with pytest.raises(InputError, match=r"double is attached to model.layers.1.mlp.down_proj of"):
        check_unhooked(model)


@each_architecture
def test_hooks_of_the_model_itself_are_not_foreign(architecture):
    model = lens(architecture)
    assert list(foreign_hooks(model.bridge)) == []
    with ablated(model, Neurons.of({"act": [(0, 1)]})):
        assert list(foreign_hooks(model.bridge)) == []
        with pytest.raises(InputError, match="hooks are attached"):
            check_unhooked(model)


def test_a_backward_hook_of_a_hook_point_counts():
    model = lens("llama")
    name = model.hook_name("act", 0)
    with model.bridge.hooks(bwd_hooks=[(name, lambda gradient, hook: None)]):
        assert model.is_hooked
        with pytest.raises(InputError, match="hooks are attached"):
            check_unhooked(model)
    assert not model.is_hooked
