"""load_model: the same model as Hugging Face's, frozen, with sites that fire, and no more."""

import copy
import shutil

import pytest
import torch
import transformers

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.models.loading import resolve_dtype
from culture_lens.prompts.batches import collate
from tests.helpers.audit import audited
from tests.helpers.lm import each_architecture, lens, prompts_of, raw, raw_logits, save_tiny
from tests.helpers.tiny import tiny_model, tiny_tokenizer

# ------------------------------------------------------------------ the same model


@each_architecture
def test_frozen_and_in_evaluation_mode(architecture):
    model = lens(architecture)
    assert not any(p.requires_grad for p in model.bridge.original_model.parameters())
    assert not any(module.training for module in model.bridge.original_model.modules())
    assert not any(module.training for module in model.bridge.modules())


@each_architecture
def test_the_tokenizer_is_the_one_given_and_unchanged(architecture):
    tokenizer, untouched = tiny_tokenizer(architecture), tiny_tokenizer(architecture)
    model = load_model("x", hf_model=tiny_model(architecture), tokenizer=tokenizer)
    assert model.tokenizer is tokenizer
    assert tokenizer("Answer").input_ids == untouched("Answer").input_ids
    assert tokenizer.bos_token == untouched.bos_token
    assert tokenizer.pad_token == untouched.pad_token
    assert tokenizer.padding_side == untouched.padding_side
    assert tokenizer.chat_template == untouched.chat_template


# ------------------------------------------------------------------ loading from a folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint")
    save_tiny("llama", path)
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


@each_architecture
def test_wrapping_a_loaded_model_opens_nothing_either(architecture, events):
    load_model(
        "org/name", hf_model=tiny_model(architecture), tokenizer=tiny_tokenizer(architecture)
    )
    assert events == []


@pytest.mark.slow
def test_the_embedded_model_opens_nothing(smollm2, events):
    from culture_lens.models.checkpoints import embedded_path

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
