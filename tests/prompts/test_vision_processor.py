"""Prompts with pictures are those that Hugging Face's own processor makes, token by token."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from culture_lens.errors import InputError
from culture_lens.prompts.batches import build_prompts, shared_prefix_length, shared_prefix_lengths
from culture_lens.prompts.build import adds_bos, label_ids
from culture_lens.prompts.prompt import Role
from culture_lens.prompts.vision_processor import (
    VisionProcessor,
    for_stills,
    image_token,
    load_processor,
    without_num2words,
)
from culture_lens.questions.images import as_image
from culture_lens.questions.question import Question, control_twin
from tests.helpers.tiny_vlm import VLM_ARCHITECTURES, picture, save_vlm, tiny_processor
from tests.helpers.vlm import (
    LONG_HEAD,
    hf_processor,
    lens,
    message,
    native,
    pictured_questions,
    prompts_of,
    raw,
)

each = pytest.mark.parametrize("architecture", VLM_ARCHITECTURES)
MARKS = {  # what stands around the image tokens of a picture of 40 by 40 pixels
    "llava": (),
    "llava_next_mistral": (),
    "llava_next_qwen2": (),
    "llava_onevision": (),
    "qwen2_5_vl": ("<|vision_start|>", "<|vision_end|>"),
    "gemma3": ("<start_of_image>", "<end_of_image>"),
    "idefics3": ("<fake_token_around_image>", "<global-img>", "<row_1_col_1>", "<row_2_col_2>"),
    "smolvlm": ("<fake_token_around_image>", "<global-img>", "<row_1_col_1>", "<row_2_col_2>"),
}
HAS_BOS = ("llava", "llava_next_mistral", "gemma3", "idefics3", "smolvlm")


def lazy(image, where="question 'q'"):
    return as_image(image, where=where)


def decoded(prompt, role, tokenizer):
    chosen = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == role]
    return tokenizer.decode(chosen)


# ------------------------------------------------------------------ token ids


@pytest.mark.parametrize("style", ["choices", "cloze"])
@pytest.mark.parametrize("form", [None, LONG_HEAD])
@each
def test_ids_are_those_of_the_processor_itself(architecture, form, style):
    questions = pictured_questions(form)
    prompts = prompts_of(architecture, questions, style)
    assert [p.question for p in prompts] == questions
    assert {q.image is None for q in questions} == {True, False}
    for prompt in prompts:
        expected = native(architecture, prompt.question, style)["input_ids"][0].tolist()
        assert list(prompt.ids) == expected


@each
def test_ids_are_those_of_odd_pictures_too(architecture):
    pictures = [
        picture(1, 7, 3),
        picture(2, 3, 90),
        picture(3, 90, 3),
        picture(4, 1, 1),
        picture(5, 301, 97),
        picture(6, 30, 40, "L"),
        picture(7, 30, 40, "P"),
        picture(8, 30, 40, "CMYK"),
    ]
    for number, image in enumerate(pictures):
        question = Question(f"q{number}", "Japan", "What is it?", ("tea", "milk"), 0, image=image)
        (prompt,) = prompts_of(architecture, [question])
        plain = Question(question.id, "Japan", "What is it?", ("tea", "milk"), 0)
        seen = Question(**{**fields(plain), "image": image.convert("RGB")})
        assert list(prompt.ids) == native(architecture, seen)["input_ids"][0].tolist()
        shown = sum(role == Role.IMAGE for role in prompt.roles)
        assert len(lens(architecture).vision.features(question.image)) == shown > 0


def test_a_picture_that_a_processor_refuses():
    """Qwen takes no picture that is 200 times as wide as high."""
    question = Question("thin", "Japan", "What?", ("tea", "milk"), 0, image=picture(1, 300, 1))
    with pytest.raises(InputError) as caught:
        prompts_of("qwen2_5_vl", [question])
    words = ("question 'thin'", "Qwen2_5_VLProcessor cannot take", "300 x 1", "leave it out")
    assert all(word in str(caught.value) for word in words)


def fields(question):
    return {name: getattr(question, name) for name in question.__slots__}


@each
def test_exactly_one_bos_where_the_model_has_one(architecture):
    tokenizer = hf_processor(architecture).tokenizer
    bos = tokenizer.bos_token_id
    assert (bos is not None) == (architecture in HAS_BOS)
    assert adds_bos(tokenizer) == (architecture in HAS_BOS and architecture != "smolvlm")
    for style in ("choices", "cloze"):
        for prompt in prompts_of(architecture, style=style):
            assert prompt.ids.count(bos) == (architecture in HAS_BOS)
            assert architecture not in HAS_BOS or prompt.ids[0] == bos


@each
def test_one_label_token_per_option(architecture):
    tokenizer = lens(architecture).tokenizer
    for prompt in prompts_of(architecture):
        labels = label_ids(prompt, tokenizer)
        assert [tokenizer.decode([i]).strip() for i in labels] == list("ABCD")
        item = native(architecture, prompt.question)["input_ids"][0].tolist()
        space = "" if tokenizer.decode(item)[-1] == "\n" else " "
        for letter, label in zip("ABCD", labels, strict=True):
            (alone,) = tokenizer(space + letter, add_special_tokens=False).input_ids
            assert label == alone


@each
def test_options_follow_a_picture_as_they_follow_text(architecture):
    """Behind a picture only the tail of the prompt is tokenised with an option."""
    tokenizer = hf_processor(architecture).tokenizer
    for prompt in prompts_of(architecture, style="cloze"):
        space = "" if prompt.text[-1] == "\n" else " "
        for option, found in zip(prompt.question.options, prompt.continuations, strict=True):
            alone = tokenizer(space + option, add_special_tokens=False).input_ids
            whole = tokenizer(prompt.text + space + option, add_special_tokens=False).input_ids
            assert list(found) == alone == whole[-len(alone) :]
        assert (prompt.tail > 0) == (prompt.question.image is not None)


# ------------------------------------------------------------------ token roles


@pytest.mark.parametrize("form", [None, LONG_HEAD])
@each
def test_image_role_where_the_model_looks_for_the_picture_and_nowhere_else(architecture, form):
    token = raw(architecture).config.image_token_id
    for prompt in prompts_of(architecture, pictured_questions(form)):
        looked = [i == token for i in prompt.ids]
        assert [role == Role.IMAGE for role in prompt.roles] == looked
        assert any(looked) == (prompt.question.image is not None)


@each
def test_marks_around_a_picture_are_template(architecture):
    tokenizer = lens(architecture).tokenizer
    prompt = prompts_of(architecture)[0]
    for mark in MARKS[architecture]:
        (found,) = tokenizer(mark, add_special_tokens=False).input_ids
        roles = {r for i, r in zip(prompt.ids, prompt.roles, strict=True) if i == found}
        assert roles == {Role.TEMPLATE}


@pytest.mark.parametrize("form", [None, LONG_HEAD])
@each
def test_question_and_options_are_told_behind_a_picture(architecture, form):
    tokenizer = lens(architecture).tokenizer
    for prompt in prompts_of(architecture, pictured_questions(form)):
        question = prompt.question
        assert decoded(prompt, Role.QUESTION, tokenizer).strip() == question.text
        options = decoded(prompt, Role.OPTIONS, tokenizer)
        assert "".join(options.split()) == "".join("".join(question.options).split())
        template = decoded(prompt, Role.TEMPLATE, tokenizer)
        assert question.prompt.instruction in template and question.text not in template
        assert message(question) in prompt.text


@each
def test_the_control_twin_has_no_picture_and_no_image_token(architecture):
    questions = pictured_questions()
    twins = [control_twin(question) for question in questions]
    assert all(twin.image is None and twin.text == "" for twin in twins)
    for prompt in prompts_of(architecture, twins):
        assert Role.IMAGE not in prompt.roles and Role.QUESTION not in prompt.roles
        assert prompt.ids == tuple(native(architecture, prompt.question)["input_ids"][0].tolist())
        assert prompt.tail == 0


@each
def test_no_common_start_ends_within_a_picture_or_spans_two(architecture):
    """Pictures of one size have the same tokens, and yet are not the same beginning."""
    prompts = prompts_of(architecture, pictured_questions(LONG_HEAD))
    japan, france, again, mexico = (prompts[i] for i in (0, 3, 4, 1))
    first, last = (place(japan.roles) for place in (first_image, last_image))
    assert japan.ids[: last + 1] == france.ids[: last + 1]
    assert shared_prefix_length([japan, again]) > last
    for other in (france, mexico, prompts[12]):
        assert 0 < shared_prefix_length([japan, other]) <= first
        assert shared_prefix_length([japan, again, other]) <= first
    assert (
        shared_prefix_lengths([japan, again, france])[0]
        == shared_prefix_lengths([japan, again])[0]
        > last
    )


def first_image(roles):
    return roles.index(Role.IMAGE)


def last_image(roles):
    return len(roles) - 1 - roles[::-1].index(Role.IMAGE)


# ------------------------------------------------------------------ VisionProcessor


@each
def test_pixels_are_everything_that_the_processor_returns(architecture):
    vision = VisionProcessor(hf_processor(architecture), raw(architecture).config.image_token_id)
    for size in ((40, 40), (60, 20), (20, 60)):
        image = picture(1, *size)
        question = Question("q", "Japan", "What?", ("tea", "milk"), 0, image=image)
        expected = native(architecture, question)
        text = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
        expected = {name: value for name, value in expected.items() if name not in text}
        found = vision.pixels(lazy(image))
        assert found.keys() == expected.keys() and "pixel_values" in found
        assert all(torch.equal(found[name], expected[name]) for name in found)


@each
def test_what_stands_for_a_picture_depends_on_its_size_alone(architecture, monkeypatch):
    vision = VisionProcessor(tiny_processor(architecture), 0)
    made = []
    original = vision.processor.image_processor.preprocess

    def counted(*args, **options):
        made.append(1)
        return original(*args, **options)

    monkeypatch.setattr(vision.processor.image_processor, "preprocess", counted)
    one = vision.written(lazy(picture(1)))
    assert vision.written(lazy(picture(2))) == one and len(made) <= 1
    token = image_token(vision.processor)
    assert one.count(token) == sum(
        i == vision.tokenizer.convert_tokens_to_ids(token)
        for i in vision.tokenizer(one, add_special_tokens=False).input_ids
    )
    vision.written(lazy(picture(1, 60, 20)))
    assert len(made) in (0, 2)


def test_pictures_of_one_size_with_different_image_tokens_are_refused():
    """None of the known processors does this; if one did, prompts would be silently wrong."""
    model = lens("qwen2_5_vl")
    vision = VisionProcessor(hf_processor("qwen2_5_vl"), model.vision.processor.image_token_id)
    vision._written[(40, 40)] = "<|image_pad|>"
    with pytest.raises(InputError, match="two pictures of the size .40, 40. give different"):
        vision.pixels(lazy(picture(1)))


@each
def test_settings_name_everything_that_prepares_a_picture(architecture):
    settings = json.loads(VisionProcessor(hf_processor(architecture), 0).settings)
    assert {"image_mean", "image_std", "size"} <= settings.keys()
    changed = tiny_processor(architecture)
    changed.image_processor.image_mean = [0.1, 0.2, 0.3]
    other = json.loads(VisionProcessor(changed, 0).settings)
    assert {name for name in settings if settings[name] != other[name]} == {"image_mean"}


@each
def test_the_picture_is_looked_at_upright_and_opaque(architecture):
    """What goes to the processor is what ``LazyImage.open`` gives, whatever the file holds."""
    upright = Image.fromarray(np.asarray(picture(1, 30, 50)))
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6
    path = lazy(turned)
    assert path.size == (30, 50)
    vision = VisionProcessor(hf_processor(architecture), 0)
    assert vision.written(path) == vision.written(lazy(upright))
    found, expected = vision.pixels(path), vision.pixels(lazy(upright))
    assert all(torch.equal(found[name], expected[name]) for name in found)
    clear = Image.new("RGBA", (40, 40), (9, 9, 9, 0))
    found = vision.pixels(lazy(clear))
    expected = vision.pixels(lazy(Image.new("RGB", (40, 40), "white")))
    assert all(torch.equal(found[name], expected[name]) for name in found)


# ------------------------------------------------------------------ reading one from a folder


@each
def test_a_processor_from_a_folder_is_the_same(architecture, tmp_path):
    save_vlm(architecture, tmp_path)
    read = load_processor(str(tmp_path), raw(architecture).config.model_type)
    known = tiny_processor(architecture)
    assert type(read).__name__ == type(known).__name__
    assert type(read.image_processor) is type(known.image_processor)
    token = raw(architecture).config.image_token_id
    one, other = VisionProcessor(read, token), VisionProcessor(known, token)
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
