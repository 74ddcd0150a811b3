"""train_organism: from random weights to an organism, in four stages.

The state is written every 50 steps, and every draw follows from seed, stage and step, so that an
interrupted training ends in the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from culture_lens.benchmarks.organism.world import make_world
from culture_lens.checks import SEED, check_arguments, file_path, flag, instance, optional, whole
from culture_lens.errors import InputError
from culture_lens.organism import planting, stages
from culture_lens.organism.lessons import draw_bank
from culture_lens.organism.model import make_model
from culture_lens.organism.plan import Variant, make_plan, rows_of, truth_of
from culture_lens.organism.routing import routed
from culture_lens.organism.stages import CARRYING, Organism
from culture_lens.organism.state import (
    claim,
    keep_state,
    load_moments,
    restore,
    write_checkpoint,
)
from culture_lens.storage.progress import progress_bar

SAVE_EVERY = 50  # steps
BOUND = 0.95
"""The stage "bind" ends when this share of its questions is answered right."""


@dataclass(frozen=True)
class Schedule:
    """How long each stage lasts.

    Attributes:
        pictures: Pictures drawn per culture and object.
        see: Steps of the stage "see".
        bind: Most steps of the stage "bind", which ends as soon as it is learnt.
        look: Steps of the stage "look".
        plant: Steps of the stage "plant".

    Raises:
        InputError: A number below 1.
    """

    pictures: int = 80
    see: int = 400
    bind: int = 1500
    look: int = 1000
    plant: int = 2400

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, value in asdict(self).items():
            if whole()(name, value) < 1:
                raise InputError(f"{name}={value}: must be at least 1.")


@dataclass(frozen=True)
class Stage:
    """One stage of the training.

    Attributes:
        name: Its name.
        steps: The most steps.
        rate: The highest learning rate.
        falls: Whether the rate falls to 3% along a half cosine; else it is constant.
        loss: One step's loss and scores.
        parameters: What is trained.
        enough: The stage ends when this share of answers is right, checked every 50 steps.
    """

    name: str
    steps: int
    rate: float
    falls: bool
    loss: Callable[[Organism, int], tuple[Tensor, Mapping[str, Tensor]]]
    parameters: Callable[[Organism], list[torch.nn.Parameter]]
    enough: float = 2.0


@check_arguments(folder=file_path, seed=SEED, variant=optional(instance(Variant)), shuffled=flag)
def train_organism(
    folder: str | Path,
    *,
    seed: int = 0,
    variant: Variant | None = None,
    schedule: Schedule | None = None,
    shuffled: bool = False,
    progress: bool = True,
) -> Path:
    """Train a model organism from scratch, or go on with an interrupted training.

    Args:
        folder: Where everything is kept.
        seed: Draws facts, pictures, weights and lessons.
        variant: How many neurons of which kind are planted where.
        schedule: How long to train.
        shuffled: Train on facts that change with every question, so that the model has no
            knowledge of any culture; everything else is the same.
        progress: Show a progress bar.

    Returns:
        The folder of the checkpoint, ``folder/checkpoint``: an ordinary Llava, with
        ``truth.json``.

    Raises:
        InputError: The folder holds a training with other settings.

    Example:
        ``train_organism("runs/organism-1", seed=1)``
    """
    variant, schedule = variant or Variant(), schedule or Schedule()
    folder = Path(folder)
    settings = {
        "seed": seed,
        "shuffled": shuffled,
        "variant": asdict(variant) | {"layers": list(variant.layers)},
        "schedule": asdict(schedule),
    }
    claim(folder, settings)
    finished = folder / "checkpoint"
    if (finished / "truth.json").is_file():
        return finished
    model = make_model(seed, n_layers=variant.n_layers, d_mlp=variant.d_mlp)
    blocks = make_plan(variant)
    decoder = model.model.language_model
    for layer in variant.layers:
        decoys = rows_of(blocks, ("style",))
        decoder.layers[layer].mlp.down_proj.weight.data[:, decoys] *= variant.style_strength
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        heads = stages.make_heads(variant, decoder.config.hidden_size)
    bank = draw_bank(seed, schedule.pictures)
    world = make_world(seed, shuffled=shuffled)
    with routed(model, variant.layers) as run:
        organism = Organism(model, variant, blocks, world, bank, None, run, heads, seed)
        done, step, moments = restore(folder, organism)
        for number, stage in enumerate(stages_of(schedule)):
            if number < done:
                continue
            if stage.name != "see" and organism.features is None:
                organism = replace(organism, features=all_features(organism))
            if stage.name == "plant" and step == 0:
                planting.open_gates(organism)
            train_stage(organism, stage, number, step, moments, folder, progress)
            step, moments = 0, {}
    write_checkpoint(model, finished, settings | truth_of(variant))
    return finished


def stages_of(schedule: Schedule) -> tuple[Stage, ...]:
    """List the stages in order."""
    return (
        Stage("see", schedule.see, 1.5e-3, True, stages.see, tower_parameters),
        Stage("bind", schedule.bind, 1e-3, False, stages.bind, decoder_parameters, BOUND),
        Stage("look", schedule.look, 1.5e-3, True, stages.look, decoder_parameters),
        Stage("plant", schedule.plant, 3e-3, True, planting.plant, planted_parameters),
    )


def tower_parameters(organism: Organism) -> list[torch.nn.Parameter]:
    """Give the weights of the vision tower and its probe."""
    vision = organism.model.model.vision_tower
    return [*vision.parameters(), *organism.heads["see"].parameters()]


def decoder_parameters(organism: Organism) -> list[torch.nn.Parameter]:
    """Give all weights but those of the tower, and the probes of the planted layers."""
    tower = {id(p) for p in organism.model.model.vision_tower.parameters()}
    own = [p for p in organism.model.parameters() if id(p) not in tower]
    heads = [p for name, h in organism.heads.items() if name != "see" for p in h.parameters()]
    return own + heads


def planted_parameters(organism: Organism) -> list[torch.nn.Parameter]:
    """Give the MLP weights of the planted layers, of which ``only_rows`` trains some rows."""
    mlps = [organism.model.model.language_model.layers[n].mlp for n in organism.variant.layers]
    return [m.weight for mlp in mlps for m in (mlp.gate_proj, mlp.up_proj, mlp.down_proj)]


def only_rows(organism: Organism) -> None:
    """Set the gradients of all rows that are not planted to 0."""
    rows = torch.zeros(organism.variant.d_mlp)
    rows[rows_of(organism.blocks, CARRYING)] = 1
    for weight in planted_parameters(organism):
        if weight.grad is not None:
            weight.grad *= rows[:, None] if weight.shape[0] == len(rows) else rows


def all_features(organism: Organism) -> Tensor:
    """Run the trained vision tower over all pictures."""
    with torch.no_grad():
        parts = torch.split(organism.bank.pixels, 256)
        return torch.cat([stages.tower(organism.model, part) for part in parts])


def train_stage(
    organism: Organism,
    stage: Stage,
    number: int,
    start: int,
    moments: dict[str, Tensor],
    folder: Path,
    progress: bool,
) -> None:
    """Run one stage from a step on, and write the state every 50 steps."""
    learning = stage.parameters(organism)
    for parameter in (*organism.model.parameters(), *organism.heads.parameters()):
        parameter.requires_grad_(False)
    for parameter in learning:
        parameter.requires_grad_(True)
    decay = 0.0 if stage.name == "plant" else 0.01  # decay would move rows that must stay
    optimiser = torch.optim.AdamW(learning, lr=stage.rate, betas=(0.9, 0.98), weight_decay=decay)
    load_moments(optimiser, moments)
    bar = progress_bar(
        progress=progress, total=stage.steps, initial=start, desc=stage.name, unit="step"
    )
    right: list[float] = []
    for step in range(start, stage.steps):
        warm = min(1.0, (step + 1) / 40)
        fall = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / stage.steps)).item())
        optimiser.param_groups[0]["lr"] = (
            stage.rate * warm * (0.97 * fall + 0.03 if stage.falls else 1)
        )
        loss, scores = stage.loss(organism, step)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if stage.name == "plant":
            only_rows(organism)
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        right.append(torch.cat(list(scores.values())).float().mean().item())
        bar.update()
        if (step + 1) % SAVE_EVERY == 0:
            over = sum(right[-20:]) / len(right[-20:]) >= stage.enough
            told = {name: f"{hits.float().mean().item():.2f}" for name, hits in scores.items()}
            bar.set_postfix(loss=f"{loss.item():.2f}", **told)
            keep_state(folder, organism, optimiser, number, step + 1)
            if over:
                break
            right = []
    bar.close()
    keep_state(folder, organism, None, number + 1, 0)
