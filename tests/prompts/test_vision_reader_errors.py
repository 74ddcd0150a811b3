"""Pictures and prompts that cannot be read are refused in one sentence that says why."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.models.load import load_model
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.questions.images import as_image
from culture_lens.questions.question import PromptFormat
from culture_lens.questions.readable import readable
from tests.helpers.closeness import relative
from tests.helpers.errors import refused
from tests.helpers.lm import lens as text_lens
from tests.helpers.marks import QUIET
from tests.helpers.reference_vlm import vlm_logits
from tests.helpers.tiny_vlm import VLM_ARCHITECTURES, picture, tiny_processor
from tests.helpers.vlm import (
    bare,
    built,
    lens,
    native,
    pictured_questions,
    prompts_of,
    question_on,
    raw,
)
from tests.helpers.vlm_items import each_vlm

TEXT_ONLY = (
    "{% for m in messages %}{{ m.role }}: {% for p in m.content %}{% if p.type == 'text' %}"
    "{{ p.text }}{% endif %}{% endfor %}\n{% endfor %}"
)


# ------------------------------------------------------------------ pictures


def test_a_missing_file(tmp_path):
    path = tmp_path / "gone.png"
    refused(["'q7'", "gone.png", "does not exist", "correct the path"], question_on, path)
    picture(1).save(path)
    asked = question_on(path)
    path.unlink()
    refused(["'q7'", "gone.png", "readable(questions)"], built, lens("llava"), asked)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["is empty"]),
        (b"this is no picture at all", ["not an image of a known kind"]),
        ("truncated", ["cannot be decoded"]),
    ],
)
@each_vlm
def test_a_damaged_file(architecture, content, words, tmp_path):
    path = tmp_path / "photo.png"
    if content == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:3000]
    path.write_bytes(content)
    words = ["question 'q7'", "photo.png", *words, "replace it", "readable(questions)"]
    model = lens(architecture)
    refused(words, built, model, question_on(path))
    whole = [*pictured_questions()[:3], question_on(path)]
    refused(words, evaluate, model, whole, **QUIET)
    with pytest.warns(CultureLensWarning, match="left out 1 of 4 questions"):
        assert len(evaluate(model, readable(whole, progress=False), **QUIET).frame) == 3


@pytest.mark.parametrize("value", [7, ["a.png"], object(), {"pixels": b""}, np.zeros((4, 4, 3))])
def test_a_picture_of_the_wrong_type(value):
    refused(["'q7'", type(value).__name__, "give a path, bytes, a PIL image"], question_on, value)


def test_a_picture_of_too_many_pixels():
    image = as_image(picture(1, 50, 50), where="question 'q7'", max_pixels=1000)
    refused(["question 'q7'", "max_pixels=1000", "smaller copy"], built, lens("llava"),
            question_on(image))  # fmt: skip


def test_floating_point_pictures_are_refused():
    image = Image.fromarray(np.zeros((20, 20), dtype=np.float32))
    refused(["'q7'", "8 or 16 bits"], built, lens("gemma3"), question_on(image))


# ------------------------------------------------------------------ prompts


@each_vlm
def test_a_chat_template_that_writes_no_picture(architecture):
    processor = tiny_processor(architecture)
    processor.chat_template = processor.tokenizer.chat_template = TEXT_ONLY
    model = load_model("x", hf_model=bare(architecture), processor=processor)
    words = ["question 'q7'", "0 image tokens", "exactly one", "give load_model a processor"]
    refused(words, built, model, question_on(picture(1)))
    assert built(model, question_on(None))  # text can be asked all the same


@each_vlm
def test_a_chat_template_that_writes_two_pictures(architecture):
    processor = tiny_processor(architecture)
    token = processor.image_token
    twice = processor.chat_template.replace(token, token + token)
    assert twice != processor.chat_template
    processor.chat_template = processor.tokenizer.chat_template = twice
    model = load_model("x", hf_model=bare(architecture), processor=processor)
    words = ["question 'q7'", "2 image tokens", "exactly one"]
    refused(words, built, model, question_on(picture(1)))


@each_vlm
def test_text_that_holds_the_placeholder(architecture):
    model = lens(architecture)
    token = model.processor.placeholder
    words = ["question 'q7'", repr(token), "take it out of the question and its options"]
    for image in (picture(1), None):
        refused(words, built, model, question_on(image, text=f"What does {token} mean?"))
        options = (token, "milk")
        refused(words, built, model, replace(question_on(image), options=options))
        form = PromptFormat(instruction=f"Look at {token}.")
        refused(words, built, model, replace(question_on(image), prompt=form))


def repeated_tokens():
    """Tokens that stand for a piece of a picture where the placeholder is another one."""
    for architecture in VLM_ARCHITECTURES:
        tokenizer = tiny_processor(architecture).tokenizer
        if tokenizer.image_token != tiny_processor(architecture).image_token:
            yield architecture, tokenizer.image_token


@pytest.mark.parametrize(("architecture", "token"), list(repeated_tokens()))
def test_text_that_holds_the_token_of_a_picture_itself(architecture, token):
    """Gemma 3 stands one mark for a picture and repeats another token."""
    model = lens(architecture)
    for image in (picture(1), None):
        asked = question_on(image, text=f"What does {token} mean?")
        with pytest.raises(InputError, match="'q7'"):
            prompts = built(model, asked)
            model.logits(collate(prompts, model.pad_id))


def test_a_text_model_asked_about_a_picture():
    words = ["question 'q7'", "reads text only", "load a vision-language model"]
    model = text_lens("llama")
    refused(words, build_prompts, [question_on(picture(1))], model.processor)
    refused(words, evaluate, model, [question_on(picture(1))], **QUIET)
    several = [replace(q, id=f"q7/{q.id}") for q in pictured_questions()]
    refused(["question 'q7/food/Japan'", *words[1:]], summarise, model, several, **QUIET)


@each_vlm
def test_a_vision_model_asked_without_pictures(architecture):
    """Text alone is asked as of any language model."""
    model = lens(architecture)
    asked = [replace(q, image=None) for q in pictured_questions()[:5]]
    runs = model.vision.runs
    found = model.logits(collate(prompts_of(architecture, asked), model.pad_id))
    expected = [vlm_logits(raw(architecture), native(architecture, q)) for q in asked]
    assert relative(found, torch.stack(expected)) < 1e-5
    assert model.vision.runs == runs
