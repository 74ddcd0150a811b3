"""The tiny vision-language checkpoints are what they claim to be."""

from unittest import mock

import pytest
import torch
import transformers
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests.helpers.reference_vlm import image_positions, processed, text_layers, vlm_logits
from tests.helpers.tiny import N_LAYERS
from tests.helpers.tiny_vlm import (
    FAMILIES,
    for_stills,
    picture,
    processing_smolvlm,
    save_vlm,
    tiny_processor,
    tiny_vlm,
)
from tests.helpers.vlm_configs import N_VOCAB
from tests.helpers.vlm_items import each_vlm
from tests.helpers.vlm_made import FOOD, SQUARE, TALL, WHERE, WIDE, item, prompt

COUNTS = {
    "llava": (16, 16, 16),  # 28 pixels in patches of 7
    "llava_next": (51, 39, 45),  # 9 + 6 * (6 + 1), 9 + 3 * (9 + 1), 9 + 9 * (3 + 1)
    "llava_onevision": (39, 39, 45),  # four tiles are shrunk to 5 * (5 + 1)
    "qwen2_5_vl": (25, 16, 16),  # 5 * 5, 8 * 2, 2 * 8
    "gemma3": (16, 16, 16),  # 8 * 8 patches pooled by 2 * 2
    "idefics3": (20, 12, 12),  # 4 per tile: 4 or 2 tiles, and the whole
    "smolvlm": (20, 12, 12),
}


def without(inputs, *names):
    return {name: value for name, value in inputs.items() if name not in names}


def left_padded(processor, items):
    """The processor's own batch of (text, picture or None)."""
    texts = [text for text, _ in items]
    pictures = [[image] if image else [] for _, image in items]  # per row, for those who want it
    if type(processor).__name__ not in ("Gemma3Processor", "Idefics3Processor", "SmolVLMProcessor"):
        pictures = [image for _, image in items if image]
    bos = processor.tokenizer.bos_token
    return dict(
        processor(
            text=texts,
            images=pictures,
            padding=True,
            padding_side="left",
            add_special_tokens=bos is None or not texts[0].startswith(bos),
            return_tensors="pt",
        )
    )


@each_vlm
def test_real_classes(architecture):
    hf, processor = tiny_vlm(architecture), tiny_processor(architecture)
    name = FAMILIES[architecture].name
    assert type(hf) is getattr(transformers, f"{name}ForConditionalGeneration")
    assert type(hf.config) is getattr(transformers, f"{name}Config")
    assert isinstance(processor, getattr(transformers, f"{name}Processor"))
    assert type(processor.image_processor).__name__.endswith("ImageProcessorPil")
    assert hf.dtype == torch.float32 and not hf.training
    assert hf.config.architectures == [type(hf).__name__]
    assert hf.config.image_token_id == processor.tokenizer.image_token_id
    assert hf.config.text_config.pad_token_id == processor.tokenizer.pad_token_id is not None
    assert len(text_layers(hf)) == N_LAYERS and len(processor.tokenizer) == N_VOCAB


@each_vlm
def test_letters_are_single_tokens(architecture):
    tokenizer = tiny_processor(architecture).tokenizer
    for text in (*"ABCDE", *(" " + letter for letter in "ABCDE")):
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1


@each_vlm
def test_template_with_and_without_picture(architecture):
    processor = tiny_processor(architecture)
    pictured, plain = prompt(processor), prompt(processor, pictured=False)
    assert pictured.count(processor.image_token) == 1 and processor.image_token not in plain
    assert pictured.count(FOOD) == plain.count(FOOD) == 1
    conversation = [{"role": "user", "content": FOOD}]
    takes_strings = FOOD in processor.tokenizer.apply_chat_template(conversation, tokenize=False)
    assert takes_strings == (architecture in ("qwen2_5_vl", "gemma3"))
    system = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    conversation = [system, {"role": "user", "content": [{"type": "text", "text": FOOD}]}]
    text = processor.tokenizer.apply_chat_template(conversation, tokenize=False)
    assert text.count("Be brief.") == 1 and "helpful" not in text
    assert ("You are a helpful" in plain) == (architecture in ("llava_next_qwen2", "qwen2_5_vl"))


@each_vlm
def test_bos_is_there_once(architecture):
    processor = tiny_processor(architecture)
    bos = processor.tokenizer.bos_token_id
    for image in (picture(1), None):
        ids = processed(processor, prompt(processor, pictured=image is not None), image)
        assert ids["input_ids"][0].tolist().count(bos) == (bos is not None)


