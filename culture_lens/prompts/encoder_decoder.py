"""What an encoder-decoder reads: the prompt in its encoder, the start of the answer in its decoder.

    encoder   question, options and template, with the tokenizer's end-of-sequence token at the end
    decoder   the start token, the answer prefix, and then the label or the option's words

Both are written by one tokenizer. T5's has no curly brackets (mT5's has), so an answer prefix in
JSON begins with its unknown token: words such as ``The answer is`` suit it better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.reader import Rendered
from culture_lens.prompts.text_reader import TextReader
from culture_lens.prompts.tokens import adds_eos
from culture_lens.questions.question import Question


@dataclass(frozen=True)
class EncoderDecoderReader:
    """A tokenizer with the token that its model's decoder starts from.

    Attributes:
        tokenizer: A fast Hugging Face tokenizer.
        start_id: The first token of the decoder, ``decoder_start_token_id``.

    Example:
        ``build_prompts(questions, model.processor)``
    """

    tokenizer: Any
    start_id: int
    takes_pictures = False
    prefix_in_text = False
    settings = ""

    @property
    def chat_template(self) -> Any:
        """The tokenizer's chat template, where it has one."""
        return self.tokenizer.chat_template

    @property
    def parts(self) -> dict[str, Any]:
        """The tokenizer."""
        return {"tokenizer": self.tokenizer}

    def render(self, question: Question, message: str) -> Rendered:
        """Write the text that the encoder reads."""
        return TextReader(self.tokenizer).render(question, message)

    def finish(self, prompt: Prompt) -> Prompt:
        """End the encoder's text exactly once, and give the decoder its start and the prefix.

        Example:
            ``model.processor.finish(prompt).decoder_ids[0] == model.start_id``
        """
        tokenizer = self.tokenizer
        if adds_eos(tokenizer) and prompt.ids[-1:] != (tokenizer.eos_token_id,):
            prompt = replace(
                prompt,
                text=prompt.text + tokenizer.eos_token,
                ids=(*prompt.ids, tokenizer.eos_token_id),
                roles=(*prompt.roles, int(Role.TEMPLATE)),
            )
        prompt = replace(prompt, decoder_ids=(self.start_id,))
        prefix = tokenizer(prompt.before_answer, add_special_tokens=False).input_ids
        return replace(prompt, decoder_ids=(self.start_id, *prefix))

    def continuation_ids(self, prompt: Prompt, continuation: str) -> tuple[int, ...]:
        """Tokenise an answer as the decoder would write it after what it is given.

        A SentencePiece tokenizer puts its word mark before the first word of any text, so an
        answer cannot be tokenised apart from an answer prefix.

        Raises:
            InputError: The answer prefix and the answer melt into one token.

        Example:
            ``model.processor.continuation_ids(prompt, "A")`` is the one token ``▁A``.
        """
        known = prompt.decoder_ids[1:]
        written = prompt.before_answer + continuation
        whole = tuple(self.tokenizer(written, add_special_tokens=False).input_ids)
        if whole[: len(known)] != known or len(whole) == len(known):
            pieces = self.tokenizer.convert_ids_to_tokens(list(whole))
            raise InputError(
                f"question {prompt.question.id!r}: the answer {continuation!r} melts into the end "
                f"of the answer prefix {prompt.before_answer!r} ({pieces}): end the prompt "
                "format's answer_prefix in another way, or leave it empty."
            )
        return whole[len(known) :]
