"""The files of an organism's training, each written whole or not at all.

    settings.json       what the training was started with
    state.safetensors   weights and optimiser, written every 50 steps
    checkpoint/         the finished model, and truth.json

A training that is given its folder again goes on from the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from culture_lens.errors import InputError, warn
from culture_lens.organism.model import save
from culture_lens.organism.stages import Organism
from culture_lens.organism.truth import KIND as TRUTH
from culture_lens.storage.files import (
    load_hashed_json,
    load_tensors,
    save_hashed_json,
    save_tensors,
)
from culture_lens.storage.parts import make_folder, writing

STATE, KIND = "state.safetensors", "state of a training"
SETTINGS = "settings of a training"


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Take a folder for a training.

    Raises:
        InputError: It holds a training with other settings.
    """
    file = folder / "settings.json"
    if not file.is_file():
        save_hashed_json(file, SETTINGS, settings)
    elif load_hashed_json(file, SETTINGS) != settings:
        raise InputError(
            f"{folder} holds a training with other settings (see {file}): give another folder."
        )


def keep_state(folder: Path, organism: Organism, optimiser: Any, number: int, step: int) -> None:
    """Write weights and optimiser.

    Args:
        folder: The folder of the training.
        organism: What is trained.
        optimiser: The optimiser, or None between stages.
        number: The stage to go on with.
        step: The step to go on with.
    """
    tied = "lm_head.weight"
    weights = {f"model.{k}": v for k, v in organism.model.state_dict().items() if k != tied}
    weights |= {f"heads.{k}": v for k, v in organism.heads.state_dict().items()}
    if optimiser is not None:
        for index, moment in optimiser.state_dict()["state"].items():
            weights |= {f"moment.{index}.{name}": value for name, value in moment.items()}
    save_tensors(folder / STATE, KIND, weights, {"stage": number, "step": step})


def restore(folder: Path, organism: Organism) -> tuple[int, int, dict[str, Tensor]]:
    """Load the last state into the organism; one that is damaged is not used, with a warning.

    Returns:
        The stage and the step to go on with, and the optimiser's moments; stage 0 and step 0
        where nothing was written yet, or what was written is damaged.
    """
    file = folder / STATE
    if not file.is_file():
        return 0, 0, {}
    try:
        tensors, place = load_tensors(file, KIND)
    except InputError as error:
        warn(f"{error} The training begins anew.")
        return 0, 0, {}

    def part(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

    # Without the output layer, whose weights are those of the embedding.
    organism.model.load_state_dict(part("model."), strict=False)
    organism.heads.load_state_dict(part("heads."))
    return place["stage"], place["step"], part("moment.")


def load_moments(optimiser: torch.optim.Optimizer, moments: dict[str, Tensor]) -> None:
    """Load saved moments into a new optimiser."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        index, _, field = name.partition(".")
        state.setdefault(int(index), {})[field] = value
    if state:
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def write_checkpoint(model: Any, folder: Path, truth: Mapping[str, Any]) -> None:
    """Write the finished checkpoint; ``truth.json`` comes last and shows that it is whole."""
    with writing(make_folder(folder)):
        save(model, folder)
    save_hashed_json(folder / "truth.json", TRUTH, truth)
