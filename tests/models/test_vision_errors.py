"""What cannot be asked of a vision-language model is refused in one sentence that says why."""

import copy
from dataclasses import replace
from itertools import permutations

import pytest
import torch
import transformers

from culture_lens.errors import InputError
from culture_lens.models.architectures import ARCHITECTURES
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from tests.helpers.errors import refused
from tests.helpers.tiny import tiny_model, tiny_tokenizer
from tests.helpers.tiny_vlm import FAMILIES, VLM_ARCHITECTURES, picture, tiny_processor, tiny_vlm
from tests.helpers.vlm import bare, built, lens, pictured_questions, prompts_of, question_on, raw

each_vlm = pytest.mark.parametrize("architecture", VLM_ARCHITECTURES)


# ------------------------------------------------------------------ processors


@each_vlm
def test_a_model_without_its_processor(architecture):
    kind = f"{FAMILIES[architecture].name}ForConditionalGeneration"
    hf = bare(architecture)
    for given in ({}, {"tokenizer": tiny_processor(architecture).tokenizer}):
        words = ["'my-vlm'", kind, "reads pictures", "pass processor="]
        refused(words, load_model, "my-vlm", hf_model=hf, **given)


def test_a_text_model_with_a_processor():
    hf, tokenizer = tiny_model("llama"), tiny_tokenizer("llama")
    words = ["'my-llm'", "LlamaForCausalLM", "reads text only", "tokenizer="]
    for given in ({}, {"tokenizer": tokenizer}):
        refused(words, load_model, "my-llm", hf_model=hf, processor=tiny_processor("llava"),
                **given)  # fmt: skip


OTHERS = {  # a processor of another family for each model
    "llava": "gemma3",
    "llava_next_mistral": "llava_onevision",
    "llava_next_qwen2": "qwen2_5_vl",
    "llava_onevision": "idefics3",
    "qwen2_5_vl": "llava",
    "gemma3": "smolvlm",
    "idefics3": "llava_next_qwen2",
    "smolvlm": "llava_next_mistral",
}


@each_vlm
def test_a_processor_of_another_family(architecture):
    """At load, or where its image token happens to be the same, at the first picture."""
    other = OTHERS[architecture]
    processor = tiny_processor(other)
    with pytest.raises(InputError, match="does(n't| not) belong to the model") as caught:
        model = load_model("my-vlm", hf_model=bare(architecture), processor=processor)
        prompts = built(model, question_on(picture(1)))
        model.logits(collate(prompts, model.pad_id))
    said = str(caught.value)
    assert "my-vlm" in said or "question 'q7'" in said


def test_a_processor_of_the_same_family_with_another_tokenizer():
    """Known at load, by the token that stands for a picture."""
    hf, processor = bare("llava_next_qwen2"), tiny_processor("llava_next_mistral")
    its, looked = processor.tokenizer.image_token_id, hf.config.image_token_id
    assert its != looked
    words = ["'my-vlm'", f"image token {its}", f"looks for {looked}", "its own checkpoint"]
    refused(words, load_model, "my-vlm", hf_model=hf, processor=processor)


SAME_TOKEN = ("llava", "llava_next_qwen2", "llava_onevision")


@pytest.mark.parametrize(("architecture", "other"), list(permutations(SAME_TOKEN, 2)))
def test_a_processor_of_another_family_with_the_same_image_token(architecture, other):
    hf, processor = bare(architecture), tiny_processor(other)
    assert hf.config.image_token_id == processor.tokenizer.image_token_id
    with pytest.raises(InputError) as caught:
        model = load_model("my-vlm", hf_model=hf, processor=processor)
        prompts = built(model, question_on(picture(1)))
        model.logits(collate(prompts, model.pad_id))
    said = str(caught.value)
    assert "processor" in said.lower() and ("my-vlm" in said or "q7" in said), said


