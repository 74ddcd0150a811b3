"""Read the Hugging Face processor of a checkpoint, its part for still pictures only.

Processors prepare pictures by PIL, whatever is installed: torchvision is not needed, and results do
not depend on it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
