"""Cut edges of attention heads: which tokens a head may no longer read (attention knockout).

An edge leads from the token that is read (key j) to the token that reads it (query i), the way
that information flows. Where the edge j -> i of head h is cut,

    s[h, i, j] <- -inf,   A[h, i, :] = softmax(s[h, i, :])

before the softmax, so that the weights of the other keys still add up to 1 (Geva et al.,
arXiv 2304.14767). "Cultural Binding Heads" (arXiv 2605.28543) cuts the edges from the tokens of an
identity to those of an item, ``from_roles="identity", to_roles="options"`` here. The text of that
paper could not be read, only its abstract: whether it renormalises is not known.

The edge of a token to itself stays, so that every token of a self-attention reads something.
Generation and shared prefixes work as answers do; what is cut is told by the roles of the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from culture_lens.checks import check_arguments
from culture_lens.errors import InputError, warn
from culture_lens.interventions.edge_tokens import DecoderColumns, Ends, Shape, ends_of
from culture_lens.interventions.heads import Heads, heads_of
from culture_lens.models.checks import MODEL, under
from culture_lens.models.lens_model import LensModel
from culture_lens.models.running_batch import RunningBatch, batch_running
from culture_lens.models.sites import attention_mask_hook
from culture_lens.models.transformer_lens import HookList
from culture_lens.prompts.token_groups import NAMES, Names, token_groups

Roles = str | int | Sequence[str | int]


@dataclass
class Tally:
    """How many edges were cut, in how many forwards of an attention.

    Attributes:
        edges: Edges of all heads, rows and tokens.
        forwards: Forwards that asked for edges.
    """

    edges: int = 0
    forwards: int = 0


def without_edges(
    attends: Bool[Tensor, "batch one_or_all query key"],
    heads: Sequence[int],
    n_heads: int,
    cut: Bool[Tensor, "batch query key"],
) -> Bool[Tensor, "batch head query key"]:
    """Take edges of some heads away; the edge of a token to itself must not be among them.

    Raises:
        InputError: A token would read nothing at all.

    Example:
        >>> seen = torch.ones(1, 1, 2, 2, dtype=torch.bool).tril()
        >>> cut = torch.tensor([[[False, False], [True, False]]])
        >>> without_edges(seen, [1], 2, cut)[0].int().tolist()
        [[[1, 0], [1, 1]], [[1, 0], [0, 1]]]
    """
    chosen = torch.zeros(n_heads, dtype=torch.bool, device=attends.device)
    chosen[list(heads)] = True
    edited = attends & ~(chosen[None, :, None, None] & cut[:, None])
    if (attends.any(-1) & ~edited.any(-1)).any():
        raise InputError(
            "edges: all that a token reads through a head would be cut, and a softmax over nothing "
            "has no value: cut fewer roles, or ablate the heads instead."
        )
    return edited


@check_arguments(model=MODEL, from_roles=token_groups, to_roles=token_groups, names=NAMES)
def edge_hooks(
    model: LensModel,
    heads: Heads,
    *,
    from_roles: Roles,
    to_roles: Roles,
    names: Names | None = None,
    tally: Tally | None = None,
) -> HookList:
    """Make the hooks that cut the edges of heads between tokens of some roles.

    Args:
        model: The model.
        heads: ``(layer, head)`` pairs, or neurons at the site ``head``; see ``heads_of``.
        from_roles: The tokens that are read: groups of tokens (``TOKEN_GROUPS``) or roles.
        to_roles: The tokens that read them.
        names: Further names of cultures, for the group ``identity``.
        tally: Counts what is cut.

    Returns:
        ``(name, function)`` pairs for ``model.hooks``; the model must run batches of prompts.

    Raises:
        InputError: Heads that the model lacks, or unknown groups; while the model runs, tokens
            whose roles are not known.

    Example:
        ``with model.hooks(edge_hooks(model, [(5, 2)], from_roles="image", to_roles="last")): ...``
    """
    groups = (token_groups("from_roles", from_roles), token_groups("to_roles", to_roles))
    find = ends_of(model, *groups, names)
    counted = Tally() if tally is None else tally
    return [
        (attention_mask_hook(stack, layer), cutting(find, stack, some, n_heads, counted))
        for stack, n_heads, layers in heads_of(model, heads)
        for layer, some in layers.items()
    ]


def cutting(
    find: Callable[[str, RunningBatch, Shape, DecoderColumns], Ends],
    stack: str,
    heads: Sequence[int],
    n_heads: int,
    tally: Tally,
) -> Callable[..., Tensor]:
    """Make the hook function of one attention."""
    decoder = DecoderColumns()

    def run(attends: Tensor, hook: Any) -> Tensor:
        running = batch_running()
        if running is None:
            raise InputError(
                "edges are cut by the roles of tokens, which bare token ids and texts do not have: "
                "run questions, such as evaluate(model, questions), or batches of build_prompts."
            )
        rows, _, queries, keys = attends.shape
        read, reads = find(stack, running, (rows, queries, keys), decoder)
        cut = (reads[:, :, None] & read[:, None]).to(attends.device)
        if stack != "cross":
            cut &= ~torch.eye(keys, dtype=torch.bool, device=cut.device)[keys - queries :]
        edited = without_edges(attends, heads, n_heads, cut)
        tally.forwards += 1
        tally.edges += int((attends.expand_as(edited) & ~edited).sum())
        return edited

    return run


@check_arguments(model=MODEL, from_roles=token_groups, to_roles=token_groups, names=NAMES)
@contextmanager
def edges_cut(
    model: LensModel,
    heads: Heads,
    *,
    from_roles: Roles,
    to_roles: Roles,
    names: Names | None = None,
) -> Iterator[LensModel]:
    """Cut edges of attention heads for the time of the block; see ``edge_hooks``.

    Warns:
        CultureLensWarning: The model ran, and no prompt had such an edge.

    Example:
        ``with edges_cut(model, heads, from_roles="identity", to_roles="options"): ...``
    """
    tally = Tally()
    hooks = edge_hooks(
        model, heads, from_roles=from_roles, to_roles=to_roles, names=names, tally=tally
    )
    with under(f"edges of {len(hooks)} layers cut"), model.hooks(hooks):
        yield model
    if tally.forwards and not tally.edges:
        warn(
            f"edges_cut: no prompt has an edge from {from_roles} to {to_roles}: tokens read what "
            "stands before them, and a question need not name its culture. Nothing was changed."
        )


__all__ = ["Tally", "edge_hooks", "edges_cut", "without_edges"]
