"""measure_rate: how many operations a second this machine reaches with a model that is loaded.

Two kinds of forwards of random tokens, a small one and a large one, give two equations:
seconds = operations / rate + seconds of a forward beside them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from culture_lens.checks import check_arguments, whole
from culture_lens.experiments.planning.operations import Counted, forward_operations
from culture_lens.experiments.planning.passes import one_forward
from culture_lens.experiments.planning.shape import ModelShape, shape_of
from culture_lens.models.checks import MODEL
from culture_lens.models.lens_model import LensModel
from culture_lens.storage.display import Shown

SMALL, LARGE = (1, 8), (8, 128)
"""Rows and tokens of the forwards."""


@dataclass(frozen=True, repr=False)
class Rate(Shown):
    """What a machine reaches; made by ``measure_rate``.

    Attributes:
        flops_per_second: Operations a second.
        seconds_per_forward: What a forward takes beside its operations.

    Example:
        >>> Rate(1e11, 0.01).options
        {'flops_per_second': 100000000000.0, 'seconds_per_forward': 0.01}
    """

    flops_per_second: float
    seconds_per_forward: float

    @property
    def options(self) -> dict[str, float]:
        """The options of ``plan`` that take it."""
        return {
            "flops_per_second": self.flops_per_second,
            "seconds_per_forward": self.seconds_per_forward,
        }


@check_arguments(model=MODEL, rounds=whole(1))
def measure_rate(
    model: LensModel, *, rounds: int = 3, clock: Callable[[], float] = time.perf_counter
) -> Rate:
    """Measure how fast a model's forwards run on this machine, in a few seconds.

    Args:
        model: The model.
        rounds: Pairs of forwards, after one that is not timed; the median of each counts.
        clock: Gives seconds; ``time.process_time`` on one thread leaves out what other work takes.

    Example:
        ``plan("smollm2-135m", **measure_rate(load_model("smollm2-135m")).options)``
    """
    shape = shape_of(model.name, model.bridge.original_model.config)
    times: dict[tuple[int, int], list[float]] = {SMALL: [], LARGE: []}
    for number in range(rounds + 1):
        for size, found in times.items():
            seconds = timed(model, *size, clock)
            if number:
                found.append(seconds)
    few, many = (operations_of(shape, *size) for size in (SMALL, LARGE))
    short, long = (statistics.median(times[size]) for size in (SMALL, LARGE))
    rate = (many - few) / max(long - short, 1e-9)
    return Rate(rate, max(0.0, short - few / rate))


@torch.inference_mode()
def timed(model: LensModel, rows: int, tokens: int, clock: Callable[[], float]) -> float:
    """Time a forward of random tokens."""
    hf_model = model.bridge.original_model
    ids = torch.randint(0, 100, (rows, tokens), device=model.device)
    given: dict[str, Any] = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "use_cache": False,
    }
    if hf_model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids[:, :1]
    else:
        given["logits_to_keep"] = 1
    settle(model.device)
    start = clock()
    hf_model(**given)
    settle(model.device)
    return clock() - start


def settle(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations_of(shape: ModelShape, rows: int, tokens: int) -> float:
    """Count the operations of such a forward."""
    if shape.encoder is None:
        return forward_operations(shape, one_forward(rows, tokens, tokens, rows))
    counted = one_forward(rows, 1, 1 + tokens, rows)
    encoder = Counted(encoder_tokens=rows * tokens, encoder_pairs=rows * tokens * tokens)
    return forward_operations(shape, counted.plus(encoder))


__all__ = ["Rate", "measure_rate"]