@each_vlm
def test_image_tokens_match_features(architecture):
    hf = tiny_vlm(architecture)
    counts = COUNTS[architecture.replace("_mistral", "").replace("_next_qwen2", "_next")]
    for size, count in zip((SQUARE, WIDE, TALL), counts, strict=True):
        inputs = item(architecture, size=size)
        pixels = without(inputs, "input_ids", "attention_mask", "token_type_ids")
        with torch.no_grad():
            features = hf.get_image_features(**without(pixels, "mm_token_type_ids")).pooler_output
        (features,) = features
        assert image_positions(hf, inputs).sum() == len(features) == count


@each_vlm
def test_pictures_of_every_mode_and_odd_size(architecture):
    hf, processor = tiny_vlm(architecture), tiny_processor(architecture)
    for image in (
        picture(1, mode="L"),
        picture(1, mode="RGBA"),
        picture(1, 7, 3),
        picture(1, 3, 90),
    ):
        assert vlm_logits(hf, processed(processor, prompt(processor), image)).isfinite().all()


@each_vlm
def test_logits_depend_on_picture_and_question_and_seed(architecture):
    state = torch.get_rng_state()
    hf = tiny_vlm(architecture)
    logits = vlm_logits(hf, item(architecture))
    assert torch.equal(logits, vlm_logits(tiny_vlm(architecture), item(architecture)))
    assert torch.equal(state, torch.get_rng_state())
    others = (
        vlm_logits(hf, item(architecture, seed=2)),
        vlm_logits(hf, item(architecture, question=WHERE)),
        vlm_logits(tiny_vlm(architecture, seed=1), item(architecture)),
    )
    assert logits.std() > 0.5
    for other in others:
        assert (other - logits).abs().max() > 0.5


def test_pictures():
    assert picture(1).tobytes() == picture(1).tobytes() != picture(2).tobytes()
    assert picture(1, 30, 20, "L").size == (30, 20) and picture(1, mode="L").mode == "L"


@each_vlm
def test_round_trip_through_a_folder(architecture, tmp_path):
    save_vlm(architecture, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert names >= {"processor_config.json", "tokenizer.json", "chat_template.jinja"}
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(again) is type(tiny_vlm(architecture))
    processor = tiny_processor(architecture)
    if type(processor).__mro__[1].__name__ == type(processor).__name__:  # made for stills
        reader, options = for_stills(type(processor).__mro__[1]), {"video_processor": None}
    else:
        reader, options = AutoProcessor, {}
    with mock.patch.object(processing_smolvlm, "num2words", str):
        reread = reader.from_pretrained(tmp_path, **options)
    assert reread.chat_template == processor.chat_template
    for size in (SQUARE, WIDE):
        text, image = prompt(processor), picture(1, *size)
        before, after = processed(processor, text, image), processed(reread, text, image)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert torch.equal(vlm_logits(again, after), vlm_logits(tiny_vlm(architecture), before))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@each_vlm
def test_one_alone_equals_the_same_in_a_left_padded_batch(architecture, attention):
    hf, processor = tiny_vlm(architecture), tiny_processor(architecture)
    hf.set_attn_implementation(attention)
    items = [
        (prompt(processor), picture(1, *SQUARE)),
        (prompt(processor, WHERE, pictured=False), None),
        (prompt(processor, WHERE), picture(2, *WIDE)),
        (prompt(processor, FOOD * 2), picture(3, *TALL)),
    ]
    batch = left_padded(processor, items)
    assert (batch["attention_mask"][:, 0] == 0).any()
    with torch.no_grad():
        together = hf(**batch).logits[:, -1]
    for row, (text, image) in zip(together, items, strict=True):
        assert (row - vlm_logits(hf, processed(processor, text, image))).abs().max() < 1e-5


def test_token_types_matter_where_there_are_any():
    for architecture, name in (("gemma3", "token_type_ids"), ("qwen2_5_vl", "mm_token_type_ids")):
        hf, inputs = tiny_vlm(architecture), item(architecture)
        assert torch.equal(inputs[name].bool(), image_positions(hf, inputs))
        difference = vlm_logits(hf, without(inputs, name)) - vlm_logits(hf, inputs)
        assert difference.abs().max() > 0.1


def test_window_of_gemma3_bites():
    inputs = item("gemma3")
    narrow, wide, wider = (tiny_vlm("gemma3", window=window) for window in (8, 256, 512))
    assert (vlm_logits(narrow, inputs) - vlm_logits(wide, inputs)).abs().max() > 0.1
    assert torch.equal(vlm_logits(wide, inputs), vlm_logits(wider, inputs))
