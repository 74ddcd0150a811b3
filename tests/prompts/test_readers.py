"""What a model reads with: text, pictures, the two stacks of an encoder-decoder."""

import pytest

from culture_lens.errors import InputError
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.build import build_prompt, build_prompts
from culture_lens.prompts.encoder_decoder import EncoderDecoderReader
from culture_lens.prompts.reader import Reader
from culture_lens.prompts.text_reader import TextReader, as_reader
from culture_lens.prompts.vision_reader import VisionReader
from tests.helpers import tiny_t5
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import tiny_tokenizer
from tests.helpers.tiny_vlm import tiny_processor


def readers():
    yield TextReader(tiny_tokenizer("llama"))
    yield VisionReader(tiny_processor("llava"), 0)
    yield EncoderDecoderReader(tiny_t5.tiny_tokenizer(), 0)


def test_each_is_a_reader_and_is_taken_as_it_is():
    for reader in readers():
        assert isinstance(reader, Reader) and as_reader(reader) is reader


def test_a_bare_tokenizer_reads_text():
    tokenizer = tiny_tokenizer("llama")
    assert as_reader(tokenizer) == TextReader(tokenizer)
    bare, wrapped = (build_prompts(toy_questions(), r) for r in (tokenizer, TextReader(tokenizer)))
    assert [(p.ids, p.roles) for p in bare] == [(p.ids, p.roles) for p in wrapped]


def test_their_parts_are_what_load_model_takes():
    text, vision, both = (reader.parts for reader in readers())
    assert list(text) == list(both) == ["tokenizer"] and list(vision) == ["processor"]
    assert vision["processor"].tokenizer is not None


def test_a_prompt_of_an_encoder_decoder_is_not_answered_by_a_bare_tokenizer():
    *_, reader = readers()
    prompt = build_prompt(toy_questions()[0], reader)
    assert len(label_ids(prompt, reader)) == len(prompt.question.options)
    with pytest.raises(InputError, match="give model.processor, not model.tokenizer"):
        label_ids(prompt, reader.tokenizer)
