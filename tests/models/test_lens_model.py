"""A LensModel gives what Hugging Face gives, whatever is padded, shared or hooked."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from culture_lens.prompts.shared_prefix import shared_prefix_length, shared_prefix_lengths
from culture_lens.questions.question import PromptFormat
from tests.helpers.lm import (
    LONG_HEAD,
    captured,
    each_architecture,
    lens,
    live_hooks,
    prompts_of,
    raw,
    raw_logits,
    wide_gemma3,
)
from tests.helpers.tiny import N_LAYERS, tiny_model, tiny_tokenizer

# ------------------------------------------------------------------ the same model


@pytest.mark.parametrize("attention", ["native", "eager"])
@each_architecture
def test_logits_are_those_of_hugging_face(architecture, attention):
    if attention == "native":
        model = lens(architecture)
    else:
        model = load_model(
            f"tiny-{architecture}",
            hf_model=tiny_model(architecture),
            tokenizer=tiny_tokenizer(architecture),
            attention="eager",
        )
    prompts = prompts_of(model)[:6]
    found = model.logits(collate(prompts, model.pad_id))
    expected = torch.stack([raw_logits(raw(architecture), prompt) for prompt in prompts])
    assert len({len(p.ids) for p in prompts}) > 2
    assert (found - expected).abs().max() < 2e-5 * expected.abs().max()


@each_architecture
def test_padded_equals_unpadded(architecture):
    model = lens(architecture, torch.float64)
    prompts = prompts_of(model)
    together = model.logits(collate(prompts, model.pad_id))
    alone = torch.cat([model.logits(collate([prompt], model.pad_id)) for prompt in prompts])
    other_padding = model.logits(collate(prompts, 7))
    assert (together - alone).abs().max() < 1e-6  # norms are float32 inside
    assert (together - other_padding).abs().max() < 1e-6
    assert alone.std(0).mean() > 0.1


@each_architecture
def test_a_prefix_run_once_changes_nothing(architecture):
    if architecture == "gemma3":
        model = load_model(
            "wide", hf_model=wide_gemma3(torch.float64), tokenizer=tiny_tokenizer("gemma3")
        )
        hf = wide_gemma3(torch.float64)
    else:
        model, hf = lens(architecture, torch.float64), raw(architecture, torch.float64)
    prompts = prompts_of(model, form=LONG_HEAD)
    assert model.can_share_prefix(prompts)
    expected = torch.stack([raw_logits(hf, prompt) for prompt in prompts])
    scale = expected.abs().max()
    for chosen in (slice(0, 16), slice(0, 5)):
        starts = shared_prefix_lengths(prompts[chosen])
        assert min(starts) > 8 and len(set(starts)) == 1
        batch = collate(prompts[chosen], model.pad_id, starts)
        assert len(batch.prefixes.prompts) == 1
        cache = model.run_prefix(batch)
        for found in (model.logits(batch), model.logits(batch, cache)):
            assert (found - expected[chosen]).abs().max() < 1e-6 * scale


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "phi3"])
def test_rows_with_different_prefixes(architecture):
    """Two groups of rows, each with a prefix of its own and of its own length."""
    model, hf = lens(architecture, torch.float64), raw(architecture, torch.float64)
    other = PromptFormat(layout="Another instruction altogether.\n{question}\n{options}")
    prompts = prompts_of(model, form=LONG_HEAD)[:3] + prompts_of(model, form=other)[3:6]
    lengths = [shared_prefix_length(prompts[:3]), shared_prefix_length(prompts[3:])]
    assert lengths[0] != lengths[1]
    batch = collate(prompts, model.pad_id, [lengths[0]] * 3 + [lengths[1]] * 3)
    assert batch.prefix_of_row == (0, 0, 0, 1, 1, 1)
    expected = torch.stack([raw_logits(hf, prompt) for prompt in prompts])
    assert (model.logits(batch) - expected).abs().max() < 1e-6 * expected.abs().max()


def test_nothing_is_shared_within_a_sliding_window():
    model = lens("gemma3", torch.float64)
    assert model.window == 8 and lens("mistral").window == 0
    assert not model.can_share_prefix(prompts_of(model, form=LONG_HEAD))
    assert lens("mistral").can_share_prefix(prompts_of(lens("mistral"), form=LONG_HEAD))


def test_shared_prefixes_are_run_under_the_hooks_of_the_moment():
    model = lens("llama", torch.float64)
    prompts = prompts_of(model, form=LONG_HEAD)

    def double(activation, hook):
        return activation * 2

    batch = collate(prompts, model.pad_id)
    with model.hooks([(model.hook_name("v", 1), double)]):
        expected = model.logits(batch)
        found = model.logits(collate(prompts, model.pad_id, shared_prefix_lengths(prompts)))
    assert (found - expected).abs().max() < 1e-6
    assert (expected - model.logits(batch)).abs().max() > 0.01


def test_no_gradients_through_shared_prefixes():
    model = lens("llama")
    prompts = prompts_of(model, form=LONG_HEAD)
    with pytest.raises(InputError, match="without shared prefixes"):
        model.differentiable_logits(collate(prompts, model.pad_id, shared_prefix_lengths(prompts)))


def test_what_a_model_says_of_itself():
    model = lens("llama")
    assert (model.name, model.n_layers, model.context) == ("tiny-llama", 3, 512)
    assert lens("gpt2").context == 512
    assert model.gated and not lens("gpt2").gated
    assert model.scoring == "option_likelihood" and model.attention == "native"
    assert model.chat_template and not lens("gpt2").chat_template
    assert model.dtype == torch.float32 and lens("llama", torch.float64).dtype == torch.float64
    assert model.device == torch.device("cpu")


def test_pad_id_falls_back():
    tokenizer = tiny_tokenizer("llama")
    tokenizer.pad_token = None
    model = load_model("x", hf_model=tiny_model("llama"), tokenizer=tokenizer)
    assert model.pad_id == tokenizer.eos_token_id


# ------------------------------------------------------------------ sites


def test_attention_patterns_fire_under_eager_only():
    pattern = "blocks.1.attn.hook_pattern"
    for attention, fires in (("native", False), ("eager", True)):
        model = load_model(
            "x",
            hf_model=tiny_model("llama"),
            tokenizer=tiny_tokenizer("llama"),
            attention=attention,
        )
        with captured(model, [pattern]) as seen:
            model.logits(collate(prompts_of(model)[:2], model.pad_id))
        assert (pattern in seen) == fires


# ------------------------------------------------------------------ hooks come off


@each_architecture
def test_nothing_stays_hooked_after_an_exception(architecture):
    model = lens(architecture)
    batch = collate(prompts_of(model)[:2], model.pad_id)
    before, hooked = model.logits(batch), live_hooks(model)
    names = [model.hook_name(site, layer) for site in model.sites for layer in range(N_LAYERS)]

    def zero(activation, hook):
        return torch.zeros_like(activation)

    def fails(activation, hook):
        raise KeyboardInterrupt if "blocks.1" in hook.name else ZeroDivisionError

    with pytest.raises(ValueError), model.hooks([(name, zero) for name in names]):
        assert live_hooks(model) > hooked
        raise ValueError
    with pytest.raises(KeyboardInterrupt), model.hooks([(model.hook_name("act", 1), fails)]):
        model.logits(batch)
    with pytest.raises(ZeroDivisionError), model.hooks([(names[0], zero), (names[0], fails)]):
        model.logits(batch)
    assert live_hooks(model) == hooked
    assert torch.equal(model.logits(batch), before)


def test_an_unknown_hook_leaves_none_of_the_others():
    model = lens("llama")
    batch = collate(prompts_of(model)[:2], model.pad_id)
    before, hooked = model.logits(batch), live_hooks(model)

    def zero(activation, hook):
        return torch.zeros_like(activation)

    with (
        pytest.raises(Exception),
        model.hooks([("blocks.0.mlp.hook_act", zero), ("blocks.9.x", zero)]),
    ):
        model.logits(batch)
        raise RuntimeError("an unknown hook was taken")  # as good: then nothing may stay
    assert live_hooks(model) == hooked
    assert torch.equal(model.logits(batch), before)
