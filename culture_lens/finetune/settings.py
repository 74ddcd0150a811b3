"""What a fine-tuning is made with: option records, their checks, and what is written of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch

from culture_lens.checks import (
    SEED,
    check_fields,
    file_path,
    finite,
    flag,
    optional,
    text,
    whole,
)
from culture_lens.errors import InputError, unknown, warn
from culture_lens.finetune.examples import Example
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.shared_prefix import picture_key
from culture_lens.storage.runs import content_key

ABOVE_ZERO = ("learning_rate", "epochs")
AT_LEAST = {
    "batch_size": 1,
    "accumulate": 1,
    "max_steps": 0,
    "keep_weight": 0,
    "lora_rank": 1,
}


class TrainingOptions(TypedDict, total=False):
    """The fields of ``Training`` as keyword arguments."""

    learning_rate: float
    epochs: float
    max_steps: int | None
    batch_size: int
    accumulate: int
    seed: int
    mixed_precision: bool
    keep_weight: float
    lora_rank: int | None


@dataclass(frozen=True)
class Training:
    """How the weights are trained; all of it changes the result.

    Attributes:
        learning_rate: Of AdamW, constant; CULNIG takes 3e-5.
        epochs: How often each question is seen.
        max_steps: The most steps, whatever ``epochs`` says.
        batch_size: Questions per forward.
        accumulate: Batches per step.
        seed: Draws the order of the questions, dropout, and LoRA's first weights.
        mixed_precision: Compute in bfloat16 while the weights stay in float32.
        keep_weight: Weight of the penalty on the neurons given as ``keep``.
        lora_rank: Train LoRA of this rank instead of the weights, with alpha twice the rank, and
            merge it. Needs peft.

    Raises:
        InputError: A number out of range.

    Example:
        >>> Training(epochs=2.0).learning_rate
        3e-05
    """

    learning_rate: float = 3e-5
    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 8
    accumulate: int = 1
    seed: int = 0
    mixed_precision: bool = False
    keep_weight: float = 1.0
    lora_rank: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        counts = ("batch_size", "accumulate")
        check_fields(self, **dict.fromkeys((*ABOVE_ZERO, "keep_weight"), finite))
        check_fields(self, **dict.fromkeys(counts, whole()), seed=SEED, mixed_precision=flag)
        check_fields(self, max_steps=optional(whole()), lora_rank=optional(whole()))
        for name in ABOVE_ZERO:
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)}: give a number above 0.")
        for name, least in AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name}={value}: give {least} or more.")


class SavingOptions(TypedDict, total=False):
    """The fields of ``Saving`` as keyword arguments."""

    folder: str | Path | None
    save_every: int | None
    report_to: str
    progress: bool
    callbacks: Sequence[Any]


@dataclass(frozen=True)
class Saving:
    """Where a training is saved, logged and shown; none of it changes the result.

    Attributes:
        folder: Where the model is saved as an ordinary Hugging Face checkpoint with a card. A
            finished training is found again there, an interrupted one goes on.
        save_every: Steps between checkpoints of the training; needs ``folder``.
        report_to: ``"none"``, ``"tensorboard"`` (into ``folder/runs``), ``"wandb"`` or another
            name that Trainer knows.
        progress: Show progress bars.
        callbacks: More of Trainer's callbacks.

    Raises:
        InputError: ``save_every`` below 1 or without a folder, or a logger that is unknown, not
            installed, or has no folder to write to.

    Example:
        ``Saving(folder="tuned", save_every=100)``
    """

    folder: str | Path | None = None
    save_every: int | None = None
    report_to: str = "none"
    progress: bool = True
    callbacks: Sequence[Any] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot be saved or logged."""
        check_fields(
            self,
            folder=optional(file_path),
            save_every=optional(whole()),
            report_to=text,
            progress=flag,
        )
        if self.save_every is not None and (self.folder is None or self.save_every < 1):
            raise InputError("save_every= is a number of steps from 1 on, and needs folder=.")
        check_report_to(self.report_to, self.folder)


class FinetuneOptions(TrainingOptions, SavingOptions, total=False):
    """The fields of ``Training`` and ``Saving`` as keyword arguments."""


def check_report_to(name: str, folder: str | Path | None) -> None:
    """Refuse a logger that is unknown, not installed, or has no folder to write to.

    Raises:
        InputError: Names the known loggers, what to install, or what to give.

    Example:
        >>> check_report_to("none", None)
    """
    if name in ("none", "all"):
        return
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    if name not in INTEGRATION_TO_CALLBACK:
        raise unknown("report_to", name, ("none", "all", *sorted(INTEGRATION_TO_CALLBACK)))
    if name not in get_available_reporting_integrations():
        raise InputError(
            f"report_to={name!r}: its package is not installed (often: pip install {name}); "
            "install it, or leave report_to out."
        )
    if name == "tensorboard" and folder is None and "TENSORBOARD_LOGGING_DIR" not in os.environ:
        raise InputError("report_to='tensorboard' writes files: give folder= to keep them in.")


def check_together(
    training: Training, neurons: Mapping[str, Neurons | None], keep_on: Any = None
) -> None:
    """Refuse options that exclude each other.

    Args:
        training: How the weights are trained.
        neurons: The neurons given as ``protect``, ``only`` and ``keep``.
        keep_on: The questions given for ``keep``.

    Raises:
        InputError: Says which to leave out.
    """
    if keep_on is not None and neurons["keep"] is None:
        raise InputError("keep_on= says where to keep neurons: give them as keep=.")
    if training.lora_rank is not None and any(
        neurons[name] is not None for name in ("protect", "only")
    ):
        raise InputError("LoRA changes whole modules: give protect= or only= without lora_rank.")


def say_if_coarse(lens: LensModel, training: Training) -> None:
    """Warn of weights in a dtype too coarse for the updates of a training."""
    if lens.dtype != torch.float32:
        warn(
            f"the weights of {lens.name!r} are {lens.dtype}: most updates of a learning rate of "
            f"{training.learning_rate:g} are rounded away; load it in float32, and give "
            "mixed_precision=True where there is a GPU."
        )


def describe_inputs(
    lens: LensModel,
    examples: Sequence[Example],
    reference: Sequence[Example],
    neurons: Mapping[str, Neurons | None],
) -> dict[str, Any]:
    """Describe model, questions and neurons of a training, large things by their hash."""
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
    """Give the parts of an example that a model sees."""
    return example.prompt.all_ids, picture_key(example.prompt), example.answer
