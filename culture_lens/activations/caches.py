"""Summaries of caches that the user recorded: ``run_with_cache`` of any TransformerBridge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from culture_lens.activations.record import reduce_tokens
from culture_lens.activations.statistics import (
    ActivationStatistics,
    ItemStatistics,
    check_finite,
)
from culture_lens.activations.summary import ActivationSummary
from culture_lens.checks import (
    OPTIONS,
    check_arguments,
    flag,
    instance,
    mapping,
    optional,
    refused,
    text,
)
from culture_lens.errors import InputError, unknown
from culture_lens.models.hookable import as_hookable
from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import hooks_of

Cache = Mapping[str, Tensor]
Hooks = Mapping[str, str]
CACHE = instance(Mapping, remedy="an ActivationCache, or {hook name: activation}")
if TYPE_CHECKING:
    Labels = Iterable[str | Sequence[str]]
else:
    Labels = Any  # a wrong kind reaches the check that says the right one


def several(name: str, value: Any) -> Any:
    """Check for something to go through; it is not listed, because it may run the model."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise refused(name, value, "a list, or a generator")
    return value


@check_arguments(
    caches=several,
    labels=several,
    masks=optional(several),
    hooks=optional(mapping(text)),
    magnitudes=flag,
    metadata=optional(OPTIONS),
)
def summary_from_caches(
    caches: Iterable[Any],
    labels: Labels,
    *,
    model: Any = None,
    masks: Iterable[Tensor] | None = None,
    hooks: Hooks | None = None,
    magnitudes: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> ActivationSummary:
    """Make a summary of caches that were recorded by hook name.

    Caches are read one after the other and none is kept, so they may come from a generator that
    runs the model.

    Args:
        caches: ``ActivationCache`` objects, or ``{hook name: activation}``, of one batch each;
            activations are ``batch pos neuron`` or ``batch pos head d_head``.
        labels: For each cache the culture of all its rows, or one culture for each row.
        model: What recorded them, a ``LensModel`` or a ``TransformerBridge``: it tells sites apart
            and is named in the summary.
        masks: For each cache 1 on the tokens that count and 0 on others (padding, BOS), ``batch
            pos``. Without them all tokens of a cache of one row count; a cache of several rows
            needs a mask, since its padding cannot be told.
        hooks: ``{site: hook name}`` with ``{layer}`` for the layer, such as
            ``{"act": "blocks.{layer}.mlp.hook_act"}``; by default every site whose hook names, as
            ``model.hook_name`` gives them, are in the first cache.
        magnitudes: Keep sums and squares too, which MAD and mean ablation need.
        metadata: What else is known, kept with the summary; ``"groups"`` names the question groups
            that identify.

    Returns:
        The summary: layers from 0 to the last that the caches have.

    Raises:
        InputError: Numbers of caches, labels and masks that differ, no known hook name, a layer
            that is missing, shapes that do not match, or activations that are NaN or infinite.

    Example:
        ``summary_from_caches((model.run_with_cache(text)[1] for text in texts), cultures)``
    """
    statistics, facts = ActivationStatistics(), {"benchmark": "caches"}
    if model is not None:
        source = as_hookable(model)
        facts |= {"model": source.name, "dtype": str(source.dtype)}
        if isinstance(source, LensModel):
            facts |= {"revision": source.revision, "weights": source.fingerprint}
        if hooks is None:
            hooks = hooks_of(source.gated, any("." in site for site in source.widths))
    names: dict[str, list[str]] = {}
    for number, (given, label, mask) in enumerate(together(caches, labels, masks)):
        cache: Cache = CACHE(f"cache {number}", getattr(given, "cache_dict", given))
        names = names or hook_names(cache, hooks)
        rows = rows_of(cache, names, mask, number, magnitudes)
        cultures = [label] * len(rows.tokens) if isinstance(label, str) else list(label)
        if len(cultures) != len(rows.tokens):
            raise InputError(
                f"cache {number} has {len(rows.tokens)} rows and {len(cultures)} labels: give one "
                "culture for all its rows, or one for each."
            )
        if not all(isinstance(culture, str) and culture for culture in cultures):
            raise InputError(f"cache {number}: labels are names of cultures, not {cultures!r}.")
        check_finite(
            rows, cultures, [f"cache {number}, row {row}," for row in range(len(cultures))]
        )
        statistics.update(
            rows if magnitudes else ItemStatistics(rows.tokens, rows.counts), cultures
        )
    return statistics.summary({**facts, **(metadata or {})})


def together(
    caches: Iterable[Any], labels: Iterable[Any], masks: Iterable[Any] | None
) -> Iterator[tuple[Any, Any, Any]]:
    """Go through caches, labels and masks together; the mask is None where none are given.

    Raises:
        InputError: One of them ends before the others.
    """
    if isinstance(labels, str):
        raise InputError("labels: give a list with the culture of each cache, not one name.")
    ended = object()
    given = [caches, labels] if masks is None else [caches, labels, masks]
    for number, row in enumerate(zip_longest(*given, fillvalue=ended)):
        if any(one is ended for one in row):
            raise InputError(
                f"of caches, labels and masks some have {number} batches and some have more: give "
                "as many of each."
            )
        cache, label, *mask = row
        yield cache, label, mask[0] if mask else None


def hook_names(cache: Cache, hooks: Hooks | None) -> dict[str, list[str]]:
    """List the hook names of each site, layer by layer, that a cache has.

    Raises:
        InputError: It has none, or one that may belong to either of two sites.
    """
    held = list(cache.keys())
    if hooks is None:
        gated = any(name.endswith(".mlp.gate.hook_out") for name in held)
        both = any(name.startswith("encoder_blocks.") for name in held)
        hooks = hooks_of(gated, both)
        inside = [site for site, hook in hooks.items() if hook.endswith(".mlp.in.hook_out")]
        if not gated and any(hooks[site].format(layer=0) in held for site in inside):
            raise InputError(
                "the caches hold mlp.in.hook_out without mlp.gate.hook_out, which is site 'up' of "
                "an MLP with a gate and site 'gate' of one without: say which by "
                'model=, or by hooks={"up": "blocks.{layer}.mlp.in.hook_out"}.'
            )
    elif wrong := [hook for hook in hooks.values() if "{layer}" not in hook]:
        raise InputError(f"hooks: {wrong[0]!r} must have {{layer}} where the layer's number is.")
    found: dict[str, list[str]] = {}
    for site, hook in hooks.items():
        start, end = (re.escape(part) for part in hook.split("{layer}", 1))
        layers = sorted(
            int(m[1]) for name in held if (m := re.fullmatch(f"{start}(\\d+){end}", name))
        )
        if layers:
            found[site] = [hook.replace("{layer}", str(layer)) for layer in range(layers[-1] + 1)]
    if not found:
        example = held[0] if held else "nothing"
        raise unknown(
            "hook name",
            example,
            [hook.format(layer=0) for hook in hooks.values()],
            "Cache one of these, or give hooks=.",
        )
    return found


def rows_of(
    cache: Cache, names: Mapping[str, Sequence[str]], mask: Any, number: int, magnitudes: bool
) -> ItemStatistics:
    """Reduce a cache over its tokens: one row per item.

    Raises:
        InputError: A layer is missing, or shapes do not match each other or the mask.
    """
    made: dict[str, list[Tensor]] = {}
    for site, hooks in names.items():
        layers = []
        for layer, name in enumerate(hooks):
            if name not in cache:
                raise InputError(
                    f"cache {number} lacks layer {layer} of site {site!r} ({name}): cache all "
                    "layers of a site."
                )
            activation = cache[name].detach()
            if activation.ndim not in (3, 4):
                raise InputError(
                    f"cache {number}: {name} has the shape {tuple(activation.shape)}, not batch "
                    "pos neuron or batch pos head d_head: cache with remove_batch_dim=False."
                )
            mask = checked_mask(mask, activation, name, number)
            wide = torch.promote_types(activation.dtype, torch.float32)
            layers.append(reduce_tokens(activation, mask.to(activation.device, wide), magnitudes))
        made[site] = [
            torch.stack([row.cpu() for row in rows], 1) for rows in zip(*layers, strict=True)
        ]
    return ItemStatistics(
        tokens=mask.sum(1).long().cpu(),
        counts={site: parts[0].to(torch.int32) for site, parts in made.items()},
        sums={site: parts[1] for site, parts in made.items()},
        squares={site: parts[2] for site, parts in made.items()} if magnitudes else {},
    )


def checked_mask(mask: Any, activation: Tensor, name: str, number: int) -> Tensor:
    """Give the mask of an activation's tokens; all ones for a single row without one.

    Raises:
        InputError: There is none for several rows, its shape is another, or it is not 0 and 1.
    """
    shape = tuple(activation.shape[:2])
    if mask is None:
        if shape[0] > 1:
            raise InputError(
                f"cache {number} has {shape[0]} rows, whose padding cannot be told: give masks=, "
                "1 on the tokens that count (the attention mask, without BOS if you like)."
            )
        return torch.ones(shape)
    if not isinstance(mask, Tensor) or tuple(mask.shape) != shape:
        found = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise InputError(
            f"cache {number}: the mask is {found}, and {name} has tokens {shape}. Sites over the "
            "tokens of an encoder and of a decoder are summarised in two calls: see hooks=."
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise InputError(f"cache {number}: a mask is 1 on tokens that count and 0 on others.")
    return mask


__all__ = ["summary_from_caches"]
