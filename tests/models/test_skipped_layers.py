"""Going on from a layer gives, to the last bit, what all layers give."""

import pytest
import torch

from culture_lens.interventions.folding import folded
from culture_lens.models.skipped_layers import KeptStreams, catching, from_layer
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.trees import prompt_trees, tree_batch
from tests.helpers.lm import each_architecture, lens, prompts_of


def tree_of(model):
    return tree_batch(prompt_trees(prompts_of(model, "cloze"), 200), model.pad_id)


@each_architecture
def test_a_condition_goes_on_from_its_first_layer(architecture):
    model, streams = lens(architecture), {}
    blocks, tree = model.bridge.blocks, tree_of(model)
    with catching(blocks, {1, 2}, streams.__setitem__):
        plain = model.tree_logits(tree)
    assert sorted(streams) == [1, 2]
    for layer in (1, 2):
        with from_layer(blocks, layer, streams[layer]):
            assert torch.equal(model.tree_logits(tree), plain)
        neurons = Neurons.of({"act": [(layer, 3), (2, 7)]})
        with folded(model, neurons):
            whole = model.tree_logits(tree)
            with from_layer(blocks, layer, streams[layer]):
                assert torch.equal(model.tree_logits(tree), whole)
        assert not torch.equal(whole, plain)
    assert torch.equal(model.tree_logits(tree), plain)


def test_the_layers_below_are_not_run():
    model, streams, seen = lens("llama"), {}, []
    tree, blocks = tree_of(model), model.bridge.blocks
    with catching(blocks, {2}, streams.__setitem__):
        model.tree_logits(tree)

    def note(activation, hook):
        seen.append(hook.name)
        return activation

    names = [(f"blocks.{layer}.mlp.out.hook_in", note) for layer in range(3)]
    with model.hooks(names), from_layer(blocks, 2, streams[2]):
        model.tree_logits(tree)
    assert seen == ["blocks.2.mlp.out.hook_in"]


def test_an_error_leaves_all_layers_in_place():
    model = lens("llama")
    tree, blocks = tree_of(model), model.bridge.blocks
    plain = model.tree_logits(tree)
    before = [len(block._forward_pre_hooks) for block in blocks]
    with pytest.raises(KeyboardInterrupt), from_layer(blocks, 2, torch.zeros(1, 1, 1)):
        raise KeyboardInterrupt
    with pytest.raises(ValueError), catching(blocks, {1}, lambda *_: None):
        raise ValueError
    assert torch.equal(model.tree_logits(tree), plain)
    assert not any("forward" in vars(block) for block in blocks)
    assert [len(block._forward_pre_hooks) for block in blocks] == before


def test_streams_are_kept_up_to_a_limit():
    kept = KeptStreams(limit=32)
    four = torch.zeros(1, 2, 2)  # 16 bytes
    kept.keep(1, 2, four)
    kept.keep(1, 2, four)
    kept.keep(1, 5, four)
    kept.keep(2, 2, four)  # no room
    assert kept.held == 32 and sorted(kept.streams) == [(1, 2), (1, 5)]
    assert [kept.deepest(1, layer) for layer in (0, 1, 2, 4, 5, 9)] == [0, 0, 2, 2, 5, 5]
    assert kept.deepest(2, 9) == 0
