"""What a vision-language model reads: a Hugging Face processor, one picture at a time.

A processor does two things to a picture: it writes a row of image tokens into the text in the
place of one placeholder, and it makes the pixels. The first depends on the picture's size alone
and is needed when prompts are made; the second is heavy and is done when the model runs.

Processors prepare pictures by PIL, whatever is installed: torchvision is not needed, and results do
not depend on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.questions.images import LazyImage


class VisionProcessor:
    """A Hugging Face processor with what the rest of the house asks of it.

    Args:
        processor: The processor, with its tokenizer and its image processor.
        image_token_id: The token id that stands for one piece of a picture in the model's input.

    Attributes:
        tokenizer: Its tokenizer.
        placeholder: What a chat template writes where a picture belongs.
        image_token_id: As given.

    Example:
        ``build_prompts(questions, model.processor)``
    """

    def __init__(self, processor: Any, image_token_id: int) -> None:
        """Wrap a processor."""
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.placeholder: str = processor.image_token
        self.image_token_id = image_token_id
        self._written: dict[tuple[int, int], str] = {}

    @property
    def chat_template(self) -> Any:
        """The processor's chat template, or its tokenizer's."""
        return getattr(self.processor, "chat_template", None) or self.tokenizer.chat_template

    @property
    def settings(self) -> str:
        """How it prepares pictures, as JSON."""
        settings: str = self.processor.image_processor.to_json_string()
        return settings

    def apply_chat_template(self, message: str, pictured: bool, **options: Any) -> str:
        """Write one user's message, with a picture before it or without."""
        content = [{"type": "image"}] if pictured else []
        content.append({"type": "text", "text": message})
        # By the tokenizer: SmolVLM's processor looks for its part for videos here.
        text: str = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=self.chat_template,
            tokenize=False,
            add_generation_prompt=True,
            **options,
        )
        return text

    def written(self, image: LazyImage) -> str:
        """Give the text that stands for a picture, its image tokens written out.

        It depends on the size alone, so that pictures of one size are looked at once.
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
                f"under {type(self.processor).__name__}, which is not supported."
            )
        return inputs

    def _process(self, image: LazyImage) -> tuple[dict[str, Tensor], str]:
        picture = image.open()
        try:
            # Nested, as a row's pictures: some processors take a flat list for several rows.
            found = self.processor(
                images=[[picture]],
                text=[self.placeholder],
                return_text_replacement_offsets=True,
                return_tensors="pt",
            )
        except (ValueError, TypeError, ArithmeticError, LookupError, RuntimeError) as error:
            raise InputError(
                f"{image.name}: {type(self.processor).__name__} cannot take this picture of "
                f"{picture.width} x {picture.height} pixels ({error}): leave it out or resize it."
            ) from error
        ((replaced,),) = found.pop("text_replacement_offsets")
        text = set(self.tokenizer.model_input_names) | {"mm_token_type_ids", "token_type_ids"}
        inputs = {name: value for name, value in found.items() if name not in text}
        return inputs, replaced["replacement"]


def image_token(processor: Any) -> str:
    """Give the token that a processor repeats for a picture.

    Gemma 3 stands one mark for the picture in a template and repeats another token.
    """
    return str(getattr(processor.tokenizer, "image_token", None) or processor.image_token)


def load_processor(source: str, model_type: str, **options: Any) -> Any:
    """Read the processor of a checkpoint, its part for still pictures only.

    Args:
        source: A folder or a hub id.
        model_type: The checkpoint's ``config.model_type``.
        options: Passed on to ``from_pretrained``.

    Example:
        ``load_processor("llava-hf/llava-v1.6-mistral-7b-hf", "llava_next")``
    """
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    whole = getattr(transformers, PROCESSOR_MAPPING_NAMES[model_type])
    if "video_processor" in inspect.signature(whole.__init__).parameters:
        options["video_processor"] = None
    with without_num2words():
        return for_stills(whole).from_pretrained(source, backend="pil", **options)


def for_stills(whole: Any) -> Any:
    """Make a processor class without the part for videos, which needs torchvision."""
    parts = ["image_processor", "tokenizer"]
    return type(whole.__name__, (whole,), {"get_attributes": classmethod(lambda _: parts)})


@contextmanager
def without_num2words() -> Iterator[None]:
    """Let SmolVLM's processor be made without a package that it uses for videos only."""
    from transformers.models.smolvlm import processing_smolvlm

    before = processing_smolvlm.num2words
    processing_smolvlm.num2words = before or str
    try:
        yield
    finally:
        processing_smolvlm.num2words = before
