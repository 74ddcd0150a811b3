"""Reader: what a model reads with, and how a question becomes its input.

There is one for each way to read: ``TextReader`` (a tokenizer), ``VisionReader`` (a processor of
pictures and text) and ``EncoderDecoderReader`` (a tokenizer that writes for two stacks).
``build_prompt`` calls it in this order:

1. ``render`` the user's message as the text of a prompt;
2. tokenise that text by ``tokenizer``;
3. ``finish`` the prompt: mark the picture's tokens, or write what the decoder is given;
4. ``continuation_ids`` of options or labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from culture_lens.prompts.prompt import Prompt
from culture_lens.questions.question import Question


class Rendered(NamedTuple):
    """The text of a prompt, up to where the answer begins.

    Attributes:
        text: The text, special tokens written out.
        start: The character at which the user's message starts.
        tail: The first character after the picture, 0 where there is none.
    """

    text: str
    start: int
    tail: int = 0


@runtime_checkable
class Reader(Protocol):
    """What a model reads with; ``model.processor``.

    Example:
        ``build_prompts(questions, model.processor)``
    """

    @property
    def tokenizer(self) -> Any:
        """The fast Hugging Face tokenizer."""

    @property
    def chat_template(self) -> Any:
        """The chat template; empty or None where prompts are plain text."""

    @property
    def takes_pictures(self) -> bool:
        """Whether questions may have pictures."""

    @property
    def prefix_in_text(self) -> bool:
        """Whether the answer prefix ends the text; else a decoder is given it."""

    @property
    def settings(self) -> str:
        """How pictures are prepared, as JSON; empty where there are none."""

    @property
    def parts(self) -> dict[str, Any]:
        """The Hugging Face objects, by the keyword of ``load_model`` that takes them."""

    def render(self, question: Question, message: str) -> Rendered:
        """Write the text of a prompt, its picture as image tokens.

        Raises:
            InputError: The chat template changed or dropped the message, or there is not one
                place for a picture.
        """

    def finish(self, prompt: Prompt) -> Prompt:
        """Add to a tokenised prompt what its model needs besides."""

    def continuation_ids(self, prompt: Prompt, continuation: str) -> tuple[int, ...]:
        """Tokenise a text as it follows a prompt.

        Raises:
            InputError: The text and the end of the prompt melt into one token.
        """
