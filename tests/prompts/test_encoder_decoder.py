"""Prompts of an encoder-decoder: what the encoder reads, and what the decoder begins with."""

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.prompts.answers import continuation_ids, label_ids
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Role
from culture_lens.questions.question import PromptFormat, with_format
from tests.helpers.questions import toy_questions
from tests.helpers.t5 import PREFIX, lens, mixed_questions, prompts_of
from tests.helpers.tiny_t5 import EOS, PAD


@pytest.mark.parametrize("style", ["choices", "cloze"])
def test_one_eos_and_no_bos(style):
    model = lens("flan")
    for prompt in prompts_of(model, style=style):
        assert prompt.ids[-1] == EOS and prompt.ids.count(EOS) == 1
        assert prompt.text.endswith("</s>") and prompt.text.count("</s>") == 1
        assert list(prompt.ids) == model.tokenizer(prompt.text[:-4]).input_ids
        assert len(prompt.roles) == len(prompt.ids) and prompt.roles[-1] == Role.TEMPLATE
        assert Role.ANSWER_PREFIX not in prompt.roles
        assert prompt.decoder_ids[0] == PAD


def test_roles_are_those_of_the_texts():
    model = lens("flan")
    for prompt in prompts_of(model, toy_questions()):
        asked = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == Role.QUESTION]
        shown = [i for i, r in zip(prompt.ids, prompt.roles, strict=True) if r == Role.OPTIONS]
        assert model.tokenizer.decode(asked).strip() == prompt.question.text
        words = " ".join(model.tokenizer.decode(shown).split())
        assert words == " ".join(" ".join(prompt.question.options).split())


def test_the_answer_prefix_is_the_decoders():
    model = lens("flan")
    with_prefix, without = prompts_of(model)[0], prompts_of(model, toy_questions())[0]
    prefix = model.tokenizer(PREFIX.answer_prefix, add_special_tokens=False).input_ids
    assert with_prefix.ids == without.ids and without.decoder_ids == (PAD,)
    assert with_prefix.decoder_ids == (PAD, *prefix)
    cloze = prompts_of(model, style="cloze")[0]
    assert cloze.decoder_ids == (PAD,)


def test_labels_are_one_token_as_the_decoder_writes_them():
    reader, tokenizer = lens("flan").processor, lens("flan").tokenizer
    with_prefix, without = prompts_of(lens("flan"))[0], prompts_of(lens("flan"))[-1]
    written = tokenizer.convert_ids_to_tokens(label_ids(without, reader))
    assert written == ["▁A", "▁B", "▁C", "▁D"]
    assert tokenizer.convert_ids_to_tokens(label_ids(with_prefix, reader)) == list("ABCD")
    words = with_format([without.question], PromptFormat(answer_prefix="Answer:"))
    said = label_ids(prompts_of(lens("flan"), words)[0], reader)
    assert tokenizer.convert_ids_to_tokens(said) == ["▁A", "▁B", "▁C", "▁D"]


def test_options_are_tokenised_for_the_decoder():
    model = lens("flan")
    for prompt in prompts_of(model, style="cloze"):
        for option, tokens in zip(prompt.question.options, prompt.continuations, strict=True):
            assert list(tokens) == model.tokenizer(option, add_special_tokens=False).input_ids
        assert prompt.longest_answer == 0  # they take no room of the encoder's


def test_prompts_too_long_for_the_encoder():
    model = lens("flan")
    lengths = [len(prompt.ids) for prompt in prompts_of(model)]
    options = {"context": max(lengths) - 3}
    with pytest.raises(InputError, match="do not fit"):
        build_prompts(mixed_questions(), model.processor, **options)
    with pytest.warns(CultureLensWarning, match="truncated"):
        cut = build_prompts(mixed_questions(), model.processor, too_long="truncate", **options)
    assert max(len(prompt.ids) for prompt in cut) == max(lengths) - 3
    assert all(p.ids[-1] == EOS and p.ids.count(EOS) == 1 for p in cut)


def test_an_answer_that_melts_into_the_prefix():
    model = lens("flan")
    assert model.tokenizer.tokenize("the") == ["▁the"]
    question = with_format(toy_questions()[:1], PromptFormat(answer_prefix="th"))
    prompt = prompts_of(model, question)[0]
    with pytest.raises(InputError, match="melts into the end of the answer prefix"):
        continuation_ids(prompt, "e", model.processor)
