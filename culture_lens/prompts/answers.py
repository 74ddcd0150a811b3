"""Options and labels as token ids after a prompt."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from culture_lens.errors import InputError
from culture_lens.prompts.packed import PackedPrompts
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.text_reader import as_reader
from culture_lens.questions.question import LabelForm

NO_OPTION = -1
"""The prediction of an answer that is none of the options."""


def continuation_ids(prompt: Prompt, continuation: str, processor: Any) -> tuple[int, ...]:
    """Tokenise a text that follows the prompt, without touching the prompt's own tokens.

    Args:
        prompt: The prompt.
        continuation: The text.
        processor: What the prompt was made with, ``model.processor`` or a bare tokenizer.

    Example:
        ``continuation_ids(prompt, "Tokyo", model.processor)``
    """
    return as_reader(processor).continuation_ids(prompt, continuation)


def joined(prompt: Prompt, answer: str, form: LabelForm = "auto") -> str:
    """Put a space before an answer where the end of the prompt asks for one.

    Example:
        After ``Answer:`` comes ``" A"``; after a line break or a quotation mark ``"A"``.
    """
    if form == "auto":
        form = "bare" if prompt.before_answer[-1:] in {"", "\n", '"', "'", " ", ">"} else "space"
    return answer if form == "bare" else f" {answer}"


def label_ids(prompt: Prompt, processor: Any) -> tuple[int, ...]:
    """The single token of each option's letter as it follows this prompt.

    Args:
        prompt: The prompt.
        processor: What it was made with, ``model.processor`` or a bare tokenizer.

    Raises:
        InputError: A letter is not one token after this prompt.

    Example:
        ``label_ids(prompt, model.processor)`` gives four ids for four options.
    """
    if prompt.labels:
        return prompt.labels
    reader = as_reader(processor)
    form = prompt.question.prompt.label_form
    ids = []
    for label in prompt.question.labels:
        tokens = reader.continuation_ids(prompt, joined(prompt, label, form))
        if len(tokens) != 1:
            pieces = reader.tokenizer.convert_ids_to_tokens(list(tokens))
            raise InputError(
                f"question {prompt.question.id!r}: the label {label!r} is not one token after "
                f"{prompt.before_answer[-20:]!r} but {len(tokens)} ({pieces}); set the prompt "
                "format's label_form or answer_prefix, or score by option_likelihood."
            )
        ids.append(tokens[0])
    if len(set(ids)) < len(ids):
        raise InputError(
            f"question {prompt.question.id!r}: two labels share one token; score by "
            "option_likelihood, or use a tokenizer that has a token for each letter."
        )
    return tuple(ids)


def labelled(prompts: Iterable[Prompt], processor: Any) -> PackedPrompts:
    """Find the tokens of all labels once, for passes that read them again and again.

    Raises:
        InputError: A letter is not one token after its prompt.

    Example:
        ``labelled(prompts, model.processor)[0].labels``
    """
    return PackedPrompts(replace(prompt, labels=label_ids(prompt, processor)) for prompt in prompts)
