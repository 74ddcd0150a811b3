"""Loading a vision-language model opens no socket, starts no process, and changes nothing."""

import functools

import pytest

from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from tests.helpers.audit import audited
from tests.helpers.closeness import relative
from tests.helpers.tiny import D_MLP, N_HEADS, N_KV_HEADS, N_LAYERS
from tests.helpers.tiny_vlm import VLM_ARCHITECTURES, save_vlm
from tests.helpers.vlm import bare, hf_processor, lens, prompts_of
from tests.helpers.vlm_items import each, each_vlm, expected_logits, questions


@each
def test_widths_of_sites(name):
    d_head = 16 if name.startswith("gemma3") else 8
    q, kv = N_HEADS * d_head, N_KV_HEADS * d_head
    widths = dict.fromkeys(("act", "gate", "up", "post"), D_MLP)
    streams = dict.fromkeys(("attn_out", "mlp_out", "resid"), lens(name).bridge.cfg.d_model)
    assert dict(lens(name).widths) == widths | {"q": q, "k": kv, "v": kv, "z": q} | streams
    assert lens(name).n_layers == N_LAYERS


def forbid_installing(monkeypatch, calls):
    """Note every call of what in TransformerLens loads processors and installs torchvision."""
    from transformer_lens.model_bridge.sources.transformers import helpers, source

    for module in (helpers, source):
        for function in ("_ensure_torchvision", "load_modality_processor"):
            if hasattr(module, function):
                noted = functools.partial(calls.append, function)
                monkeypatch.setattr(module, function, lambda *args, noted=noted: noted())
    return source.load_modality_processor


@each_vlm
def test_a_folder_opens_no_socket_and_starts_no_process(architecture, tmp_path, monkeypatch):
    from transformer_lens.model_bridge.supported_architectures import qwen2_5_vl

    save_vlm(architecture, tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    calls = []
    noted = forbid_installing(monkeypatch, calls)
    required = qwen2_5_vl.Qwen2_5_VLArchitectureAdapter.required_libraries
    with audited() as events:
        model = load_model(tmp_path)
        prompts = build_prompts(questions()[:5], model.processor, context=model.context)
        found = model.logits(collate(prompts, model.pad_id))
    assert events == [] and calls == []
    assert relative(found, expected_logits(architecture)[:5]) < 1e-5
    assert model.name == str(tmp_path) and model.vision.runs == 4
    # and TransformerLens is left as it was
    from transformer_lens.model_bridge.sources.transformers import source

    assert source.load_modality_processor is noted
    assert qwen2_5_vl.Qwen2_5_VLArchitectureAdapter.required_libraries is required
    assert required == ["torchvision"]


@each_vlm
def test_wrapping_a_loaded_model_opens_nothing_either(architecture, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    calls = []
    forbid_installing(monkeypatch, calls)
    hf, processor = bare(architecture), hf_processor(architecture)
    declared = list(hf.config.architectures)
    with audited() as events:
        model = load_model("x", hf_model=hf, processor=processor, attention="eager")
        model.logits(collate(prompts_of(architecture, questions()[:2]), model.pad_id))
    assert events == [] and calls == []
    assert hf.config.architectures == declared


def test_the_installer_that_must_not_run_is_there(monkeypatch):
    """Were it renamed, the tests above would prove nothing."""
    calls = []
    forbid_installing(monkeypatch, calls)
    from transformer_lens.model_bridge.sources.transformers import helpers, source

    helpers._ensure_torchvision()
    source.load_modality_processor(None, None, "x", False, None)
    assert calls == ["_ensure_torchvision", "load_modality_processor"]


def test_the_audit_sees_sockets_and_processes():
    import socket
    import subprocess

    with audited() as events:
        socket.socket().close()
        subprocess.run(["true"], check=True)
    assert any(e.startswith("socket.") for e in events) and "subprocess.Popen" in events


@each_vlm
def test_what_a_model_says_of_itself(architecture):
    model = lens(architecture)
    assert model.processor is model.vision.processor and model.chat_template
    assert model.processor.tokenizer is model.tokenizer
    assert (model.context, model.n_layers, model.gated) == (512, N_LAYERS, True)
    assert not any(p.requires_grad for p in model.bridge.original_model.parameters())
    assert not any(module.training for module in model.bridge.original_model.modules())
    assert model.vision.memory > 2**30 and "processor" not in repr(model)


def test_the_fingerprint_knows_how_pictures_are_prepared():
    processors = [hf_processor("llava"), *(fresh_processor() for _ in range(2))]
    processors[2].image_processor.image_mean = [0.1, 0.1, 0.1]
    prints = [
        load_model("x", hf_model=bare("llava"), processor=processor).fingerprint
        for processor in processors
    ]
    assert prints[0] == prints[1] != prints[2]


def fresh_processor():
    from tests.helpers.tiny_vlm import tiny_processor

    return tiny_processor("llava")


@pytest.mark.slow
def test_the_tokenizer_is_left_as_it_was():
    for architecture in VLM_ARCHITECTURES:
        one, other = lens(architecture).tokenizer, hf_processor(architecture).tokenizer
        assert one.bos_token == other.bos_token and one.pad_token == other.pad_token
        assert one("Answer").input_ids == other("Answer").input_ids
        assert one.padding_side == other.padding_side and one.chat_template == other.chat_template
