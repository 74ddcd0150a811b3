"""Log-probabilities of the tokens of options behind their prompts, which are run once.

A forward writes into the cache it is given, so that each pass over options needs keys and values of
its own. Selecting rows of the prompts' cache makes new tensors, through which gradients flow.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from culture_lens.models.rows import running
from culture_lens.prompts.options import option_passes, padded_options
from culture_lens.prompts.prompt import Prompt

RunAfter = Callable[[Tensor, Tensor, Tensor, Any], Tensor]
"""Runs tokens (ids, mask) after some rows, with their cache; logits ``option pos vocab``."""


def continuation_log_probs(
    prompts: Sequence[Prompt],
    last: Float[Tensor, "row vocab"],
    cache: Any,
    run_after: RunAfter,
    pad_id: int,
) -> list[list[Tensor]]:
    """Run the options of prompts that have been run.

    Args:
        prompts: The prompts, with their ``continuations``.
        last: Logits after each prompt's last token, from which an option's first token follows.
        cache: Keys and values of the prompts.
        run_after: Runs rows, ids, mask and cache; see ``RunAfter``.
        pad_id: Token id of the padding.

    Returns:
        For each prompt and continuation, the log-probability of each of its tokens, at least
        float32.
    """
    first = wide(last).log_softmax(-1)
    found = [
        [first[row, list(tokens[:1])] for tokens in prompt.continuations]
        for row, prompt in enumerate(prompts)
    ]
    for some in option_passes(prompts):
        rows = torch.tensor([row for row, _ in some])
        options = [prompts[row].continuations[option] for row, option in some]
        ids, mask = padded_options(options, pad_id)
        held = rows_of_cache(cache, rows.to(last.device))
        with running(rows, mask):
            log_probs = wide(run_after(rows, ids, mask, held)).log_softmax(-1)
        for (row, option), tokens, own in zip(some, options, log_probs, strict=True):
            later = own[range(len(tokens) - 1), tokens[1:]]
            found[row][option] = torch.cat([found[row][option], later])
    return found


def wide(values: Tensor) -> Tensor:
    """Turn half precision into float32; wider values stay as they are.

    Example:
        >>> wide(torch.zeros(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def rows_of_cache(cache: Any, rows: Int[Tensor, " row"]) -> Any:
    """Select rows of a cache of transformers, in any order and as often as asked for.

    Args:
        cache: A ``DynamicCache``, or an ``EncoderDecoderCache`` of two.
        rows: Their indices.

    Returns:
        A cache of its own, with gradients to the given one where that has any.

    Example:
        ``rows_of_cache(cache, torch.tensor([2, 0, 2]))``
    """
    chosen = shallow(cache)
    chosen.batch_select_indices(rows)
    return chosen


def shallow(cache: Any) -> Any:
    """Copy a cache and its layers, but none of its tensors."""
    made = copy.copy(cache)
    for name in ("self_attention_cache", "cross_attention_cache"):
        if hasattr(cache, name):
            setattr(made, name, shallow(getattr(cache, name)))
    if "is_updated" in vars(cache):
        made.is_updated = dict(cache.is_updated)
    if "layers" in vars(cache):
        made.layers = [copy.copy(layer) for layer in cache.layers]
    return made
