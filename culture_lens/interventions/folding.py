"""Ablate neurons in the weights: their columns of the output projection are zero for a while.

An MLP neuron n adds a[n] w[n] to the residual stream, w[n] being its column of the down projection;
an element of z does the same with a column of the output projection. a[n] = 0 by a hook and
w[n] = 0 give the same products in the same order, so results are equal to the last bit, and the
forward is a bare one. Gate and up come before the product: where they are 0, so is it, as
act(0) = 0 for the activation functions of these models.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from culture_lens.models.lens_model import LensModel
from culture_lens.models.sites import part_of
from culture_lens.neurons.hooks import Value
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.weight_norms import OUTGOING_INPUT

ZERO_AT_ZERO = ("silu", "swish", "relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast")
"""Activation functions that give 0 at 0, by their names in the configuration."""
FOLDED_DTYPES = (torch.float32, torch.float64, torch.bfloat16)
"""In float16 an activation may be infinite, and infinity times 0 is no number."""
Columns = tuple[Tensor, int, Tensor]
"""A weight, the axis of its inputs, and some of them."""


def can_fold(model: LensModel, neurons: Neurons, value: Value) -> bool:
    """Say whether an ablation can be folded into the weights with the same result.

    Not for values other than zero, for q, k and v, for float16, or for weights that are quantised,
    offloaded or wrapped.

    Example:
        ``can_fold(model, found["Japan"], "zero")``
    """
    zero = (
        value == "zero" if isinstance(value, str) else isinstance(value, (int, float)) and not value
    )
    if not zero or model.dtype not in FOLDED_DTYPES:
        return False
    for site, places in neurons.places.items():
        if not len(places):
            continue
        part = part_of(site)
        if part not in OUTGOING_INPUT or (part == "gate" and not zero_at_zero(model)):
            return False
        if any(projection(model, site, layer) is None for layer in set(places[:, 0].tolist())):
            return False
    return True


def zero_at_zero(model: LensModel) -> bool:
    """Say whether the activation function of the MLPs is known to give 0 at 0."""
    config = model.bridge.original_model.config.get_text_config()
    names = (getattr(config, n, None) for n in ("hidden_act", "hidden_activation"))
    name = next((n for n in names if n), getattr(config, "activation_function", None))
    return name in ZERO_AT_ZERO


def projection(model: LensModel, site: str, layer: int) -> tuple[Tensor, int] | None:
    """Give the weight behind a site at a layer, and the axis of its inputs; None if not plain.

    Example:
        ``projection(model, "act", 3)[0]`` is the down projection of layer 3
    """
    from transformers.pytorch_utils import Conv1D

    source = site[: -len(part_of(site))] + OUTGOING_INPUT[part_of(site)]
    place = model.hook_name(source, layer).removesuffix(".hook_in")
    module: Any = model.bridge.get_submodule(place).original_component
    if type(module) not in (torch.nn.Linear, Conv1D):
        return None
    axis = 1 if isinstance(module, torch.nn.Linear) else 0
    weight = module.weight
    if weight.is_meta or weight.dtype not in FOLDED_DTYPES or type(weight.data) is not Tensor:
        return None
    if weight.shape[axis] != model.shape(site)[1]:
        return None
    return weight, axis


@contextmanager
def folded(model: LensModel, neurons: Neurons) -> Iterator[None]:
    """Ablate neurons to zero in the weights for the time of the block, whatever ends it.

    The columns are put back bit for bit, on errors and on interruption too. The weights' version
    counters do not move, so that the model's fingerprint needs no new hash.

    Args:
        model: The model; two threads must not use it at the same time.
        neurons: Neurons for which ``can_fold`` is true.

    Example:
        ``with folded(model, found["Japan"]): model.logits(batch)``
    """
    columns = columns_of(model, neurons)
    before = [weight.index_select(axis, at) for weight, axis, at in columns]
    try:
        for weight, axis, at in columns:
            weight.index_fill_(axis, at, 0)
        yield
    finally:
        with uninterrupted():
            for (weight, axis, at), values in zip(columns, before, strict=True):
                weight.index_copy_(axis, at, values)


def columns_of(model: LensModel, neurons: Neurons) -> list[Columns]:
    """List the columns of some neurons: one of act, gate, up or post is the same column."""
    chosen: dict[tuple[str, int], tuple[Tensor, int, set[int]]] = {}
    for site, places in neurons.places.items():
        for layer, index in places.tolist():
            key = (OUTGOING_INPUT[part_of(site)] + site[: -len(part_of(site))], layer)
            if key not in chosen:
                found = projection(model, site, layer)
                assert found is not None  # can_fold has said so
                chosen[key] = (found[0].data, found[1], set())  # .data: no version is counted
            chosen[key][2].add(index)
    return [
        (weight, axis, torch.tensor(sorted(held), device=weight.device))
        for weight, axis, held in chosen.values()
    ]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let an interruption by the user wait until the block is done.

    By a signal handler, so only in the main thread; elsewhere Python raises no KeyboardInterrupt.

    Example:
        >>> with uninterrupted():
        ...     print("whole")
        whole
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[Any] = []
    before = signal.signal(signal.SIGINT, lambda *given: late.append(given))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
        if late and callable(before):
            before(*late[-1])


__all__ = ["can_fold", "folded", "projection", "uninterrupted"]
