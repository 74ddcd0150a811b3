"""Run prompt trees, and read off them what every scoring needs, without leaving the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.models.checks import foreign_hooks
from culture_lens.models.continuations import wide
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Prompt
from culture_lens.prompts.trees import TreeBatch

TREE_TEXT = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3", "gpt2")
"""By ``model_type``, the decoders that attend by the mask and the positions that they are given."""
TREE_PICTURES = ("llava", "llava_next", "llava_onevision", "idefics3", "smolvlm")
"""Those around such a decoder whose image tokens are ordinary tokens to it."""
CACHED_NUMBERS = 2**18
"""So many numbers at a time stay in the cache of a CPU: a megabyte in float32."""


@dataclass(frozen=True, eq=False)
class TreeReads:
    """What is read off trees, on the device of the model.

    Attributes:
        logits: The logit of every option's token where it follows, ``read``; float32 or wider.
        log_probs: Its log-probability, ``read``.
        next_tokens: The most probable token after each prompt, ``prompt``.
        highest: Its logit, ``prompt``; not finite where nothing can be read.
    """

    logits: Float[Tensor, " read"]
    log_probs: Float[Tensor, " read"]
    next_tokens: Int[Tensor, " prompt"]
    highest: Float[Tensor, " prompt"]

    def part(self, at: int, of: int) -> TreeReads:
        """Give one of several equal parts, such as of a batch that holds it several times."""
        return TreeReads(*(getattr(self, one.name).chunk(of)[at] for one in fields(self)))


def can_run_trees(model: LensModel, prompts: Sequence[Prompt]) -> bool:
    """Say whether trees give what single prompts give, with nothing else attached to the model.

    Example:
        ``can_run_trees(model, prompts)`` is False of T5, whose encoder reads both ways
    """
    if not plain(model) or model.attention != "native":
        return False
    config = model.bridge.original_model.config
    own = getattr(config.get_text_config(), "_attn_implementation", "eager") in ("sdpa", "eager")
    return takes_trees(config) and own and model.can_share_prefix(prompts)


def takes_trees(config: Any) -> bool:
    """Say whether models of a configuration attend by the mask and positions they are given.

    Example:
        ``takes_trees(AutoConfig.from_pretrained("gpt2"))`` is True
    """
    text = config.get_text_config()
    around = config is text or config.model_type in (*TREE_TEXT, *TREE_PICTURES)
    return text.model_type in TREE_TEXT and around


def plain(model: LensModel) -> bool:
    """Say whether no hooks are attached around a call."""
    return not model.is_hooked and next(foreign_hooks(model.bridge), None) is None


def on_device(tree: TreeBatch, device: torch.device) -> TreeBatch:
    """Move a batch of trees to a device, once for all conditions."""
    values: dict[str, Any] = {one.name: getattr(tree, one.name) for one in fields(tree)}
    moved: dict[str, Any] = {n: v.to(device) for n, v in values.items() if isinstance(v, Tensor)}
    return replace(tree, **moved)


def repeated(batch: TreeBatch, times: int) -> TreeBatch:
    """Give every row of a batch several times, the whole batch after itself.

    Example:
        ``repeated(batch, 3).rows`` is three times ``batch.rows``
    """
    shift = torch.arange(times).repeat_interleave(len(batch.ends)) * batch.rows
    read_shift = torch.arange(times).repeat_interleave(len(batch.reads)) * batch.rows
    ends, reads = batch.ends.repeat(times, 1), batch.reads.repeat(times, 1)
    ends[:, 0] += shift.to(ends.device)
    reads[:, 0] += read_shift.to(reads.device)
    return TreeBatch(
        batch.prompts * times,
        batch.input_ids.repeat(times, 1),
        batch.positions.repeat(times, 1),
        batch.enter.repeat(times, 1),
        batch.leave.repeat(times, 1),
        batch.pictured * times,
        batch.last,
        ends,
        reads,
    )


def read_trees(logits: Float[Tensor, "row last vocab"], tree: TreeBatch) -> TreeReads:
    """Read the options' tokens and the next tokens off the logits of trees."""
    rows, columns, tokens = tree.reads.T
    total = log_totals(logits)
    chosen = wide(logits[rows, columns, tokens])
    ends = logits[tree.ends[:, 0], tree.ends[:, 1]]
    highest, best = ends.max(-1)
    return TreeReads(chosen, chosen - total[rows, columns], best, wide(highest))


def log_totals(logits: Float[Tensor, "row last vocab"]) -> Float[Tensor, "row last"]:
    """Give the logarithm of the sum of exp over the vocabulary, in float32 or wider.

    On a CPU a few rows at a time: what is made on the way to the sums of all would be several times
    as large as the logits, and to get so much memory takes longer than the sums.

    Example:
        >>> log_totals(torch.zeros(1, 2, 1)).tolist()
        [[0.0, 0.0]]
    """
    rows = logits.flatten(0, 1)
    size = max(1, CACHED_NUMBERS // rows.shape[1]) if logits.device.type == "cpu" else len(rows)
    totals = [wide(some).logsumexp(-1) for some in torch.split(rows, size)]
    return torch.cat(totals).view(logits.shape[:2])


def joined(parts: Sequence[TreeReads]) -> TreeReads:
    """Join what was read off several batches, and bring it to the CPU in one go."""
    return TreeReads(
        *(torch.cat([getattr(part, one.name) for part in parts]).cpu() for one in fields(TreeReads))
    )


__all__ = [
    "TreeReads",
    "can_run_trees",
    "joined",
    "log_totals",
    "on_device",
    "plain",
    "read_trees",
    "repeated",
    "takes_trees",
]
