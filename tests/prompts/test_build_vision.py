"""Prompts with pictures are those that Hugging Face's own processor makes, token by token."""

import pytest

from culture_lens.errors import InputError
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.prompt import Role
from culture_lens.prompts.shared_prefix import shared_prefix_length, shared_prefix_lengths
from culture_lens.prompts.tokens import adds_bos
from culture_lens.questions.question import PromptFormat, Question, control_twin
from tests.helpers.tiny_vlm import picture
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
from tests.helpers.vlm_items import each_vlm

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


def decoded(prompt, role, tokenizer):
    chosen = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == role]
    return tokenizer.decode(chosen)


# ------------------------------------------------------------------ token ids


@pytest.mark.parametrize("style", ["choices", "cloze"])
@pytest.mark.parametrize("form", [None, LONG_HEAD])
@each_vlm
def test_ids_are_those_of_the_processor_itself(architecture, form, style):
    questions = pictured_questions(form)
    prompts = prompts_of(architecture, questions, style)
    assert [p.question for p in prompts] == questions
    assert {q.image is None for q in questions} == {True, False}
    for prompt in prompts:
        expected = native(architecture, prompt.question, style)["input_ids"][0].tolist()
        assert list(prompt.ids) == expected


@each_vlm
def test_a_system_prompt_stands_before_the_question_and_is_none_of_its_tokens(architecture):
    tokenizer = hf_processor(architecture).tokenizer
    questions = pictured_questions(PromptFormat(system="Read people with milk."))
    plain = prompts_of(architecture, pictured_questions(PromptFormat()), "choices")
    for prompt, other in zip(prompts_of(architecture, questions, "choices"), plain, strict=True):
        assert prompt.text.count("Read people with milk.") == 1
        assert prompt.text.index("Read people") < prompt.text.index(prompt.question.text)
        for role in (Role.QUESTION, Role.OPTIONS, Role.IMAGE):
            assert decoded(prompt, role, tokenizer) == decoded(other, role, tokenizer)


@each_vlm
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


@each_vlm
def test_exactly_one_bos_where_the_model_has_one(architecture):
    tokenizer = hf_processor(architecture).tokenizer
    bos = tokenizer.bos_token_id
    assert (bos is not None) == (architecture in HAS_BOS)
    assert adds_bos(tokenizer) == (architecture in HAS_BOS and architecture != "smolvlm")
    for style in ("choices", "cloze"):
        for prompt in prompts_of(architecture, style=style):
            assert prompt.ids.count(bos) == (architecture in HAS_BOS)
            assert architecture not in HAS_BOS or prompt.ids[0] == bos


@each_vlm
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


@each_vlm
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
@each_vlm
def test_image_role_where_the_model_looks_for_the_picture_and_nowhere_else(architecture, form):
    token = raw(architecture).config.image_token_id
    for prompt in prompts_of(architecture, pictured_questions(form)):
        looked = [i == token for i in prompt.ids]
        assert [role == Role.IMAGE for role in prompt.roles] == looked
        assert any(looked) == (prompt.question.image is not None)


@each_vlm
def test_marks_around_a_picture_are_template(architecture):
    tokenizer = lens(architecture).tokenizer
    prompt = prompts_of(architecture)[0]
    for mark in MARKS[architecture]:
        (found,) = tokenizer(mark, add_special_tokens=False).input_ids
        roles = {r for i, r in zip(prompt.ids, prompt.roles, strict=True) if i == found}
        assert roles == {Role.TEMPLATE}


@pytest.mark.parametrize("form", [None, LONG_HEAD])
@each_vlm
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


@each_vlm
def test_the_control_twin_has_no_picture_and_no_image_token(architecture):
    questions = pictured_questions()
    twins = [control_twin(question) for question in questions]
    assert all(twin.image is None and twin.text == "" for twin in twins)
    for prompt in prompts_of(architecture, twins):
        assert Role.IMAGE not in prompt.roles and Role.QUESTION not in prompt.roles
        assert prompt.ids == tuple(native(architecture, prompt.question)["input_ids"][0].tolist())
        assert prompt.tail == 0


@each_vlm
def test_no_shared_prefix_ends_within_a_picture_or_spans_two(architecture):
    """Pictures of one size have the same tokens, and yet are not the same prefix."""
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
