"""load_model: the same model as Hugging Face's, frozen, with sites that fire, and no more."""

import copy
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.models.loading import resolve_dtype
from culture_lens.models.sites import SITES, check_sites, hook_name
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.shared_prefix import shared_prefix_length, shared_prefix_lengths
from culture_lens.questions.question import PromptFormat, with_format
from tests.conftest import lens, raw, toy_questions, wide_gemma3
from tests.helpers import reference
from tests.helpers.audit import audited
from tests.helpers.tiny import ARCHITECTURES, N_LAYERS, tiny_model, tiny_tokenizer

WIDTHS = {  # d_mlp 48; 4 query heads and 2 key heads of 8, or of 16 where d_head is given
    "llama": (48, 32, 16),
    "qwen2": (48, 32, 16),
    "qwen3": (48, 64, 32),
    "gemma3": (48, 64, 32),
    "phi3": (48, 32, 16),
    "mistral": (48, 32, 16),
    "gpt2": (48, 32, 32),
}
LONG_HEAD = PromptFormat(
    layout="People of many countries answer. Read the question and choose.\n{question}\n{options}"
)


def prompts_of(model, style="choices", form=None):
    return build_prompts(with_format(toy_questions(), form), model.tokenizer, style=style)


def raw_logits(hf, prompt):
    with torch.no_grad():
        return hf(input_ids=torch.tensor([prompt.ids])).logits[0, -1]


@contextmanager
def captured(model, names):
    seen = {}

    def keep(activation, hook):
        seen[hook.name] = activation

    with model.hooks([(name, keep) for name in names]):
        yield seen


def live_hooks(model):
    """Count the functions on all hook points of the bridge."""
    return sum(
        len(point.fwd_hooks) + len(point.bwd_hooks) for point in model.bridge.hook_dict.values()
    )


# ------------------------------------------------------------------ the same model


