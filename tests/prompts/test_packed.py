"""Packed prompts: every field comes back as it was, in a fraction of the memory."""

import sys
from dataclasses import fields, replace

import pytest

from culture_lens.errors import InputError
from culture_lens.prompts.build import build_prompt, build_prompts
from culture_lens.prompts.packed import PackedPrompts, given_prompts, pack, picked
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.questions.question import Question
from tests.helpers import t5
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_tokenizer

ODD = "Wo? „Köln“\n\u2028 \U0001f600 \x00 \ud800"  # the last one is half a character


def one(**changes):
    prompt = Prompt(toy_questions()[0], "Who?", (5, 300, 7), (1, 3, 3), "choices")
    return replace(prompt, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text": ODD, "ids": (), "roles": ()},
        {"style": "cloze", "continuations": ((1,), (), (2, 3)), "tail": 4},
        {"decoder_ids": (0, 9), "labels": (65, 66)},
        {"roles": (Role.IMAGE, Role.OPTIONS, Role.TEMPLATE)},
    ],
)
def test_every_field_comes_back_with_its_type(changes):
    given = one(**changes)
    (back,) = PackedPrompts([given])
    for field in fields(Prompt):
        value, expected = getattr(back, field.name), getattr(given, field.name)
        assert value == expected and type(value) is type(expected)
    assert back.question is given.question and back == given and hash(back) == hash(given)
    assert back != one(text="Why?")


def test_prompts_of_all_kinds_of_models_come_back():
    tokenizer = tiny_tokenizer("llama")
    for style in ("choices", "cloze"):
        expected = [build_prompt(question, tokenizer, style) for question in toy_questions()]
        assert list(build_prompts(toy_questions(), tokenizer, style=style)) == expected
    model = t5.lens("t5")
    expected = [build_prompt(question, model.processor, "cloze") for question in toy_questions()]
    assert list(build_prompts(toy_questions(), model.processor, style="cloze")) == expected


def test_it_is_a_sequence():
    every = [one(ids=(number,)) for number in range(5)]
    packed = PackedPrompts(every)
    assert len(packed) == 5 and packed and not PackedPrompts()
    assert packed[1] == every[1] and packed[-1] == every[4] and every[2] in packed
    assert isinstance(packed[1:3], PackedPrompts)
    assert list(packed[1:3]) == every[1:3] and list(packed[::-2]) == every[::-2]
    assert list(packed.pick([3, 0, 3])) == [every[3], every[0], every[3]]
    assert list(picked(packed, [4])) == picked(every, [4]) == [every[4]]
    assert packed.questions == [prompt.question for prompt in every]
    with pytest.raises(IndexError):
        packed[5]


def test_a_picture_takes_hardly_more_than_its_question():
    """Three thousand image tokens: 50 bytes each as objects, and 7 characters of text."""
    count = 3000
    prompt = one(text="<image>" * count, ids=(32_000,) * count, roles=(2,) * count)
    assert len(pack(prompt)) < 500 < sys.getsizeof(prompt.ids) / 40


def test_what_takes_prompts_takes_them_packed_or_listed_and_nothing_else():
    packed = PackedPrompts([one()])
    assert given_prompts("prompts", packed) is packed
    assert given_prompts("prompts", iter(packed)) == [one()]
    wrong = Question("1", "Japan", "Coin?", ("yen", "won"), 0)
    with pytest.raises(InputError, match="prompts of build_prompts"):
        given_prompts("prompts", "prompts")
    with pytest.raises(InputError, match=r"prompts\[0\]"):
        given_prompts("prompts", [wrong])
