"""Groups of tokens by name: by their role, the tokens of the culture's name, the last one.

``identity`` is the tokens of a question's text that name its culture: ``In Japan, which ...``. A
culture goes by its label, by the English names of its country (Unicode CLDR), and by whatever else
is given, such as ``{"Japan": ["Japanese"]}``: words for people and things are not derived from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from culture_lens.checks import mapping, optional, whole
from culture_lens.checks import names as names_of_things
from culture_lens.errors import InputError, unknown
from culture_lens.prompts.prompt import COUNTED, Batch, Prompt, Role
from culture_lens.prompts.tokens import encode
from culture_lens.questions.culture_names import names_in_english

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool

IDENTITY, LAST = "identity", "last"
BY_ROLE = {
    "template": (Role.TEMPLATE,),
    "question": (Role.QUESTION,),
    "options": (Role.OPTIONS,),
    "answer": (Role.ANSWER_PREFIX,),
    **COUNTED,
}
"""Groups by role; ``answer`` is the answer prefix and what a model writes after it."""
TOKEN_GROUPS = (*BY_ROLE, IDENTITY, LAST)
"""All groups; ``last`` is the token from which an answer is read."""
Names = Mapping[str, Sequence[str]]
"""Further names of cultures, by their label."""
NAMES = optional(mapping(names_of_things, "{culture: [names]}"))


def token_groups(name: str, value: Any) -> tuple[str | int, ...]:
    """Check for the name of a group of tokens or a role, or for several.

    Example:
        >>> token_groups("to_roles", ["identity", Role.OPTIONS])
        ('identity', 4)
    """
    several = [value] if isinstance(value, (str, int)) else value
    if not isinstance(several, (list, tuple)) or not several:
        raise InputError(f"{name} is {value!r}: give one or more of {', '.join(TOKEN_GROUPS)}.")
    for one in several:
        if isinstance(one, str) and one not in TOKEN_GROUPS:
            raise unknown(name, one, TOKEN_GROUPS)
    return tuple(one if isinstance(one, str) else whole(1, max(Role))(name, one) for one in several)


def group_roles(groups: Sequence[str | int]) -> tuple[int, ...]:
    """Give the roles of the groups that are made of roles.

    Example:
        >>> group_roles(("text", "identity"))
        (3, 4)
    """
    roles: set[int] = set()
    for group in groups:
        roles.update(map(int, BY_ROLE.get(group, ()) if isinstance(group, str) else (group,)))
    return tuple(sorted(roles))


def identity_mask(
    batch: Batch, tokenizer: Any, names: Names | None = None
) -> Bool[torch.Tensor, "batch pos"]:
    """Mask of the tokens that name the culture of each row's question.

    Args:
        batch: The prompts.
        tokenizer: The tokenizer that made them.
        names: Further names of cultures.

    Raises:
        InputError: The tokens of a prompt are not those of its text.

    Example:
        ``identity_mask(batch, model.tokenizer, {"Japan": ["Japanese"]})``
    """
    import torch

    mask = torch.zeros_like(batch.input_ids, dtype=torch.bool)
    for row, prompt in enumerate(batch.prompts):
        mask[row, batch.attention_mask[row] == 1] = torch.tensor(
            identity_tokens(prompt, tokenizer, (names or {}).get(prompt.question.culture, ()))
        )
    return mask


def identity_tokens(prompt: Prompt, tokenizer: Any, names: Sequence[str] = ()) -> list[bool]:
    """Say of each token of a prompt whether it is of a name of the question's culture.

    A token counts by its first character that is no space, and only in the question's own text.

    Raises:
        InputError: The tokens of the prompt are not those of its text.
    """
    ids, offsets = encode(prompt.text, tokenizer)
    pattern = pattern_of((*names_in_english(prompt.question.culture), *names))
    spans = [found.span() for found in pattern.finditer(prompt.text)]
    named = []
    for start, end in offsets:
        letters = prompt.text[start:end]
        first = start + len(letters) - len(letters.lstrip())
        named.append(start < end and any(a <= first < b for a, b in spans))
    held = aligned(prompt, ids, named)
    return [one and role == Role.QUESTION for one, role in zip(held, prompt.roles, strict=True)]


def aligned(prompt: Prompt, ids: Sequence[int], named: Sequence[bool]) -> list[bool]:
    """Keep what belongs to the tokens of a prompt that was cut short.

    A shared prefix is the first tokens of its text; a truncated prompt lacks some in the middle.
    """
    own = len(prompt.ids)
    same = next((i for i, (a, b) in enumerate(zip(prompt.ids, ids)) if a != b), min(own, len(ids)))
    rest = own - same
    if rest and tuple(ids[len(ids) - rest :]) != prompt.ids[same:]:
        raise InputError(
            f"question {prompt.question.id!r}: its tokens are not those that this tokenizer makes "
            "of its text, so the tokens of its culture's name cannot be told: build the prompts "
            "with the model's own processor."
        )
    return [*named[:same], *(named[len(ids) - rest :] if rest else ())]


@cache
def pattern_of(names: tuple[str, ...]) -> re.Pattern[str]:
    """Make the pattern that finds names as whole words; codes in capitals only as such.

    Example:
        >>> pattern_of(("US", "South Korea")).findall("In south korea, in the US; tell us.")
        ['south korea', 'US']
    """
    parts = []
    for name in sorted(names, key=len, reverse=True):
        words = r"[\s_-]+".join(re.escape(word) for word in re.split(r"[\s_-]+", name.strip()))
        parts.append(words if name.isupper() else f"(?i:{words})")
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)")


__all__ = [
    "IDENTITY",
    "LAST",
    "NAMES",
    "TOKEN_GROUPS",
    "Names",
    "group_roles",
    "identity_mask",
    "identity_tokens",
    "token_groups",
]
