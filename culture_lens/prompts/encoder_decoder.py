"""What an encoder-decoder reads: the prompt in its encoder, the start of the answer in its decoder.

    encoder   question, options and template, with the tokenizer's end-of-sequence token behind
    decoder   the start token, the answer prefix, and then the label or the option's words

Both are written by one tokenizer. T5's has no curly brackets (mT5's has), so that an answer prefix
in JSON begins with its unknown token: words such as ``The answer is`` suit it better. Nothing here
runs a model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Prompt, Role


@dataclass(frozen=True)
class Seq2SeqReader:
    """A tokenizer with the token that its model's decoder starts from.

    Attributes:
        tokenizer: A fast Hugging Face tokenizer.
        start_id: The first token of the decoder, ``decoder_start_token_id``.

    Example:
        ``build_prompts(questions, model.processor)``
    """

    tokenizer: Any
    start_id: int

    @property
    def chat_template(self) -> Any:
        """The tokenizer's chat template, where it has one."""
        return self.tokenizer.chat_template


def adds_eos(tokenizer: Any) -> bool:
    """Say whether this tokenizer puts an end-of-sequence token behind plain text.

    Example:
        ``adds_eos(model.tokenizer)`` is true for T5.
    """
    eos = tokenizer.eos_token_id
    return eos is not None and tokenizer("a").input_ids[-1:] == [eos]


def for_both_sides(prompt: Prompt, reader: Seq2SeqReader) -> Prompt:
    """End a prompt as an encoder reads it, exactly once, and give the decoder its beginning.

    Example:
        ``for_both_sides(prompt, model.processor).decoder_ids[0] == model.start_id``
    """
    tokenizer = reader.tokenizer
    if adds_eos(tokenizer) and prompt.ids[-1:] != (tokenizer.eos_token_id,):
        prompt = replace(
            prompt,
            text=prompt.text + tokenizer.eos_token,
            ids=(*prompt.ids, tokenizer.eos_token_id),
            roles=(*prompt.roles, int(Role.TEMPLATE)),
        )
    prompt = replace(prompt, decoder_ids=(reader.start_id,))
    prefix = tokenizer(prompt.before_answer, add_special_tokens=False).input_ids
    return replace(prompt, decoder_ids=(reader.start_id, *prefix))


def answer_ids(prompt: Prompt, answer: str, tokenizer: Any) -> tuple[int, ...]:
    """Tokenise an answer as the decoder would write it behind what it is given.

    A SentencePiece tokenizer puts its word mark before the first word of any text, so that an
    answer cannot be tokenised apart from an answer prefix.

    Raises:
        InputError: The answer prefix and the answer melt into one token.

    Example:
        ``answer_ids(prompt, "A", model.tokenizer)`` is the one token ``▁A``.
    """
    known = prompt.decoder_ids[1:]
    whole = tuple(tokenizer(prompt.before_answer + answer, add_special_tokens=False).input_ids)
    if whole[: len(known)] != known or len(whole) == len(known):
        pieces = tokenizer.convert_ids_to_tokens(list(whole))
        raise InputError(
            f"question {prompt.question.id!r}: the answer {answer!r} melts into the end of the "
            f"answer prefix {prompt.before_answer!r} ({pieces}): end the prompt format's "
            "answer_prefix in another way, or leave it empty."
        )
    return whole[len(known) :]
