"""TreeWork: prompts as batches of trees, made once for all conditions, as large as memory holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from culture_lens.models.lens_model import LensModel
from culture_lens.models.skipped_layers import KeptStreams
from culture_lens.models.trees import on_device
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.answers import label_ids
from culture_lens.prompts.prompt import Prompt, Role
from culture_lens.prompts.running import Running
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.prompts.speed import Speed
from culture_lens.prompts.trees import (
    ROW_TOKENS,
    PromptTree,
    TreeBatch,
    groups_of_trees,
    options_of,
    prompt_trees,
    tree_batch,
)
from culture_lens.questions.images import LazyImage

CPU_TOKENS, GPU_TOKENS, MOST_TOKENS = 2048, 4096, 65536
"""Tokens of a forward: on a CPU, of the first one on a GPU, and of any."""
WHOLE = 2**31
"""Tokens of a tree that is not to be cut."""
USED_MEMORY = 0.7
"""Share of a GPU's free memory that a forward may take."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A batch of trees on the device, its number, and the prompts of each tree.

    The trees themselves are not kept: a node takes most of a kilobyte.
    """

    number: int
    asked: Sequence[Sequence[Prompt]]
    batch: TreeBatch


class TreeWork:
    """Prompts as batches of trees, made once for all conditions, and what is kept between them.

    Args:
        model: The model.
        prompts: The prompts.
        masks: The neurons of all conditions; None for the unmodified model.
        running: Batch size, progress and speed.

    Attributes:
        model: As given.
        total: How many prompts there are.
        speed: How time is saved.
        layers: The first ablated layers of the conditions.
        kept: Residual streams that enter these layers.

    Example:
        ``work = TreeWork(model, prompts, [None, found["Japan"]], Running())``
    """

    def __init__(
        self,
        model: LensModel,
        prompts: Sequence[Prompt],
        masks: Sequence[Neurons | None],
        running: Running,
    ) -> None:
        """Make the trees; they are put into batches when they are first run."""
        self.model, self.total, self.speed = model, len(prompts), running.speed
        first = {first_layer(model, neurons) for neurons in masks}
        alone = len(masks) < 2 or not self.speed.skip
        self.layers = () if alone else tuple(sorted(first - {0, model.n_layers}))
        self.kept = KeptStreams(self.speed.kept_bytes)
        self._most = running.batch_size
        width = row_tokens(model.bridge.original_model.config.get_text_config().hidden_size)
        self._left = prompt_trees(with_options(model, prompts), width, self._most)
        self._placed: list[Placed] = []
        self._numbers = 0
        on_gpu = model.device.type != "cpu"
        edited = {site for neurons in masks if neurons is not None for site in neurons.places}
        fits = model.unit_tokens(edited) or WHOLE
        self._tokens = min(first_tokens(on_gpu, self.speed, running.batch_size), fits)

    def images(self) -> list[LazyImage]:
        """Give the pictures in the order in which batches need them."""
        placed = [prompt for one in self._placed for prompt in one.batch.pictured]
        left = [prompt for tree in self._left for prompt in tree.pictured]
        return [prompt.question.image for prompt in (*placed, *left)]

    def batches(self) -> Iterator[Placed]:
        """Give the batches, longest first; those of the first condition grow as memory allows."""
        yield from list(self._placed)
        while self._left:
            group = next(groups_of_trees(self._left, self._tokens, self._most))
            self._left = self._left[len(group) :]
            placed = self._place(group)
            self._placed.append(placed)
            device, free = self.model.device, free_memory(self.model.device)
            yield placed
            if device.type == "cuda" and self.speed.tokens is None and self._most is None:
                used = torch.cuda.max_memory_allocated(device) - torch.cuda.memory_allocated(device)
                fits = int(USED_MEMORY * free * placed.batch.input_ids.numel() / max(used, 1))
                self._tokens = max(self._tokens, min(fits, 4 * self._tokens, MOST_TOKENS))

    def _place(self, trees: Sequence[PromptTree]) -> Placed:
        self._numbers += 1
        batch = on_device(tree_batch(trees, self.model.pad_id), self.model.device)
        return Placed(self._numbers, [tree.prompts for tree in trees], batch)

    def split(self, placed: Placed) -> list[Placed]:
        """Replace a batch for which memory is too small by its halves, for all conditions."""
        middle = (len(placed.asked) + 1) // 2
        halves = [placed.asked[:middle], placed.asked[middle:]]
        if len(placed.asked) == 1:
            middle = (len(placed.asked[0]) + 1) // 2
            halves = [[placed.asked[0][:middle]], [placed.asked[0][middle:]]]
        trees = [[tree for some in half for tree in prompt_trees(some, WHOLE)] for half in halves]
        at = self._placed.index(placed)
        self._placed[at : at + 1] = parts = [self._place(half) for half in trees]
        self._tokens = max(1, min(self._tokens, placed.batch.input_ids.numel() // 2))
        return parts


def first_layer(model: LensModel, neurons: Neurons | None) -> int:
    """Give the first layer in which neurons are ablated; the number of layers where none are.

    Example:
        ``first_layer(model, Neurons.of({"act": [(3, 7), (5, 1)]}))`` is 3
    """
    places = [held[:, 0] for held in neurons.places.values() if len(held)] if neurons else []
    return min((int(layers.min()) for layers in places), default=model.n_layers)


def with_options(model: LensModel, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Find the tokens of labels where they are still lacking."""
    return [
        prompt if options_of(prompt) else replace(prompt, labels=label_ids(prompt, model.processor))
        for prompt in prompts
    ]


def row_tokens(d_model: int) -> int:
    """Give the tokens of a tree: in a narrow model attention soon costs more than is shared.

    Example:
        >>> row_tokens(4096), row_tokens(60)
        (384, 64)
    """
    return max(64, min(ROW_TOKENS, 2 * d_model // 3))


def first_tokens(on_gpu: bool, speed: Speed, batch_size: int | None) -> int:
    """Give the tokens of the first forward; batches of so many questions have no other limit."""
    if speed.tokens is not None:
        return speed.tokens
    if batch_size is not None:
        return 2**31
    return GPU_TOKENS if on_gpu else CPU_TOKENS


def free_memory(device: torch.device) -> int:
    """Give the bytes that a GPU has left, with what torch holds of it unused; 0 of a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def conditions_together(prompts: Iterable[Prompt], conditions: int, speed: Speed) -> int:
    """Say how many conditions are rows of one batch on an accelerator: as many as fill it.

    Tokens are counted without making trees, of one tree of all prompts: several repeat some. The
    count ends where a single condition fills a batch.

    Args:
        prompts: The prompts.
        conditions: How many conditions there are.
        speed: How time is saved.

    Example:
        ``conditions_together(prompts, 31, Speed(together=8))`` is 8
    """
    if speed.together is not None:
        return min(speed.together, conditions)
    nodes: dict[tuple[int, int, str], int] = {}  # number of a node by parent, token and picture
    for prompt in prompts:
        end = 0
        for token, role in zip(prompt.ids, prompt.roles, strict=True):
            picture = picture_key(prompt) if role == Role.IMAGE else ""
            end = nodes.setdefault((end, token, picture), len(nodes) + 1)
        for option in options_of(prompt):
            node = end
            for token in option[:-1]:
                node = nodes.setdefault((node, token, ""), len(nodes) + 1)
        if 2 * len(nodes) > GPU_TOKENS:
            return 1
    return max(1, min(conditions, GPU_TOKENS // max(len(nodes), 1)))


__all__ = [
    "Placed",
    "TreeWork",
    "conditions_together",
    "first_layer",
    "first_tokens",
    "row_tokens",
]
