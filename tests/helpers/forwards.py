"""Models that count their runs, that must not run, or that run out of memory."""

from collections.abc import Callable

import torch

from culture_lens.models.lens_model import LensModel

RUNS = (
    "run_prefix",
    "logits",
    "tree_logits",
    "differentiable_logits",
    "continuation_log_probs",
    "_forward",
)
"""The methods of a LensModel that run it."""


def counting(monkeypatch, stop_after=None):
    """Count the forwards with gradients; interrupt the one after ``stop_after``."""
    calls, forward = [], LensModel.differentiable_logits

    def counted(self, batch):
        if stop_after is not None and len(calls) == stop_after:
            raise KeyboardInterrupt
        calls.append([prompt.question.id for prompt in batch.prompts])
        return forward(self, batch)

    monkeypatch.setattr(LensModel, "differentiable_logits", counted)
    return calls


def must_not_run(monkeypatch) -> None:
    """Make every way to run a model an error."""

    def refuse(*_, **__):
        raise AssertionError("the model was run")

    for kind in (LensModel, *LensModel.__subclasses__()):
        for name in RUNS:
            if name in vars(kind):
                monkeypatch.setattr(kind, name, refuse)


def rows_refused_beyond(limit: int, function: Callable, rows: list[int]) -> Callable:
    """Wrap a LensModel method: note the rows of each batch, refuse more than ``limit`` of them."""

    def wrapped(self, batch, *args, **options):
        n = len(batch.prompts)
        if n > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        rows.append(n)
        return function(self, batch, *args, **options)

    return wrapped
