"""What a fine-tuning is made with: checked before it begins, kept beside what comes out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from culture_lens.errors import CultureLensWarning, InputError, unknown
from culture_lens.finetune.examples import Example
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import check_batch_size
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.storage.runs import content_key

ABOVE_ZERO = ("learning_rate", "epochs")
AT_LEAST = {"accumulate": 1, "max_steps": 0, "keep_weight": 0}


def check_training(lens: LensModel, training: Mapping[str, Any]) -> None:
    """Refuse settings out of range; warn of weights too coarse to be trained.

    Raises:
        InputError: Names the setting.
    """
    check_batch_size(training["batch_size"])
    for name in ABOVE_ZERO:
        if not training[name] > 0:
            raise InputError(f"{name}={training[name]}: give a number above 0.")
    for name, least in AT_LEAST.items():
        if training[name] < least:
            raise InputError(f"{name}={training[name]}: give {least} or more.")
    if lens.dtype != torch.float32:
        warnings.warn(
            f"the weights of {lens.name!r} are {lens.dtype}: most updates of a learning rate of "
            f"{training['learning_rate']:g} are rounded away; load it in float32, and give "
            "mixed_precision=True where there is a GPU.",
            CultureLensWarning,
            stacklevel=3,
        )


def check_report_to(name: str, folder: str | Path | None) -> None:
    """Refuse a place to log to that is unknown, not installed, or would be lost.

    Raises:
        InputError: Names what there is, what to install, or what to give.

    Example:
        >>> check_report_to("none", None)
    """
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    if name in ("none", "all"):
        return
    if name not in INTEGRATION_TO_CALLBACK:
        raise unknown("report_to", name, ("none", "all", *sorted(INTEGRATION_TO_CALLBACK)))
    if name not in get_available_reporting_integrations():
        raise InputError(
            f"report_to={name!r}: its package is not installed (often: pip install {name}); "
            "install it, or leave report_to out."
        )
    if name == "tensorboard" and folder is None and "TENSORBOARD_LOGGING_DIR" not in os.environ:
        raise InputError("report_to='tensorboard' writes files: give folder= to keep them in.")


def describe(
    lens: LensModel,
    examples: Sequence[Example],
    reference: Sequence[Example],
    neurons: Mapping[str, Neurons | None],
) -> dict[str, Any]:
    """Say what a training reads and which neurons it goes by, large things by their hash."""
    members = {name: None if n is None else sorted(n.members()) for name, n in neurons.items()}
    return {
        "model": lens.name,
        "revision": lens.revision,
        "weights": lens.fingerprint,
        "dtype": str(lens.dtype),
        "questions": len(examples),
        **{name: 0 if given is None else len(given) for name, given in neurons.items()},
        "hashes": {
            "examples": content_key([content(example) for example in examples]),
            "reference": content_key([content(example) for example in reference]),
            "neurons": content_key(members),
        },
    }


def content(example: Example) -> tuple[Any, ...]:
    """Give what a model sees of an example."""
    return example.prompt.all_ids, picture_key(example.prompt), example.answer
