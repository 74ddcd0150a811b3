"""Models that the user made: Hugging Face models and TransformerBridges."""

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge

from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.models.load import load_model
from tests.helpers import t5, vlm
from tests.helpers.bridges import own_bridge, own_t5, own_vlm
from tests.helpers.closeness import assert_close
from tests.helpers.edits import batch_of
from tests.helpers.errors import refused
from tests.helpers.lm import each_architecture, lens, save_tiny
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_model, tiny_tokenizer
from tests.helpers.tiny_t5 import tiny_model as t5_model
from tests.helpers.tiny_t5 import tiny_tokenizer as t5_tokenizer
from tests.helpers.tiny_vlm import tiny_processor, tiny_vlm_tokenizer


@each_architecture
def test_a_bridge_and_a_hugging_face_model_give_what_load_model_gives(architecture):
    model = lens(architecture)
    batch, expected = batch_of(model), model.logits(batch_of(model))
    bridge = own_bridge(architecture)
    taken = load_model(bridge, tokenizer=tiny_tokenizer(architecture))
    wrapped = load_model(tiny_model(architecture), tokenizer=tiny_tokenizer(architecture))
    assert (taken.name, wrapped.name) == (f"own/{architecture}", f"tiny-{architecture}")
    assert (taken.attention, wrapped.attention) == ("eager", "native")
    assert taken.bridge is bridge
    for found in (taken, wrapped):
        assert found.widths == model.widths and found.fingerprint == model.fingerprint
        assert not any(p.requires_grad for p in found.bridge.original_model.parameters())
        assert_close(found.logits(batch), expected)
    options = {"scoring": "letter_options", **QUIET}
    one, other = (evaluate(m, toy_questions()[:4], **options).frame for m in (taken, model))
    assert one["prediction"].tolist() == other["prediction"].tolist()


def test_a_bridge_keeps_its_attention_unless_asked():
    bridge = own_bridge("llama")
    pattern = "blocks.0.attn.hook_pattern"
    model = load_model(bridge, tokenizer=tiny_tokenizer("llama"))
    expected = model("tea")
    assert pattern in model.run_with_cache("tea")[1]
    native = load_model(bridge, tokenizer=tiny_tokenizer("llama"), attention="native")
    assert native.attention == "native" and pattern not in native.run_with_cache("tea")[1]
    assert_close(native("tea").detach(), expected.detach())


def test_a_bridge_whose_tokenizer_can_be_read_again(tmp_path):
    own = tiny_tokenizer("gpt2")
    bridge = TransformerBridge.boot_transformers(save_tiny("gpt2", tmp_path / "gpt2"))
    assert bridge.to_tokens("tea")[0].tolist() == [own.bos_token_id, *own("tea").input_ids]
    model = load_model(bridge)
    for reads in (model, bridge):
        assert reads.to_tokens("tea")[0].tolist() == own("tea").input_ids


def test_a_bridge_whose_tokenizer_is_not_known_is_refused(tmp_path):
    bridge = own_bridge("llama")
    words = ("own/llama", "cannot be read again", "tokenizer=AutoTokenizer")
    refused(words, load_model, bridge)
    bridge.tokenizer.name_or_path = save_tiny("llama", tmp_path / "llama")
    bridge.tokenizer.chat_template = "{{ messages[0].content }}"
    refused(("own/llama", "another vocabulary or chat template"), load_model, bridge)


@pytest.mark.slow
def test_an_encoder_decoders_bridge():
    model = load_model(own_t5("flan"), tokenizer=t5_tokenizer())
    assert model.widths == t5.lens("flan").widths
    assert_close(model("tea").detach(), t5.lens("flan")("tea").detach())
    assert load_model(t5_model("flan"), tokenizer=t5_tokenizer()).name == "tiny-flan"


def test_a_vision_language_models_bridge():
    bridge = own_vlm("llava")
    refused(("own/llava", "reads pictures", "processor="), load_model, bridge,
            tokenizer=tiny_vlm_tokenizer("llava"))  # fmt: skip
    model = load_model(bridge, processor=tiny_processor("llava"))
    asked, options = vlm.pictured_questions()[:4], {"scoring": "letter_options", **QUIET}
    one, other = (evaluate(m, asked, **options).frame for m in (model, vlm.lens("llava")))
    vlm.assert_nearly_same_records(one, other)


def test_what_cannot_be_taken_is_refused_with_the_remedy():
    llama, tokenizer = tiny_model("llama"), tiny_tokenizer("llama")
    refused(("tiny-llama", "without a tokenizer", "tokenizer="), load_model, llama)
    load_model(llama, tokenizer=tokenizer)
    refused(("tiny-llama", "already inside a TransformerBridge"), load_model, llama,
            tokenizer=tokenizer)  # fmt: skip
    refused(("already inside",), load_model, "again", hf_model=llama, tokenizer=tokenizer)
    refused(("Linear is no Hugging Face model",), load_model, torch.nn.Linear(2, 2))
    refused(("by name", "not as int"), load_model, 5)
    refused(("not as LensModel",), load_model, lens("llama"))
    refused(("two models",), load_model, tiny_model("llama"), hf_model=tiny_model("llama"))
    bridge = own_bridge("llama")
    refused(("dtype cannot be set", "boot_transformers"), load_model, bridge, dtype="bfloat16",
            tokenizer=tokenizer)  # fmt: skip
    bridge.enable_compatibility_mode()
    with pytest.raises(InputError, match="compatibility mode.*before"):
        load_model(bridge, tokenizer=tokenizer)
