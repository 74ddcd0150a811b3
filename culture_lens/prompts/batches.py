"""Prompts -> Batches: sorted by length, padded on the left.

A shared prefix, such as a system message or a picture, can be run once for all its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch

from culture_lens.checks import whole
from culture_lens.errors import InputError
from culture_lens.prompts.packed import picked, questions_of
from culture_lens.prompts.prompt import Batch, Prompt, Role
from culture_lens.prompts.shared_prefix import picture_key, shared_prefix_lengths
from culture_lens.questions.images import LazyImage


def collate(prompts: Sequence[Prompt], pad_id: int, prefix_lengths: Sequence[int] = ()) -> Batch:
    """Pad prompts on the left into one batch.

    Args:
        prompts: The prompts.
        pad_id: Token id of the padding.
        prefix_lengths: For each prompt, how many of its first tokens are run before the rest; rows
            with the same prefix share it. Empty: no shared prefixes.

    Example:
        ``collate(prompts[:8], model.pad_id).input_ids.shape``
    """
    if not prefix_lengths:
        return padded(prompts, pad_id)
    alike: dict[tuple[str, tuple[int, ...]], int] = {}
    cut: list[Prompt] = []
    prefix_of_row = []
    for prompt, start in zip(prompts, prefix_lengths, strict=True):
        key = (picture_key(prompt), prompt.ids[:start])
        if key not in alike:
            alike[key] = len(cut)
            cut.append(part(prompt, 0, start))
        prefix_of_row.append(alike[key])
    rests = [
        part(prompt, start, None) for prompt, start in zip(prompts, prefix_lengths, strict=True)
    ]
    prefixes, rest = padded(cut, pad_id), padded(rests, pad_id)
    rows = torch.tensor(prefix_of_row)
    return Batch(
        tuple(prompts),
        torch.cat([prefixes.input_ids[rows], rest.input_ids], 1),
        torch.cat([prefixes.attention_mask[rows], rest.attention_mask], 1),
        torch.cat([prefixes.roles[rows], rest.roles], 1),
        prefixes,
        tuple(prefix_of_row),
    )


def part(prompt: Prompt, start: int, end: int | None) -> Prompt:
    """Cut some of a prompt's tokens out."""
    return replace(prompt, ids=prompt.ids[start:end], roles=prompt.roles[start:end])


def padded(prompts: Sequence[Prompt], pad_id: int) -> Batch:
    """Pad prompts on the left to the longest."""
    width = max(len(prompt.ids) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    roles = torch.full_like(ids, int(Role.PADDING))
    for row, prompt in enumerate(prompts):
        start = width - len(prompt.ids)
        ids[row, start:] = torch.tensor(prompt.ids)
        mask[row, start:] = 1
        roles[row, start:] = torch.tensor(prompt.roles)
    return Batch(tuple(prompts), ids, mask, roles)


def check_batch_size(batch_size: int) -> None:
    """Refuse batches without a row.

    Raises:
        InputError: The size is below 1.
    """
    if whole()("batch_size", batch_size) < 1:
        raise InputError(f"batch_size must be at least 1, not {batch_size}.")


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of a pass, each padded when its turn comes and not kept.

    Attributes:
        rows: The prompts of each batch, packed where they were given so.
        pad_id: Token id of the padding.
        share_prefix: Whether shared prefixes are run once.
    """

    rows: Sequence[Sequence[Prompt]]
    pad_id: int
    share_prefix: bool = False

    def __len__(self) -> int:
        """Count the batches."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        """Pad one batch after another."""
        return map(self.padded, self.rows)

    def images(self) -> Iterator[LazyImage]:
        """Give the pictures in the order in which batches need them."""
        asked = (question for some in self.rows for question in questions_of(some))
        return (question.image for question in asked if question.image is not None)

    @property
    def items(self) -> int:
        """How many prompts there are in all batches."""
        return sum(map(len, self.rows))

    def padded(self, rows: Sequence[Prompt]) -> Batch:
        """Pad the prompts of a batch."""
        some = list(rows)
        return collate(some, self.pad_id, shared_prefix_lengths(some) if self.share_prefix else ())


def batches(
    prompts: Sequence[Prompt],
    batch_size: int,
    pad_id: int,
    *,
    share_prefix: bool = False,
    tokens: int | None = None,
) -> Batches:
    """Cut prompts into batches of like length, longest first so that memory fails early.

    Prompts on one picture stay together.

    Args:
        prompts: The prompts.
        batch_size: Rows of a batch.
        pad_id: Token id of the padding.
        share_prefix: Run shared prefixes once; see ``shared_prefix_lengths``.
        tokens: Tokens of a batch at most, padding included; a single prompt may have more.

    Example:
        ``for batch in batches(prompts, 16, model.pad_id): ...``
    """
    check_batch_size(batch_size)
    known = [(len(prompt.ids), picture_key(prompt), prompt.question.id) for prompt in prompts]
    longest: dict[str, int] = {}
    for own, key, _ in known:
        longest[key] = max(longest.get(key, 0), own)

    def place(at: int) -> tuple[Any, ...]:
        own, key, name = known[at]
        return (-longest[key] if key else -own, key, -own, name)

    def full(row: list[int], more: int) -> bool:
        number = len(row) + more
        too_long = tokens is not None and bool(row) and number * known[row[0]][0] > tokens
        return number > batch_size or too_long

    rows: list[list[int]] = [[]]
    ordered = sorted(range(len(known)), key=place)
    groups = groupby(ordered, key=lambda at: known[at][1] or known[at][2])
    for group in (list(members) for _, members in groups):
        if rows[-1] and full(rows[-1], len(group)):
            rows.append([])
        for at in group:
            if full(rows[-1], 1):
                rows.append([])
            rows[-1].append(at)
    return Batches([picked(prompts, some) for some in rows if some], pad_id, share_prefix)
