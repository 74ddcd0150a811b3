"""Options behind prompts: a cache of rows is one of its own, and gradients change no number."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.models.continuations import rows_of_cache, wide
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from tests.helpers.attributed import asked
from tests.helpers.lm import each_architecture, exact
from tests.helpers.t5 import each_family
from tests.helpers.t5 import exact as exact_t5

MODELS = {"llama": exact, "gemma3": exact, "flan": exact_t5}


def batch_of(model):
    return collate(build_prompts(asked(), model.processor, style="cloze"), model.pad_id)


def layers_of(cache):
    """The layers of a cache, of both where it is one of two."""
    if hasattr(cache, "self_attention_cache"):
        return [*cache.self_attention_cache.layers, *cache.cross_attention_cache.layers]
    return cache.layers


def facts(cache):
    """Everything that a layer holds, its tensors as they are now."""
    kept = [dict(vars(layer)) for layer in layers_of(cache)]
    copies = [(layer.keys.clone(), layer.values.clone()) for layer in layers_of(cache)]
    return kept, copies, dict(getattr(cache, "is_updated", {}))


def assert_untouched(cache, before):
    kept, copies, updated = before
    for layer, held, (keys, values) in zip(layers_of(cache), kept, copies, strict=True):
        assert vars(layer).keys() == held.keys()
        for name, value in vars(layer).items():
            assert value is held[name] or value == held[name], name
        assert torch.equal(layer.keys, keys) and torch.equal(layer.values, values)
    assert dict(getattr(cache, "is_updated", {})) == updated


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_cache_of_rows_leaves_the_given_one_untouched(name):
    """With sliding windows (gemma3) and of two stacks (flan), also when tokens run after it."""
    model = MODELS[name](name)
    batch = batch_of(model)
    _, cache = model._forward(batch, None, use_cache=True, return_type="logits_and_cache")
    sliding = [type(layer).__name__ for layer in layers_of(cache)]
    assert ("DynamicSlidingWindowLayer" in sliding) == (name == "gemma3")
    before, rows = facts(cache), torch.tensor([2, 0, 2])
    chosen = rows_of_cache(cache, rows)
    for mine, given in zip(layers_of(chosen), layers_of(cache), strict=True):
        assert mine is not given
        assert torch.equal(mine.keys, given.keys[rows])
        assert torch.equal(mine.values, given.values[rows])
    ids = torch.tensor([[5, 6], [7, 8], [9, 5]])
    first = model._run_after(batch, rows, ids, torch.ones_like(ids), chosen)
    assert_untouched(cache, before)
    grown = layers_of(chosen)[1].get_seq_length() - layers_of(cache)[1].get_seq_length()
    assert grown == 2
    # The same again from the given cache, which no forward has written into.
    again = model._run_after(batch, rows, ids, torch.ones_like(ids), rows_of_cache(cache, rows))
    assert torch.equal(first, again)


def assert_same_numbers(model):
    batch = batch_of(model)
    plain, found = model.continuation_log_probs(batch), model.differentiable_log_probs(batch)
    assert not torch.is_inference_mode_enabled() and not model.is_hooked
    for prompt, row, its in zip(batch.prompts, found, plain, strict=True):
        assert [len(own) for own in row] == [len(ids) for ids in prompt.continuations]
        for mine, other in zip(row, its, strict=True):
            assert mine.requires_grad and not other.requires_grad
            assert mine.dtype == other.dtype == torch.float64
            assert torch.allclose(mine.detach(), other, rtol=1e-12, atol=0)


@each_architecture
def test_gradients_change_no_number(architecture):
    assert_same_numbers(exact(architecture))


@each_family
def test_gradients_change_no_number_of_encoder_decoders(family):
    assert_same_numbers(exact_t5(family))


def test_gradients_reach_prompts_of_their_own_row_only():
    """Through the keys and values of the prompt, which runs once for all its options."""
    model, seen = exact("llama"), {}
    batch = batch_of(model)

    def keep(activation, hook):
        seen.setdefault("prompts", activation)

    with model.hooks([(model.hook_name("act", 0), keep)]):
        found = model.differentiable_log_probs(batch)
    long = found[2][2]  # an option of many tokens
    assert len(long) > 3
    (gradient,) = torch.autograd.grad(long[-1], seen["prompts"])
    assert gradient[2].abs().sum() > 0
    assert all((gradient[row] == 0).all() for row in (0, 1, 3))


def test_shared_prefixes_are_refused():
    model = exact("llama")
    prompts = build_prompts(asked(), model.processor, style="cloze")
    shared = collate(prompts, model.pad_id, shared_prefix_lengths(prompts))
    with pytest.raises(InputError, match="share_prefix=False"):
        model.differentiable_log_probs(shared)


def test_half_precision_is_widened_and_nothing_else():
    for dtype, expected in (
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert wide(torch.zeros(1, dtype=dtype)).dtype == expected
