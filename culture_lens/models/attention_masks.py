"""A hook point for what each token attends to, at every attention of a model.

The point sees a boolean table, True where a query token (third axis) may read a key token (last
axis), and may return another one with heads apart:

    attends   batch head query key, or batch 1 query key where all heads read alike

It is made of the mask that transformers hands to the attention of a layer, before the softmax, so
that it works under every attention implementation: sdpa and eager, Hugging Face's and the
bridge's. What is taken away gets the score of padding: the weights of the other keys add up to 1.
Without a hook the model's own mask is passed on as it is.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from culture_lens.models.sites import ATTENTION_MASKS, attention_mask_hook

KEYWORDS = ("attention_mask", "mask")
"""What the mask is called: by decoder-only models, and by T5."""


def add_mask_hooks(bridge: Any) -> None:
    """Put a hook point before every attention of a bridge; the bridge is changed in place."""
    for stack in ATTENTION_MASKS:
        layer = 0
        while (attention := attention_at(bridge, stack, layer)) is not None:
            add_mask_hook(bridge, attention, attention_mask_hook(stack, layer))
            layer += 1


def attention_at(bridge: Any, stack: str, layer: int) -> Any:
    """Give the attention of a layer; None where the model has no such layer or stack."""
    path = attention_mask_hook(stack, layer).removesuffix(".hook_mask").split(".")
    blocks = getattr(bridge, path[0], ())
    return getattr(blocks[layer], path[2], None) if layer < len(blocks) else None


def add_mask_hook(bridge: Any, attention: torch.nn.Module, name: str) -> None:
    """Put a hook point before one attention."""
    from transformer_lens.hook_points import HookPoint

    point = HookPoint()
    point.name = name
    # Booting has scanned the hooks already, so a later one is entered by hand.
    bridge._hook_registry[name] = point

    def before(module: Any, args: tuple[Any, ...], given: dict[str, Any]) -> Any:
        key = next((one for one in KEYWORDS if one in given), None)
        if not point.fwd_hooks or key is None:
            return None
        mask = given[key]
        hidden = given["hidden_states"] if "hidden_states" in given else args[0]
        edited = point(allowed(mask, module, hidden, given))
        return args, {**given, key: as_given(edited, mask)}

    attention.register_forward_pre_hook(before, with_kwargs=True)


def allowed(
    mask: Tensor | None, attention: Any, hidden: Tensor, given: dict[str, Any]
) -> Bool[Tensor, "batch head query key"]:
    """Say which keys each query attends to, by the mask that an attention is given.

    Without a mask, a decoder reads what stands before, and all else is read.
    """
    if mask is not None:
        return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2
    rows, queries = hidden.shape[:2]
    other, cache = given.get("key_value_states"), given.get("past_key_values")
    own = attention.original_component
    if other is not None:
        return torch.ones(rows, 1, queries, other.shape[1], dtype=torch.bool, device=hidden.device)
    before = cache.get_seq_length(own.layer_idx) if cache is not None else 0
    seen = torch.ones(queries, before + queries, dtype=torch.bool, device=hidden.device)
    if getattr(own, "is_causal", True):
        seen = seen.tril(before)
    return seen.expand(rows, 1, -1, -1)


def as_given(attends: Tensor, mask: Tensor | None) -> Tensor:
    """Write a table as the mask was: boolean, or numbers that are added to the scores."""
    if mask is None or mask.dtype == torch.bool:
        return attends
    least = torch.tensor(torch.finfo(mask.dtype).min, dtype=mask.dtype, device=mask.device)
    return torch.where(attends, mask, least)


__all__ = ["add_mask_hooks"]
