"""Shared prefixes: the first tokens that prompts have in common, run once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from culture_lens.prompts.prompt import Prompt, Role

SHORTEST_PREFIX = 8
"""Shorter prefixes cost more to run separately than they save."""


def shared_prefix_length(prompts: Sequence[Prompt]) -> int:
    """Count the first tokens that all prompts share, equal in id and role.

    At least one token of each prompt is left, from which the answer is read. A picture is never
    cut in two, because the model must see it whole.

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
    """Length of the shared prefix to cache, for each prompt of a batch.

    Prompts on one picture share everything up to its end; prompts without a picture share their
    system message. Empty where prefixes are too short to be worth it.

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
    """The key of a prompt's picture, made of its content; empty where there is no picture."""
    image = prompt.question.image
    return "" if image is None else str(image.key)
