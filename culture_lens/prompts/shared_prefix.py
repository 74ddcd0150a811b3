"""The tokens that prompts have in common at their start, run once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from culture_lens.prompts.prompt import Prompt, Role

SHORTEST_PREFIX = 8
"""Below so many tokens, running a shared prefix apart costs more than it saves."""


def shared_prefix_length(prompts: Sequence[Prompt]) -> int:
    """Count the tokens, the same in id and role, that all prompts begin with.

    Never a whole prompt: each keeps a token of its own to be answered behind. Never a part of a
    picture, which a model must see whole.

    Example:
        ``shared_prefix_length(prompts)`` is the length of the chat template's system message.
    """
    if not prompts:
        return 0
    shortest = min(prompts, key=lambda prompt: len(prompt.ids))
    length = len(shortest.ids) - 1
    for prompt in prompts:
        pairs = zip(
            zip(prompt.ids, prompt.roles, strict=True),
            zip(shortest.ids[:length], shortest.roles[:length], strict=True),
            strict=False,
        )
        length = next((i for i, (one, other) in enumerate(pairs) if one != other), length)
    pictures = {picture_key(prompt) for prompt in prompts}
    places = [i for i, role in enumerate(shortest.roles) if role == Role.IMAGE]
    if places and (len(pictures) > 1 or length <= places[-1]):
        length = min(length, places[0])
    return max(length, 0)


def shared_prefix_lengths(prompts: Sequence[Prompt]) -> tuple[int, ...]:
    """Say how many first tokens of each prompt of a batch are worth running apart.

    Prompts on one picture share what comes up to and with it; prompts without one share their
    system message. Empty where nothing is shared or too little.

    Example:
        ``collate(prompts, model.pad_id, shared_prefix_lengths(prompts))``
    """
    groups: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        groups.setdefault(picture_key(prompt), []).append(prompt)
    if len(groups) == len(prompts):
        return ()
    lengths = {key: shared_prefix_length(group) for key, group in groups.items()}
    if min(lengths.values()) < SHORTEST_PREFIX:
        return ()
    return tuple(lengths[picture_key(prompt)] for prompt in prompts)


def picture_key(prompt: Prompt) -> str:
    """Name the picture of a prompt by its content; empty where it has none."""
    image = prompt.question.image
    return "" if image is None else str(image.key)