def other_size(architecture):
    """The family's own processor, made for pictures of another size."""
    processor = tiny_processor(architecture)
    images = processor.image_processor
    if architecture == "llava":
        images.size, images.crop_size = {"shortest_edge": 14}, {"height": 14, "width": 14}
    elif architecture.startswith("llava_next"):
        processor.patch_size = 3
    elif architecture == "llava_onevision":
        processor.num_image_tokens = 4
    elif architecture == "qwen2_5_vl":
        images.merge_size = 1
    elif architecture == "gemma3":
        processor.image_seq_length = 9
        processor.full_image_sequence = processor.full_image_sequence.replace(
            processor.tokenizer.image_token * 16, processor.tokenizer.image_token * 9
        )
    else:
        processor.image_seq_len = 9
    return processor


@each_vlm
def test_a_processor_of_another_size(architecture):
    """Pictures and prompt must agree on the number of tokens, whatever breaks first."""
    processor = other_size(architecture)
    model = load_model("x", hf_model=bare(architecture), processor=processor)
    with pytest.raises(InputError) as caught:
        prompts = built(model, question_on(picture(1)))
        model.logits(collate(prompts, model.pad_id))
    said = str(caught.value)
    assert "q7" in said and "processor" in said, said


# ------------------------------------------------------------------ loading


@pytest.mark.parametrize("memory", [-1, -(2**40)])
def test_less_than_no_memory(memory):
    hf, processor = bare("llava"), tiny_processor("llava")
    words = [f"image_memory={memory}", "0 or more"]
    refused(words, load_model, "x", hf_model=hf, processor=processor, image_memory=memory)


def test_an_architecture_that_is_not_supported():
    """Named, with where to find what is; even where TransformerLens could wrap it."""
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 7}  # fmt: skip
    text = transformers.OPTConfig(
        vocab_size=450, hidden_size=32, num_hidden_layers=1, ffn_dim=48, num_attention_heads=2,
        word_embed_proj_dim=32,
    )  # fmt: skip
    config = transformers.Blip2Config(
        vision_config=vision,
        qformer_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                        "intermediate_size": 24, "encoder_hidden_size": 16},
        text_config=text,
        num_query_tokens=4,
        image_token_index=5,
        architectures=["Blip2ForConditionalGeneration"],
    )  # fmt: skip
    hf = transformers.Blip2ForConditionalGeneration(config)
    for given in (
        {"processor": tiny_processor("llava")},
        {"tokenizer": tiny_tokenizer("llama")},
    ):
        with pytest.raises(InputError) as caught:
            load_model("tiny-blip", hf_model=hf, **given)
        said = str(caught.value)
        assert "Blip2ForConditionalGeneration" in said and "tiny-blip" in said
    assert "is not supported" in said and "Qwen2_5_VLForConditionalGeneration" in said


def test_a_vision_class_that_transformer_lens_knows_and_the_package_does_not():
    """A model with a picture tower of a kind without tests is refused, not run blindly."""
    hf = tiny_vlm("llava")
    hf.config.model_type = "llava_of_tomorrow"
    with pytest.raises(InputError) as caught:
        load_model("tiny-tomorrow", hf_model=hf, processor=tiny_processor("llava"))
    assert "tiny-tomorrow" in str(caught.value)


def test_the_list_of_architectures_names_every_supported_class():
    known = {architecture.name for architecture in ARCHITECTURES}
    for architecture in VLM_ARCHITECTURES:
        assert type(raw(architecture)).__name__ in known


def test_errors_leave_a_model_as_it_was():
    model = lens("idefics3")
    batch = collate(prompts_of("idefics3", pictured_questions()[:2]), model.pad_id)
    before = model.logits(batch)
    bad = copy.copy(batch.prompts[0])
    cut = replace(bad, ids=bad.ids[3:], roles=bad.roles[3:])
    fewer = replace(
        bad,
        ids=tuple(i for n, i in enumerate(bad.ids) if n != bad.roles.index(2)),
        roles=tuple(r for n, r in enumerate(bad.roles) if n != bad.roles.index(2)),
    )
    model.logits(
        collate([cut], model.pad_id)
    )  # a prompt that was cut elsewhere is asked all the same
    refused(["food/Japan", "features", "image tokens"], model.logits,
            collate([fewer], model.pad_id))  # fmt: skip
    assert not model.is_hooked
    assert torch.equal(model.logits(batch), before)
