"""Checks before results are kept: finite logits, no hooks around the call."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.checks import instance
from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import Batch

MODEL = instance(LensModel, remedy="a model that load_model gives")
"""The check of an argument that takes a model."""
MODEL_OR_NAME = instance(LensModel, str, Path, remedy="a model, or a name for load_model")


def check_logits(logits: Float[Tensor, "item vocab"], batch: Batch) -> None:
    """Raise an error for logits that are NaN or infinite.

    Raises:
        InputError: With the question.
    """
    bad = ~torch.isfinite(logits).all(-1)
    if bad.any():
        question = batch.prompts[int(bad.nonzero()[0])].question
        raise InputError(
            f"the model gives NaN or infinite logits on question {question.id!r}: load it in "
            "bfloat16 or float32 (float16 overflows), or check its weights."
        )


def check_unhooked(model: LensModel) -> None:
    """Raise an error where results would be kept while hooks are attached.

    The key of a kept result names the model and the neurons that the call ablates, but not hooks
    around the call.

    Raises:
        InputError: A hook is attached.
    """
    if model.is_hooked:
        raise InputError(
            f"hooks are attached to {model.name!r}, and results kept in a run folder would not "
            "know of them: give the neurons to the call itself, or leave out run=."
        )
