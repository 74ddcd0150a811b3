"""Text through a tokenizer: chat templates, one BOS, continuations of a prompt."""

from __future__ import annotations

from typing import Any, TypeAlias

from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.time_limit import time_limit
from culture_lens.questions.question import Question

Content: TypeAlias = "str | list[dict[str, str]]"
"""A message, or its parts: text and pictures."""
TEMPLATE_SECONDS, TEMPLATE_CHARACTERS = 10.0, 10_000_000
"""What a chat template may take and write; honest ones need a millisecond and a few thousand."""
OTHER_TEMPLATE = "Give load_model a tokenizer with another template."


def chat_text(tokenizer: Any, content: Content, template: Any = None, system: str = "") -> str:
    """Put a user's message through a chat template, up to where the answer begins.

    The thinking mode of templates that have one is off, so that the answer comes next.

    Args:
        tokenizer: The tokenizer.
        content: The message, or its parts.
        template: The chat template; the tokenizer's own where not given.
        system: A system prompt; part of the user's message where the template has no place for it.

    Raises:
        InputError: The template fails, runs longer than ``TEMPLATE_SECONDS``, or writes more than
            ``TEMPLATE_CHARACTERS``.
    """
    user = {"role": "user", "content": content}
    if not system:
        return apply_template(tokenizer, [user], template)
    parts = system if isinstance(content, str) else [{"type": "text", "text": system}]
    try:
        text = apply_template(tokenizer, [{"role": "system", "content": parts}, user], template)
    except InputError:  # Gemma 2's and others refuse a system prompt
        text = ""
    if system.strip() in text:
        return text
    joined = with_system(content, system)
    return apply_template(tokenizer, [{"role": "user", "content": joined}], template)


def with_system(content: Content, system: str) -> Content:
    """Put a system prompt before the text of a user's message."""
    if isinstance(content, str):
        return f"{system}\n\n{content}"
    return [
        {**part, "text": f"{system}\n\n{part['text']}"} if "text" in part else part
        for part in content
    ]


def apply_template(tokenizer: Any, turns: list[dict[str, Any]], template: Any) -> str:
    """Write a conversation up to where the model's answer begins, its thinking mode off."""
    known = template or tokenizer.chat_template
    try:
        with time_limit(TEMPLATE_SECONDS):
            text: str = tokenizer.apply_chat_template(
                turns,
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
                **({"enable_thinking": False} if "enable_thinking" in known else {}),
            )
    # A template is a program that came with a checkpoint, and may raise anything.
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise InputError(
            f"the chat template of this tokenizer fails ({reason}). {OTHER_TEMPLATE}"
        ) from None
    if len(text) > TEMPLATE_CHARACTERS:
        raise InputError(
            f"the chat template of this tokenizer writes {len(text)} characters around one "
            f"question. {OTHER_TEMPLATE}"
        )
    return text


def plain_text(message: str) -> str:
    r"""Write a message for a model without a chat template, up to where the answer begins.

    Example:
        >>> plain_text("Coin?")
        'Coin?\nAnswer:'
    """
    if message.endswith("Answer:"):
        return message
    return message + ("Answer:" if message.endswith("\n") else "\nAnswer:")


def place_of(message: str, text: str, question: Question) -> int:
    """Find where a message starts in what a chat template made of it.

    Space at its end does not matter: some templates, such as Llama 3's, take it away.

    Raises:
        InputError: The chat template changed or dropped the message.
    """
    start = text.rfind(message.rstrip())
    if start < 0:
        raise InputError(
            f"question {question.id!r}: the chat template of this tokenizer rewrites the "
            "message, so token roles cannot be told; give load_model a tokenizer with a "
            "template that keeps it."
        )
    return start


def adds_bos(tokenizer: Any) -> bool:
    """Whether this tokenizer puts a BOS before plain text.

    Example:
        ``adds_bos(model.tokenizer)`` is true for Llama 3 and false for Qwen3.
    """
    bos = tokenizer.bos_token_id
    return bos is not None and tokenizer("a").input_ids[:1] == [bos]


def adds_eos(tokenizer: Any) -> bool:
    """Whether this tokenizer puts an end-of-sequence token after plain text.

    Example:
        ``adds_eos(model.tokenizer)`` is true for T5.
    """
    eos = tokenizer.eos_token_id
    return eos is not None and tokenizer("a").input_ids[-1:] == [eos]


def encode(text: str, tokenizer: Any) -> tuple[list[int], list[tuple[int, int]]]:
    """Tokenise a whole prompt with exactly one BOS where the model has one, none where not.

    The model has a BOS if its tokenizer adds one to plain text or its chat template begins with
    one; a doubled BOS changes the logits of every later token.

    Returns:
        Token ids and, for each, the characters ``(start, end)`` that it covers; an empty span for
        a BOS that is not written in the text.

    Raises:
        InputError: The tokenizer cannot say which characters a token covers.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} is a slow tokenizer without character offsets, which "
            "token roles need; load the fast version (use_fast=True)."
        )
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(encoded.input_ids), [tuple(o) for o in encoded.offset_mapping]
    bos = tokenizer.bos_token_id
    if bos is not None:
        doubled = len(ids) > 1 and ids[0] == ids[1] == bos
        if doubled:
            ids, offsets = ids[1:], offsets[1:]
        elif ids[:1] != [bos] and adds_bos(tokenizer):
            ids, offsets = [bos, *ids], [(0, 0), *offsets]
    return ids, offsets


def ids_after(prompt: Prompt, continuation: str, tokenizer: Any) -> tuple[int, ...]:
    """Tokenise a text as it follows a prompt, without touching the prompt's own tokens.

    The continuation is tokenised in place; where its first characters would merge with the
    prompt's last token it is tokenised by itself. The last line is place enough where it gives the
    prompt's own last tokens: a whole prompt, or thousands of image tokens, would be tokenised for
    every option.
    """
    line = prompt.text[max(prompt.tail, prompt.text.rstrip("\n").rfind("\n") + 1) :]
    own = tokenizer(line, add_special_tokens=False).input_ids
    if own and tuple(own) == prompt.ids[-len(own) :]:
        after = tokenizer(line + continuation, add_special_tokens=False).input_ids
        if after[: len(own)] == own and len(after) > len(own):
            return tuple(after[len(own) :])
    whole, _ = encode(prompt.text + continuation, tokenizer)
    known = len(prompt.ids)
    if tuple(whole[:known]) == prompt.ids and len(whole) > known:
        return tuple(whole[known:])
    return tuple(tokenizer(continuation, add_special_tokens=False).input_ids)
