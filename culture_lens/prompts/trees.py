"""Prompt trees: every token that prompts and their options share is run once.

Prompts of one benchmark begin alike: with a system message, with the words of a question that is
asked of many cultures, with a picture. Options follow their prompt. A tree has a node for each
different beginning, so that a token is run once for all that share it:

    Which - food - is - eaten - in - Japan - ? - rice
                                   |           `- noodle - soup
                                   `- Peru - ? - ...

A row of a batch holds one tree, whose nodes may stand in any order: each has its depth as its
position, and attends to its ancestors alone. Numbered on the way through the tree, node k is an
ancestor of q where enter[k] <= enter[q] < leave[k]. Nodes whose logits are read stand last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.shared_prefix import picture_key

ROW_TOKENS = 384
"""Tokens of a tree, where single prompts are not longer: more share more, and attend to more."""
FEW_TREES = 32
"""Up to so many trees are made of about one length, which costs a little time."""


@dataclass(eq=False)
class PromptTree:
    """The tree of some prompts and their options; grows by ``add``.

    Attributes:
        prompts: The prompts, in the order in which they were added.
        tokens: Token id of every node.
        depths: Its distance from the first token.
        children: The nodes that follow it, by token and picture.
        read: The nodes whose logits are read.
        pictured: For each picture that is run, a prompt that has it.

    Example:
        ``tree = PromptTree(); tree.add(prompt); len(tree.tokens)``
    """

    prompts: list[Prompt] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    children: list[dict[tuple[int, str], int]] = field(default_factory=lambda: [{}])
    read: set[int] = field(default_factory=set)
    pictured: list[Prompt] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)

    def add(self, prompt: Prompt) -> None:
        """Add a prompt and its options."""
        end, started = -1, False
        for token, role in zip(prompt.ids, prompt.roles, strict=True):
            before = len(self.tokens)
            picture = picture_key(prompt) if role == Role.IMAGE else ""
            end = self._step(end, token, picture)
            if picture and not started and end == before:
                self.pictured.append(prompt)
                started = True
        self.prompts.append(prompt)
        self.ends.append(end)
        self.read.add(end)
        for option in options_of(prompt):
            node = end
            for at, token in enumerate(option):
                self.reads.append((node, token))
                if at < len(option) - 1:
                    node = self._step(node, token, "")
                    self.read.add(node)

    def _step(self, node: int, token: int, picture: str) -> int:
        """Go from a node (-1 before the first token) to the next one, which is made if need be."""
        follow = self.children[node + 1]
        if (token, picture) not in follow:
            follow[token, picture] = len(self.tokens)
            self.tokens.append(token)
            self.depths.append(0 if node < 0 else self.depths[node] + 1)
            self.children.append({})
        return follow[token, picture]

    def numbered(self) -> tuple[list[int], list[int]]:
        """Number the nodes on the way through the tree: when each is entered and left."""
        enter, leave = [0] * len(self.tokens), [0] * len(self.tokens)
        count = 0
        stack = [(node, False) for node in reversed(self.children[0].values())]
        while stack:
            node, done = stack.pop()
            if done:
                leave[node] = count
                continue
            enter[node], count = count, count + 1
            stack.append((node, True))
            stack += [(child, False) for child in reversed(self.children[node + 1].values())]
        return enter, leave

    def order(self) -> list[int]:
        """Give the nodes in the order of a row: those that are read come last."""
        nodes = range(len(self.tokens))
        return [n for n in nodes if n not in self.read] + sorted(self.read)


@dataclass(frozen=True, slots=True, eq=False)
class TreeBatch:
    """Trees padded on the left to one length.

    Attributes:
        prompts: The prompts of all rows.
        input_ids: Token ids, ``row pos``.
        positions: Distance of each token from its tree's first, ``row pos``.
        enter: Number of each node on the way through its tree, ``row pos``; padding has numbers
            of its own below 0.
        leave: The number after those of a node and all that follow it, ``row pos``.
        pictured: Prompts that have the pictures of the image tokens, in their order.
        last: How many columns from the right hold all nodes that are read.
        ends: Row and column (of the last ones) of the last token of each prompt, ``prompt 2``.
        reads: Row and column after which an option's token follows, and that token, ``read 3``;
            prompt by prompt and option by option.
    """

    prompts: tuple[Prompt, ...]
    input_ids: Int[Tensor, "row pos"]
    positions: Int[Tensor, "row pos"]
    enter: Int[Tensor, "row pos"]
    leave: Int[Tensor, "row pos"]
    pictured: tuple[Prompt, ...]
    last: int
    ends: Int[Tensor, "prompt 2"]
    reads: Int[Tensor, "read 3"]

    @property
    def rows(self) -> int:
        """How many trees there are."""
        return len(self.input_ids)

    def mask(self, dtype: torch.dtype) -> Float[Tensor, "row 1 pos pos"]:
        """Make the mask that is added to the scores of attention; see ``attends``."""
        seen = attends(self.enter, self.leave)[:, None]
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
            ~seen, torch.finfo(dtype).min
        )


def options_of(prompt: Prompt) -> tuple[tuple[int, ...], ...]:
    """Give what is read after a prompt: its options' tokens, or the token of each label.

    Example:
        ``options_of(prompt)`` is ``((317,), (356,))`` for a prompt with two labels
    """
    return prompt.continuations or tuple((label,) for label in prompt.labels)


def prompt_trees(
    prompts: Sequence[Prompt], row_tokens: int = ROW_TOKENS, most: int | None = None
) -> list[PromptTree]:
    """Cut prompts into trees, those that begin alike together; the longest tree first.

    Args:
        prompts: The prompts, with continuations or labels.
        row_tokens: Tokens of a tree; a single prompt may have more.
        most: Prompts of a tree at most.

    Example:
        ``prompt_trees(prompts)[0].prompts``
    """
    ordered = sorted(prompts, key=lambda p: (picture_key(p), p.ids, p.question.id))
    trees = filled(ordered, row_tokens, most)
    lengths = [len(tree.tokens) for tree in trees]
    if 1 < len(trees) <= FEW_TREES and most is None:
        # A short last one would be padded to the others: as many trees, of about one length.
        low, high = sum(lengths) // len(trees), max(lengths)
        while high - low > 8:
            middle = (low + high) // 2
            even = filled(ordered, middle, most)
            fits = len(even) <= len(trees) and max(len(t.tokens) for t in even) <= middle
            trees, low, high = (even, low, middle) if fits else (trees, middle, high)
    return sorted(trees, key=lambda tree: -len(tree.tokens))


def filled(prompts: Sequence[Prompt], row_tokens: int, most: int | None) -> list[PromptTree]:
    """Put prompts into trees in their order, each as full as it may be.

    Prompts on one picture stay together where they fit.
    """
    trees: list[PromptTree] = []
    for picture, some in groupby(prompts, picture_key):
        group = list(some)
        begins = bool(picture and trees) and len(trees[-1].tokens) + nodes(group) > row_tokens
        for prompt in group:
            if begins or not trees or not has_room(trees[-1], prompt, row_tokens, most):
                trees.append(PromptTree())
            trees[-1].add(prompt)
            begins = False
    return trees


def nodes(prompts: Sequence[Prompt]) -> int:
    """Count the nodes of a tree of some prompts."""
    tree = PromptTree()
    for prompt in prompts:
        tree.add(prompt)
    return len(tree.tokens)


def has_room(tree: PromptTree, prompt: Prompt, row_tokens: int, most: int | None) -> bool:
    """Say whether a prompt fits; of one on a large picture of the tree, up to twice its length."""
    if most is not None and len(tree.prompts) >= most:
        return False
    more = added(tree, prompt)
    if picture_key(prompt) and 2 * more < len(prompt.ids):
        row_tokens = max(row_tokens, 2 * len(prompt.ids))
    return len(tree.tokens) + more <= row_tokens


def added(tree: PromptTree, prompt: Prompt) -> int:
    """Count the nodes that a prompt and its options would add to a tree, at most."""
    node, shared = -1, 0
    for token, role in zip(prompt.ids, prompt.roles, strict=True):
        picture = picture_key(prompt) if role == Role.IMAGE else ""
        found = tree.children[node + 1].get((token, picture))
        if found is None:
            break
        node, shared = found, shared + 1
    return len(prompt.ids) - shared + sum(len(option) - 1 for option in options_of(prompt))


def tree_batch(trees: Sequence[PromptTree], pad_id: int) -> TreeBatch:
    """Pad trees on the left into one batch.

    Example:
        ``tree_batch(prompt_trees(prompts)[:4], model.pad_id).input_ids.shape``
    """
    width, last = max(len(t.tokens) for t in trees), max(len(t.read) for t in trees)
    ids = torch.full((len(trees), width), pad_id)
    positions = torch.zeros_like(ids)
    enter = (-1 - torch.arange(width)).repeat(len(trees), 1)
    leave = enter + 1  # padding attends to itself, so that nothing is NaN
    ends, reads = [], []
    for row, tree in enumerate(trees):
        order, (entered, left) = tree.order(), tree.numbered()
        pad = width - len(order)
        ids[row, pad:] = torch.tensor([tree.tokens[node] for node in order])
        positions[row, pad:] = torch.tensor([tree.depths[node] for node in order])
        enter[row, pad:] = torch.tensor([entered[node] for node in order])
        leave[row, pad:] = torch.tensor([left[node] for node in order])
        column = {node: pad + at - (width - last) for at, node in enumerate(order)}
        ends += [(row, column[node]) for node in tree.ends]
        reads += [(row, column[node], token) for node, token in tree.reads]
    return TreeBatch(
        tuple(prompt for tree in trees for prompt in tree.prompts),
        ids,
        positions,
        enter,
        leave,
        tuple(prompt for tree in trees for prompt in tree.pictured),
        last,
        torch.tensor(ends).reshape(-1, 2),
        torch.tensor(reads).reshape(-1, 3),
    )


def attends(
    enter: Int[Tensor, "row pos"], leave: Int[Tensor, "row pos"]
) -> Bool[Tensor, "row pos pos"]:
    """Say which nodes (last axis) each node attends to: its ancestors and itself.

    Example:
        >>> attends(torch.tensor([[0, 1, 2]]), torch.tensor([[3, 2, 3]])).int().tolist()
        [[[1, 0, 0], [1, 1, 0], [1, 0, 1]]]
    """
    own = enter[:, :, None]
    return (enter[:, None] <= own) & (own < leave[:, None])


def groups_of_trees(
    trees: Sequence[PromptTree], tokens: int, prompts: int | None = None
) -> Iterator[list[PromptTree]]:
    """Cut trees into groups of at most so many tokens, padding included, and prompts.

    Args:
        trees: The trees, longest first.
        tokens: Tokens of a group; a single tree may have more.
        prompts: Prompts of a group, likewise.

    Example:
        ``[tree_batch(group, model.pad_id) for group in groups_of_trees(trees, 2048)]``
    """
    group: list[PromptTree] = []
    for tree in trees:
        width = len(group[0].tokens) if group else 0
        asked = sum(len(held.prompts) for held in group) + len(tree.prompts)
        full = (len(group) + 1) * width > tokens or (prompts is not None and asked > prompts)
        if group and full:
            yield group
            group = []
        group.append(tree)
    if group:
        yield group


__all__ = [
    "PromptTree",
    "TreeBatch",
    "attends",
    "groups_of_trees",
    "prompt_trees",
    "tree_batch",
]
