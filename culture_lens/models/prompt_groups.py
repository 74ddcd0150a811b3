"""Groups of prompts: what is answered under every mask before the next group begins.

So neither the trees of prompts nor the features of pictures grow with the number of items.
"""

from __future__ import annotations

from collections.abc import Sequence

from culture_lens.models.vision import Vision
from culture_lens.prompts.packed import picked
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.shared_prefix import picture_key

GROUP_TOKENS = 2**16
"""Tokens of the prompts of a group; one that is not shared takes 0.8 kilobytes in its tree."""


def groups_of_pictures(prompts: Sequence[Prompt], vision: Vision) -> list[Sequence[Prompt]]:
    """Split prompts into groups whose tokens, and the features of whose pictures, fit in memory.

    Every mask is run over one group before the next group begins, so that a picture goes through
    the tower once however many masks there are. Prompts on one picture stay together; prompts that
    ask the same stand beside each other, because they share most tokens.

    Example:
        ``groups_of_pictures(prompts, model.vision)`` is one group for a few hundred short texts.
    """
    together: dict[str | int, list[int]] = {}
    tokens, of_image = list[int](), list[int]()
    alone = list[tuple[str, str, str]]()
    for at, prompt in enumerate(prompts):
        key, question = picture_key(prompt), prompt.question
        together.setdefault(key or at, []).append(at)
        tokens.append(len(prompt.ids) + sum(map(len, prompt.continuations)))
        of_image.append(sum(role == Role.IMAGE for role in prompt.roles) if key else 0)
        alone.append((key, question.text, question.id))
    if sum(tokens) > GROUP_TOKENS:
        together = dict(sorted(together.items(), key=lambda entry: alone[entry[1][0]]))
    groups: list[list[int]] = [[]]
    held = long = 0
    for members in together.values():
        size = max(of_image[at] for at in members) * vision.bytes_per_token
        length = sum(tokens[at] for at in members)
        if groups[-1] and ((size and held + size > vision.memory) or long + length > GROUP_TOKENS):
            groups.append([])
            held = long = 0
        groups[-1] += members
        held, long = held + size, long + length
    return [picked(prompts, group) for group in groups]


__all__ = ["groups_of_pictures"]
