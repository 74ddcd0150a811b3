"""What a vision-language model reads with: a Hugging Face processor, one picture at a time.

A processor does two things to a picture: it writes a row of image tokens into the text in the
place of one placeholder, and it makes the pixels. The first depends on the picture's size alone
and is needed when prompts are made; the second is heavy and is done when the model runs.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.reader import Rendered
from culture_lens.prompts.tokens import chat_text, ids_after, place_of, plain_text
from culture_lens.questions.images import LazyImage
from culture_lens.questions.question import Question


@dataclass(frozen=True, eq=False)
class VisionReader:
    """A Hugging Face processor with the image token of its model.

    Attributes:
        hf_processor: The processor, with its tokenizer and its image processor.
        image_token_id: The token id that stands for one piece of a picture in the model's input.

    Example:
        ``build_prompts(questions, model.processor)``
    """

    hf_processor: Any
    image_token_id: int
    # Image tokens by picture size: a cache that changes no result, only when it is worked out.
    _written: dict[tuple[int, int], str] = field(default_factory=dict, repr=False)
    # Tokenizers must not be called by two threads at once; decoding, which is heavy, needs no lock.
    _one: threading.Lock = field(default_factory=threading.Lock, repr=False)
    takes_pictures = True
    prefix_in_text = True

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.hf_processor.tokenizer

    @property
    def placeholder(self) -> str:
        """What a chat template writes where a picture belongs."""
        return str(self.hf_processor.image_token)

    @property
    def chat_template(self) -> Any:
        """The processor's chat template, or its tokenizer's."""
        return getattr(self.hf_processor, "chat_template", None) or self.tokenizer.chat_template

    @property
    def settings(self) -> str:
        """How it prepares pictures, as JSON."""
        settings: str = self.hf_processor.image_processor.to_json_string()
        return settings

    @property
    def parts(self) -> dict[str, Any]:
        """The processor."""
        return {"processor": self.hf_processor}

    def render(self, question: Question, message: str) -> Rendered:
        """Write the text of a prompt, its picture as image tokens.

        Raises:
            InputError: The chat template changed or dropped the message, a text holds the
                placeholder of a picture, or the prompt has no placeholder or more than one.
        """
        self._check_text(question, message)
        pictured, system = question.image is not None, question.prompt.system
        if self.chat_template:
            content = [{"type": "image"}] if pictured else []
            content.append({"type": "text", "text": message})
            # By the tokenizer: SmolVLM's processor looks for its part for videos here.
            text = chat_text(self.tokenizer, content, self.chat_template, system)
            start = place_of(message, text, question)
        else:
            before = f"{self.placeholder}\n" if pictured else ""
            before += f"{system}\n\n" if system else ""
            text, start = before + plain_text(message), len(before)
        if not pictured:
            return Rendered(text, start)
        if (count := text.count(self.placeholder)) != 1:
            raise InputError(
                f"question {question.id!r}: its prompt has {count} image tokens "
                f"({self.placeholder!r}) for one picture; the chat template must write exactly "
                "one: give load_model a processor whose template does."
            )
        place = text.index(self.placeholder)
        behind = place + len(self.placeholder)
        written = self.written(question.image)
        start += len(written) - len(self.placeholder) if start >= behind else 0
        return Rendered(text[:place] + written + text[behind:], start, place + len(written))

    def _check_text(self, question: Question, message: str) -> None:
        text = question.prompt.system + message + question.prompt.answer_prefix
        for mark in (self.placeholder, image_token(self.hf_processor)):
            if mark in text:
                raise InputError(
                    f"question {question.id!r}: its text holds {mark!r}, which stands for a "
                    "picture in this model's prompts: take it out of the question and its options."
                )

    def finish(self, prompt: Prompt) -> Prompt:
        """Mark the picture's tokens.

        Raises:
            InputError: The processor writes other image tokens than the model looks for.
        """
        if prompt.question.image is None:
            return prompt
        image = int(Role.IMAGE)
        roles = tuple(
            image if i == self.image_token_id else role
            for i, role in zip(prompt.ids, prompt.roles, strict=True)
        )
        if image not in roles:
            raise InputError(
                f"question {prompt.question.id!r}: no token of its prompt is the model's image "
                f"token ({self.image_token_id}), although {type(self.hf_processor).__name__} wrote "
                "a picture: this processor does not belong to the model."
            )
        return replace(prompt, roles=roles)

    def continuation_ids(self, prompt: Prompt, continuation: str) -> tuple[int, ...]:
        """Tokenise a text as it follows a prompt."""
        return ids_after(prompt, continuation, self.tokenizer)

    def written(self, image: LazyImage) -> str:
        """The text that stands for a picture in a prompt, its image tokens written out.

        It depends on the picture's size alone, so it is computed once for each size.
        """
        if image.size not in self._written:
            self._written[image.size] = self._process(image)[1]
        return self._written[image.size]

    def pixels(self, image: LazyImage) -> dict[str, Tensor]:
        """Turn a picture into the model's vision inputs, every keyword the processor returns."""
        inputs, written = self._process(image)
        if self._written.setdefault(image.size, written) != written:
            raise InputError(
                f"{image.name}: two pictures of the size {image.size} give different image tokens "
                f"under {type(self.hf_processor).__name__}, which is not supported."
            )
        return inputs

    def _process(self, image: LazyImage) -> tuple[dict[str, Tensor], str]:
        picture = image.open()
        try:
            # Nested, as a row's pictures: some processors take a flat list for several rows.
            with self._one:
                found = self.hf_processor(
                    images=[[picture]],
                    text=[self.placeholder],
                    return_text_replacement_offsets=True,
                    return_tensors="pt",
                )
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
            raise InputError(
                f"{image.name}: {type(self.hf_processor).__name__} cannot take this picture of "
                f"{picture.width} x {picture.height} pixels ({error}): leave it out or resize it."
            ) from error
        ((replaced,),) = found.pop("text_replacement_offsets")
        text = set(self.tokenizer.model_input_names) | {"mm_token_type_ids", "token_type_ids"}
        inputs = {name: value for name, value in found.items() if name not in text}
        # Thousands of characters, which are the same for most sizes: held once.
        return inputs, sys.intern(replaced["replacement"])


def image_token(processor: Any) -> str:
    """The token that a processor repeats for a picture.

    Gemma 3 has one token for the picture in a template and repeats another one.
    """
    return str(getattr(processor.tokenizer, "image_token", None) or processor.image_token)
