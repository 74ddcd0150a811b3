"""Which tokens of a running batch are at either end of edges.

Columns of a self-attention are those of the batch, and after them what was run since: the tokens
of options, or of an answer that is being written. Queries are the last of these columns. In
cross-attention keys are the encoder's tokens, queries the decoder's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from culture_lens.errors import InputError
from culture_lens.models.encoder_decoder import decoder_inputs
from culture_lens.models.lens_model import LensModel
from culture_lens.models.rows import options_running
from culture_lens.models.running_batch import RunningBatch
from culture_lens.prompts.prompt import Batch, Role
from culture_lens.prompts.token_groups import IDENTITY, LAST, Names, group_roles, identity_mask

Groups = tuple[str | int, ...]
Shape = tuple[int, int, int]
"""Rows, queries and keys of an attention."""


@dataclass
class DecoderColumns:
    """How many of the decoder's columns one cross-attention has seen of a running batch.

    Its mask does not say it: with a cache only new tokens are queries.
    """

    running: RunningBatch | None = None
    seen: int = 0

    def after(self, running: RunningBatch, queries: int, own: int) -> int:
        """Count the columns up to the last of these queries; ``own`` are those of the prompts."""
        if options_running() is not None:
            return own + queries
        later = running is self.running and queries <= self.seen
        self.running, self.seen = running, queries + (self.seen if later else 0)
        return self.seen


class Columns(NamedTuple):
    """What is known of the columns of one stack: roles, names and the last token of the prompt."""

    roles: Int[Tensor, "row pos"]
    identity: Bool[Tensor, "row pos"]
    last: Bool[Tensor, "row pos"]


Ends = tuple[Bool[Tensor, "row key"], Bool[Tensor, "row query"]]
"""The tokens that are read, and those that read."""


def ends_of(
    model: LensModel, from_groups: Groups, to_groups: Groups, names: Names | None
) -> Callable[[str, RunningBatch, Shape, DecoderColumns], Ends]:
    """Make the function that finds the tokens that are read, and those that read."""
    kept: dict[str, tuple[RunningBatch, Columns]] = {}

    def columns(running: RunningBatch, decoder: bool) -> Columns:
        key = "decoder" if decoder else "prompt"
        if key not in kept or kept[key][0] is not running:  # once for all layers of a forward
            kept[key] = (running, columns_of(model, running, decoder, names))
        return kept[key][1]

    def find(stack: str, running: RunningBatch, shape: Shape, decoder: DecoderColumns) -> Ends:
        rows, queries, keys = shape
        own = columns(running, stack in ("decoder", "cross"))
        read, width = own, keys
        if stack == "cross":
            read = columns(running, False)
            width = decoder.after(running, queries, own.roles.shape[1])
        reads = chosen(grown(own, rows, width), to_groups)[:, -queries:]
        return chosen(grown(read, rows, keys), from_groups), reads

    return find


def columns_of(
    model: LensModel, running: RunningBatch, decoder: bool, names: Names | None
) -> Columns:
    """Tell roles, names and last tokens of a batch's own columns."""
    batch = running.batch
    if decoder:
        roles = decoder_roles(batch, model.pad_id)
        none = torch.zeros_like(roles, dtype=torch.bool)
        return Columns(roles, none, with_last(none, running.ends))
    named = identity_mask(batch, model.tokenizer, names)
    return Columns(batch.roles, named, with_last(torch.zeros_like(named), running.ends))


def decoder_roles(batch: Batch, pad_id: int) -> Int[Tensor, "row pos"]:
    """Roles of the decoder's tokens: the start token is template, the rest the answer prefix."""
    _, mask = decoder_inputs(batch, pad_id)
    roles = torch.where(mask == 1, int(Role.ANSWER_PREFIX), int(Role.PADDING))
    first = mask.argmax(1)
    roles[torch.arange(len(roles)), first] = int(Role.TEMPLATE)
    return roles


def with_last(mask: Tensor, last: bool) -> Tensor:
    """Mark the last column where it ends the prompts."""
    mask = mask.clone()
    mask[:, -1] = last
    return mask


def grown(own: Columns, rows: int, width: int) -> Columns:
    """Add the columns that were run after a batch, to the rows that are run.

    Raises:
        InputError: Other rows or columns are run than those of the batch.
    """
    options = options_running()
    if options is not None:
        chosen_rows = options.rows
        own = Columns(*(values[chosen_rows] for values in own))
    more = width - own.roles.shape[1]
    if len(own.roles) != rows or more < 0:
        raise InputError(
            f"edges: {rows} rows of {width} tokens are run, and the prompts have "
            f"{tuple(own.roles.shape)}: run batches as they are, without other rows or tokens."
        )
    if not more:
        return own
    role = int(Role.ANSWER_PREFIX if options is None else Role.OPTIONS)
    added = torch.full((rows, more), role)
    if options is not None and options.mask is not None:
        added[options.mask == 0] = int(Role.PADDING)
    none = torch.zeros_like(added, dtype=torch.bool)
    return Columns(*(torch.cat(pair, 1) for pair in zip(own, (added, none, none), strict=True)))


def chosen(columns: Columns, groups: Sequence[str | int]) -> Bool[Tensor, "row pos"]:
    """Say which columns are in one of the groups."""
    mask = torch.isin(columns.roles, torch.tensor(group_roles(groups), dtype=torch.long))
    if IDENTITY in groups:
        mask |= columns.identity
    if LAST in groups:
        mask |= columns.last
    return mask


__all__ = ["DecoderColumns", "Ends", "Shape", "ends_of"]
