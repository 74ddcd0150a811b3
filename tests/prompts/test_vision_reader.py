"""VisionReader passes on all that Hugging Face's own processor makes of a picture."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from culture_lens.errors import InputError
from culture_lens.models.processors import for_stills, load_processor, without_num2words
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.vision_reader import VisionReader, image_token
from culture_lens.questions.images import as_image
from culture_lens.questions.question import Question
from tests.helpers.tiny_vlm import picture, save_vlm, tiny_processor
from tests.helpers.vlm import hf_processor, lens, native, pictured_questions, raw
from tests.helpers.vlm_items import each_vlm


def lazy(image, where="question 'q'"):
    return as_image(image, where=where)


# ------------------------------------------------------------------ VisionReader


@each_vlm
def test_pixels_are_everything_that_the_processor_returns(architecture):
    vision = VisionReader(hf_processor(architecture), raw(architecture).config.image_token_id)
    for size in ((40, 40), (60, 20), (20, 60)):
        image = picture(1, *size)
        question = Question("q", "Japan", "What?", ("tea", "milk"), 0, image=image)
        expected = native(architecture, question)
        text = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
        expected = {name: value for name, value in expected.items() if name not in text}
        found = vision.pixels(lazy(image))
        assert found.keys() == expected.keys() and "pixel_values" in found
        assert all(torch.equal(found[name], expected[name]) for name in found)


@each_vlm
def test_what_stands_for_a_picture_depends_on_its_size_alone(architecture, monkeypatch):
    vision = VisionReader(tiny_processor(architecture), 0)
    made = []
    original = vision.hf_processor.image_processor.preprocess

    def counted(*args, **options):
        made.append(1)
        return original(*args, **options)

    monkeypatch.setattr(vision.hf_processor.image_processor, "preprocess", counted)
    one = vision.written(lazy(picture(1)))
    assert vision.written(lazy(picture(2))) == one and len(made) <= 1
    token = image_token(vision.hf_processor)
    assert one.count(token) == sum(
        i == vision.tokenizer.convert_tokens_to_ids(token)
        for i in vision.tokenizer(one, add_special_tokens=False).input_ids
    )
    vision.written(lazy(picture(1, 60, 20)))
    assert len(made) in (0, 2)


def test_pictures_of_one_size_with_different_image_tokens_are_refused():
    """None of the known processors does this; if one did, prompts would be silently wrong."""
    model = lens("qwen2_5_vl")
    vision = VisionReader(hf_processor("qwen2_5_vl"), model.vision.processor.image_token_id)
    vision._written[(40, 40)] = "<|image_pad|>"
    with pytest.raises(InputError, match="two pictures of the size .40, 40. give different"):
        vision.pixels(lazy(picture(1)))


@each_vlm
def test_settings_name_everything_that_prepares_a_picture(architecture):
    settings = json.loads(VisionReader(hf_processor(architecture), 0).settings)
    assert {"image_mean", "image_std", "size"} <= settings.keys()
    changed = tiny_processor(architecture)
    changed.image_processor.image_mean = [0.1, 0.2, 0.3]
    other = json.loads(VisionReader(changed, 0).settings)
    assert {name for name in settings if settings[name] != other[name]} == {"image_mean"}


@each_vlm
def test_the_picture_is_looked_at_upright_and_opaque(architecture):
    """What goes to the processor is what ``LazyImage.open`` gives, whatever the file holds."""
    upright = Image.fromarray(np.asarray(picture(1, 30, 50)))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    path = lazy(turned)
    assert path.size == (30, 50)
    vision = VisionReader(hf_processor(architecture), 0)
    assert vision.written(path) == vision.written(lazy(upright))
    found, expected = vision.pixels(path), vision.pixels(lazy(upright))
    assert all(torch.equal(found[name], expected[name]) for name in found)
    clear = Image.new("RGBA", (40, 40), (9, 9, 9, 0))
    found = vision.pixels(lazy(clear))
    expected = vision.pixels(lazy(Image.new("RGB", (40, 40), "white")))
    assert all(torch.equal(found[name], expected[name]) for name in found)


# ------------------------------------------------------------------ reading one from a folder


@each_vlm
def test_a_processor_from_a_folder_is_the_same(architecture, tmp_path):
    save_vlm(architecture, tmp_path)
    read = load_processor(str(tmp_path), raw(architecture).config.model_type)
    known = tiny_processor(architecture)
    assert type(read).__name__ == type(known).__name__
    assert type(read.image_processor) is type(known.image_processor)
    token = raw(architecture).config.image_token_id
    one, other = VisionReader(read, token), VisionReader(known, token)
    assert read.chat_template == known.chat_template
    questions = pictured_questions()[::5]
    for a, b in zip(build_prompts(questions, one), build_prompts(questions, other), strict=True):
        assert (a.ids, a.roles, a.text) == (b.ids, b.roles, b.text)
    for question in questions:
        if question.image is not None:
            found, expected = one.pixels(question.image), other.pixels(question.image)
            assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_missing_package_is_stood_in_for_only_meanwhile():
    from transformers.models.smolvlm import processing_smolvlm

    before = processing_smolvlm.num2words
    with pytest.raises(ZeroDivisionError), without_num2words():
        assert processing_smolvlm.num2words is not None
        raise ZeroDivisionError
    assert processing_smolvlm.num2words is before


def test_the_class_of_a_processor_is_left_as_it_was():
    from transformers import Qwen2_5_VLProcessor

    assert for_stills(Qwen2_5_VLProcessor).get_attributes() == ["image_processor", "tokenizer"]
    assert "video_processor" in Qwen2_5_VLProcessor.get_attributes()
