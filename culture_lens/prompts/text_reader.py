"""What a model of text reads with: a tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from culture_lens.checks import refused
from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.reader import Reader, Rendered
from culture_lens.prompts.tokens import chat_text, ids_after, place_of, plain_text
from culture_lens.questions.question import Question


@dataclass(frozen=True)
class TextReader:
    """A tokenizer, with or without a chat template.

    Attributes:
        tokenizer: A fast Hugging Face tokenizer.

    Example:
        ``build_prompts(questions, TextReader(tokenizer))``
    """

    tokenizer: Any
    takes_pictures = False
    prefix_in_text = True
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
        """Write the text of a prompt."""
        system = question.prompt.system
        if not self.chat_template:
            before = f"{system}\n\n" if system else ""
            return Rendered(before + plain_text(message), len(before))
        text = chat_text(self.tokenizer, message, system=system)
        return Rendered(text, place_of(message, text, question))

    def finish(self, prompt: Prompt) -> Prompt:
        """Return the prompt as it is."""
        return prompt

    def continuation_ids(self, prompt: Prompt, continuation: str) -> tuple[int, ...]:
        """Tokenise a text as it follows a prompt.

        Raises:
            InputError: The prompt was made for an encoder-decoder.
        """
        if prompt.decoder_ids:
            raise InputError(
                f"question {prompt.question.id!r}: its prompt was made for an encoder-decoder: "
                "give model.processor, not model.tokenizer."
            )
        return ids_after(prompt, continuation, self.tokenizer)


def as_reader(given: Any) -> Reader:
    """Take a reader as it is, and a bare tokenizer as what a model of text reads with.

    Raises:
        InputError: It is neither.

    Example:
        ``as_reader(tokenizer).chat_template``
    """
    if not hasattr(given, "continuation_ids") and not hasattr(given, "apply_chat_template"):
        raise refused("processor", given, "model.processor, or a fast tokenizer")
    # Not by isinstance of the protocol, which works out every property, such as settings.
    reader: Reader = given if hasattr(given, "continuation_ids") else TextReader(given)
    return reader
