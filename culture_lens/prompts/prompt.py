"""Prompt and Batch: a question as token ids with roles, and prompts padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Literal

from culture_lens.checks import each, whole
from culture_lens.errors import InputError, unknown
from culture_lens.questions.question import Question
from culture_lens.storage.display import Shown

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from jaxtyping import Bool, Int

    Style = Literal["choices", "cloze"]
else:
    Style = str  # a wrong name reaches the check that lists the right ones

STYLES = ("choices", "cloze")
"""Prompts show the options, or do not and are scored by each option's likelihood."""


class Role(IntEnum):
    """The part of a prompt that a token belongs to; statistics count tokens by role."""

    PADDING = 0
    TEMPLATE = 1
    IMAGE = 2
    QUESTION = 3
    OPTIONS = 4
    ANSWER_PREFIX = 5


CONTENT_ROLES = (Role.IMAGE, Role.QUESTION, Role.OPTIONS)
"""The roles that ConAct's paper counts: everything but padding, template and answer prefix."""


COUNTED = {
    "content": CONTENT_ROLES,
    "text": (Role.QUESTION, Role.OPTIONS),
    "image": (Role.IMAGE,),
}
"""Names for the roles that statistics count: all content, its text only, its pictures only."""


def roles_of(counted: str | Sequence[int]) -> tuple[int, ...]:
    """Turn a name from ``COUNTED`` into roles; roles stay as they are.

    Raises:
        InputError: No such name.

    Example:
        >>> roles_of("image")
        (2,)
    """
    if isinstance(counted, str):
        if counted not in COUNTED:
            raise unknown("roles", counted, COUNTED)
        return tuple(int(role) for role in COUNTED[counted])
    roles = tuple(each(whole(1, max(Role)), "a name, or a list of roles")("roles", counted))
    if not roles:
        raise InputError("roles is empty: give at least one role of tokens that count.")
    return roles


@dataclass(frozen=True, slots=True, repr=False)
class Prompt(Shown):
    """A question as token ids for one tokenizer, with the role of every token.

    Attributes:
        question: The question it was made of.
        text: The whole prompt as a string, special tokens written out.
        ids: Token ids, with exactly one BOS where the model has one.
        roles: One ``Role`` per token.
        style: ``"choices"`` where the options are shown, ``"cloze"`` where they are not.
        continuations: Token ids of each option as it follows a cloze prompt; else empty.
        tail: The first character of ``text`` after the picture, 0 where there is none.
        decoder_ids: For an encoder-decoder, what its decoder is given: the start token and the
            answer prefix; ``text``, ``ids`` and ``roles`` are the encoder's then. Else empty.
        labels: The token of each option's letter, where answers are read by letter; else empty.
    """

    question: Question
    text: str
    ids: tuple[int, ...]
    roles: tuple[int, ...]
    style: Style
    continuations: tuple[tuple[int, ...], ...] = ()
    tail: int = 0
    decoder_ids: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """Name the question, and how the prompt ends."""
        told = f"{self.question.id!r}, {len(self.ids)} tokens, ends {self.text[-40:]!r}"
        return f"Prompt({told})"

    def to_pandas(self) -> pd.DataFrame:
        """List the tokens: id, role."""
        import pandas as pd

        roles = [Role(role).name.lower() for role in self.roles]
        return pd.DataFrame({"id": self.ids, "role": roles})

    @property
    def all_ids(self) -> tuple[int, ...]:
        """Every token that the model reads before it answers."""
        return self.ids + self.decoder_ids

    @property
    def before_answer(self) -> str:
        """The text that an answer follows: the whole prompt, or what the decoder is given."""
        if not self.decoder_ids:
            return self.text
        return self.question.prompt.answer_prefix if self.style == "choices" else ""

    @property
    def longest_answer(self) -> int:
        """Tokens that must fit after the prompt; 0 for a decoder, which has a length of its own."""
        if self.decoder_ids:
            return 0
        return max((len(tokens) for tokens in self.continuations), default=0)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Prompts padded to one length, the padding on the left.

    Prefixes that rows share (a system message, a picture) can be run once, and the rest of every
    row after its own prefix. The columns of the prefixes then come first, padded on the left, and
    those of the rests after them; positions follow from the mask.

    Attributes:
        prompts: The prompts, one per row.
        input_ids: Token ids, ``batch pos``.
        attention_mask: 1 on tokens and 0 on padding, ``batch pos``.
        roles: ``Role`` of each token, ``PADDING`` on padding, ``batch pos``.
        prefixes: The different prefixes as a batch of their own; None without shared prefixes.
        prefix_of_row: The index of each row's prefix, ``row``; empty without shared prefixes.
    """

    prompts: tuple[Prompt, ...]
    input_ids: Int[torch.Tensor, "batch pos"]
    attention_mask: Int[torch.Tensor, "batch pos"]
    roles: Int[torch.Tensor, "batch pos"]
    prefixes: Batch | None = None
    prefix_of_row: tuple[int, ...] = ()

    @property
    def prefix_length(self) -> int:
        """Number of columns that the prefixes take; 0 without shared prefixes."""
        return 0 if self.prefixes is None else self.prefixes.input_ids.shape[1]

    def role_mask(self, roles: Sequence[int]) -> Bool[torch.Tensor, "batch pos"]:
        """Mask of the tokens that have one of the roles.

        Example:
            ``batch.role_mask((Role.QUESTION,)).sum()`` counts the question tokens.
        """
        import torch

        return torch.isin(self.roles, torch.tensor([int(r) for r in roles]))