@pytest.mark.parametrize("attention", ["native", "eager"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_padded_equals_unpadded(architecture):
    model = lens(architecture, torch.float64)
    prompts = prompts_of(model)
    together = model.logits(collate(prompts, model.pad_id))
    alone = torch.cat([model.logits(collate([prompt], model.pad_id)) for prompt in prompts])
    other_padding = model.logits(collate(prompts, 7))
    assert (together - alone).abs().max() < 1e-6  # norms are float32 inside
    assert (together - other_padding).abs().max() < 1e-6
    assert alone.std(0).mean() > 0.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
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
def test_rows_with_different_beginnings(architecture):
    """Two groups of rows, each with a beginning of its own and of its own length."""
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
    assert lens("mistral").shares(prompts_of(lens("mistral"), form=LONG_HEAD))


def test_beginnings_are_run_under_the_hooks_of_the_moment():
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


def test_no_gradients_through_shared_beginnings():
    model = lens("llama")
    prompts = prompts_of(model, form=LONG_HEAD)
    with pytest.raises(InputError, match="without shared prefixes"):
        model.differentiable_logits(collate(prompts, model.pad_id, shared_prefix_lengths(prompts)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_frozen_and_in_evaluation_mode(architecture):
    model = lens(architecture)
    assert not any(p.requires_grad for p in model.bridge.original_model.parameters())
    assert not any(module.training for module in model.bridge.original_model.modules())
    assert not any(module.training for module in model.bridge.modules())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_tokenizer_is_the_one_given_and_unchanged(architecture):
    tokenizer, untouched = tiny_tokenizer(architecture), tiny_tokenizer(architecture)
    model = load_model("x", hf_model=tiny_model(architecture), tokenizer=tokenizer)
    assert model.tokenizer is tokenizer
    assert tokenizer("Answer").input_ids == untouched("Answer").input_ids
    assert tokenizer.bos_token == untouched.bos_token
    assert tokenizer.pad_token == untouched.pad_token
    assert tokenizer.padding_side == untouched.padding_side
    assert tokenizer.chat_template == untouched.chat_template


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


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sites_and_widths(architecture):
    d_mlp, q, kv = WIDTHS[architecture]
    expected = {
        "act": d_mlp,
        "gate": d_mlp,
        "up": d_mlp,
        "post": d_mlp,
        "q": q,
        "k": kv,
        "v": kv,
        "z": q,
    }
    if architecture == "gpt2":
        del expected["up"]
    assert dict(lens(architecture).widths) == expected
    assert set(lens(architecture).sites) == set(expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hooks_give_what_the_raw_modules_give(architecture):
    model, hf = lens(architecture), raw(architecture)
    prompt = prompts_of(model)[0]
    sites = [site for site in ("act", "gate", "up", "q", "k", "v") if site in model.widths]
    names = {
        (site, layer): model.hook_name(site, layer) for site in sites for layer in range(N_LAYERS)
    }
    with captured(model, names.values()) as seen:
        model.logits(collate([prompt], model.pad_id))
    for site in sites:
        expected = reference.site_values(hf, site, prompt.ids)
        for layer in range(N_LAYERS):
            found = seen[names[site, layer]][0].flatten(1).numpy()
            assert np.abs(found - expected[layer]).max() < 2e-5 * np.abs(expected).max()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_post_and_z_enter_the_output_projections(architecture):
    model, hf = lens(architecture), raw(architecture)
    prompt = prompts_of(model)[0]
    expected, handles = {}, []
    for i, layer in enumerate(reference.decoder_layers(hf)):
        attn = layer.attn if architecture == "gpt2" else layer.self_attn
        outs = (
            {"post": layer.mlp.c_proj, "z": attn.c_proj}
            if architecture == "gpt2"
            else {"post": layer.mlp.down_proj, "z": attn.o_proj}
        )
        for site, module in outs.items():

            def keep(module, args, key=(site, i)):
                expected[key] = args[0][0].flatten(1)

            handles.append(module.register_forward_pre_hook(keep))
    raw_logits(hf, prompt)
    for handle in handles:
        handle.remove()
    names = {key: model.hook_name(*key) for key in expected}
    with captured(model, names.values()) as seen:
        model.logits(collate([prompt], model.pad_id))
    assert len(expected) == 2 * N_LAYERS
    for key, name in names.items():
        assert (seen[name][0].flatten(1) - expected[key]).abs().max() < 1e-4


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


def test_unknown_sites():
    with pytest.raises(InputError, match="unknown site 'gat': did you mean 'gate'"):
        hook_name("gat", 0)
    with pytest.raises(InputError, match="unknown site 'up'.*has no gate, so it has no 'up'"):
        lens("gpt2").hook_name("up", 0)
    with pytest.raises(InputError, match="unknown site 'mlp'"):
        check_sites(["act", "mlp"])
    assert check_sites(["act", "q", "act"]) == ("act", "q")
    assert set(SITES) == set(lens("llama").sites)


def test_a_site_that_does_not_fire_is_noticed_at_load():
    hf = tiny_model("llama")
    mlp = hf.model.layers[1].mlp
    del mlp.act_fn
    mlp.act_fn = nn.functional.silu  # a plain function cannot be hooked
    with pytest.raises(InputError) as caught:
        load_model("odd", hf_model=hf, tokenizer=tiny_tokenizer("llama"))
    words = ("site 'act' of 'odd'", "does not fire", "layer 1", "not supported yet")
    assert all(word in str(caught.value) for word in words)


def test_layers_that_share_one_activation_module():
    """Where all layers have one act module, each layer's hook must still be its own."""
    hf = tiny_model("llama")
    for layer in hf.model.layers:
        layer.mlp.act_fn = hf.model.layers[0].mlp.act_fn
    try:
        model = load_model("shared", hf_model=hf, tokenizer=tiny_tokenizer("llama"))
    except InputError as error:
        assert "act" in str(error)  # refused by name is as good
        return
    prompt = prompts_of(model)[0]
    names = [model.hook_name("act", layer) for layer in range(N_LAYERS)]
    with captured(model, names) as seen:
        model.logits(collate([prompt], model.pad_id))
    expected = reference.site_values(raw("llama"), "act", prompt.ids)
    for layer, name in enumerate(names):
        assert np.abs(seen[name][0].numpy() - expected[layer]).max() < 1e-4


# ------------------------------------------------------------------ hooks come off


@pytest.mark.parametrize("architecture", ARCHITECTURES)
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


# ------------------------------------------------------------------ loading from a folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    tiny_model("llama").save_pretrained(path)
    tiny_tokenizer("llama").save_pretrained(path)
    return path


@pytest.fixture
def damaged(folder, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    return copied


@pytest.fixture
def events(monkeypatch):
    """What happens while the fixture lives: sockets and processes, by the interpreter's audit."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with audited() as opened:
        yield opened


def test_the_audit_sees_sockets_and_processes(events):
    import socket
    import subprocess

    socket.socket().close()
    subprocess.run(["true"], check=True)
    assert any(e.startswith("socket.") for e in events) and "subprocess.Popen" in events


@pytest.mark.parametrize("attention", ["native", "eager"])
def test_a_local_load_opens_no_socket_and_starts_no_process(folder, events, attention):
    model = load_model(folder, attention=attention)
    model.logits(collate(prompts_of(model)[:2], model.pad_id))
    assert events == []
    prompt = prompts_of(model)[0]
    found = model.logits(collate([prompt], model.pad_id))[0]
    assert torch.allclose(found, raw_logits(raw("llama"), prompt), atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_wrapping_a_loaded_model_opens_nothing_either(architecture, events):
    load_model(
        "org/name", hf_model=tiny_model(architecture), tokenizer=tiny_tokenizer(architecture)
    )
    assert events == []


def test_the_embedded_model_opens_nothing(smollm2, events):
    from culture_lens.models.load import embedded_path

    load_model(embedded_path("smollm2-135m"), dtype="bfloat16")
    assert events == []


def test_dtype_and_name(folder):
    model = load_model(folder, dtype="bfloat16")
    assert model.dtype == torch.bfloat16 and model.name == str(folder)
    assert load_model(str(folder)).dtype == torch.float32
    assert resolve_dtype(torch.float64) == resolve_dtype("float64") == torch.float64
    tokenizer = tiny_tokenizer("llama")
    tokenizer.chat_template = None
    assert load_model(folder, tokenizer=tokenizer).tokenizer is tokenizer


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "no-such-folder",
            ["'no-such-folder' cannot be loaded", "no such folder", "'smollm2-135m'"],
        ),
        ("./missing", ["'./missing' cannot be loaded", "no such folder"]),
        (
            "nobody/nothing-8B",
            ["'nobody/nothing-8B' cannot be loaded", "check the name", "local copy"],
        ),
    ],
)
def test_unknown_models(name, words):
    with pytest.raises(InputError) as caught:
        load_model(name)
    assert all(word in str(caught.value) for word in words)


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="has no config.json.*save_pretrained"):
        load_model(tmp_path)


@pytest.mark.parametrize("length", [0, 100, 5000, -100])
def test_truncated_weights(damaged, length):
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:length])
    with pytest.raises(InputError, match="cannot be loaded.*copy the checkpoint again"):
        load_model(damaged)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_damaged_or_missing_files(damaged, file):
    for change in ("damaged", "missing"):
        if change == "damaged":
            (damaged / file).write_bytes((damaged / file).read_bytes()[:50])
        else:
            (damaged / file).unlink()
        with pytest.raises(InputError, match=str(damaged)):
            load_model(damaged)


def test_weights_of_another_model(damaged):
    """A checkpoint that lacks weights must not be filled up with random ones."""
    from safetensors.torch import load_file, save_file

    weights = load_file(damaged / "model.safetensors")
    del weights["model.layers.1.mlp.gate_proj.weight"]
    save_file(weights, damaged / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="gate_proj"):
        load_model(damaged)


def test_other_kinds_of_models():
    config = transformers.LongT5Config(
        vocab_size=400, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
        architectures=["LongT5ForConditionalGeneration"],
    )  # fmt: skip
    hf = transformers.LongT5ForConditionalGeneration(config)
    with pytest.raises(InputError, match="LongT5ForConditionalGeneration"):
        load_model("tiny-long-t5", hf_model=hf, tokenizer=tiny_tokenizer("gpt2"))


def test_options_that_do_not_fit(folder):
    with pytest.raises(InputError, match="without a tokenizer; pass tokenizer="):
        load_model("x", hf_model=tiny_model("llama"))
    with pytest.raises(InputError, match="attention='flash': use 'native' or 'eager'"):
        load_model(folder, attention="flash")
    with pytest.raises(InputError, match="device or device_map, not both"):
        load_model(folder, device="cpu", device_map="auto")
    with pytest.raises(InputError, match="unknown dtype 'float31': use float32"):
        load_model(folder, dtype="float31")


def test_models_are_plain_records():
    model = lens("llama")
    assert isinstance(model, LensModel) and "bridge" not in repr(model)
    with pytest.raises(Exception):
        model.name = "other"
    assert copy.copy(model).bridge is model.bridge
