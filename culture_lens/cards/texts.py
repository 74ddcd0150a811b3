"""The text and the role of every token of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.tokens import encode

Written = tuple[tuple[str, ...], tuple[int, ...]]
"""The text and the role of every token."""


def written(prompt: Prompt, *, tokenizer: Any, encoder: bool) -> Written:
    """Write the tokens that a site lies over, with their roles."""
    if encoder:
        return pieces(prompt, tokenizer), prompt.roles
    roles = [Role.TEMPLATE] + [Role.ANSWER_PREFIX] * (len(prompt.decoder_ids) - 1)
    return alone(prompt.decoder_ids, tokenizer), tuple(int(role) for role in roles)


def pieces(prompt: Prompt, tokenizer: Any) -> tuple[str, ...]:
    """Cut a prompt's text into its tokens.

    A character of several tokens stands with the first of them. Where the prompt was truncated its
    text is longer than its tokens, and each of these is decoded alone.
    """
    ids, offsets = encode(prompt.text, tokenizer)
    if tuple(ids) != prompt.ids:
        return alone(prompt.ids, tokenizer)
    found, end = [], 0
    for (start, stop), token in zip(offsets, ids, strict=True):
        text = prompt.text[end:stop]  # with the space before it, which some tokenizers drop
        found.append(text if stop > start else tokenizer.decode([token]))
        end = max(end, stop)
    return tuple(found)


def alone(ids: Sequence[int], tokenizer: Any) -> tuple[str, ...]:
    """Decode each token by itself."""
    return tuple(tokenizer.decode([token]) for token in ids)
