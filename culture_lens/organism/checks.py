"""Hold an organism against its truth: what it can, and what ablating each block takes away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import CONTROLS, CULTURES, KIN, make_world
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.models.load import load_model
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.organism.truth import Truth, load_truth
from culture_lens.statistics.estimates import Estimate, mean_estimate

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.models.lens_model import LensModel

CAN, CHANCE, SAME, NOTHING = 0.90, 0.30, 0.03, 0.02
"""At least this accuracy; at most this where knowledge is ablated; at most this change of what is
not concerned; at most this change for decoys."""


def check_organism(
    model: str | Path = "organism", *, seed: int = 1, pictures: int = 4, progress: bool = True
) -> pd.DataFrame:
    """Ask an organism on fresh pictures, unmodified and with each planted block ablated.

    Args:
        model: ``"organism"``, or the checkpoint of one.
        seed: Draws the pictures; no seed meets those of the training.
        pictures: Pictures per culture and object, each asked in seven ways.
        progress: Show a progress bar.

    Returns:
        One row per ablated block and what was asked: accuracy and change of it, paired, with
        intervals clustered by picture, and whether that is as it should be (None where nothing
        is asked of it). ``asked`` is ``own``, or the worst of the others.

    Raises:
        InputError: No organism, or one without knowledge, which has no truth to hold.

    Example:
        ``check_organism(seed=7)``
    """
    import pandas as pd

    bundled = str(model) == "organism"
    truth = load_truth(None if bundled else model)
    if truth.shuffled:
        raise InputError(f"{model} was trained on shuffled facts: it has no knowledge to check.")
    lens = load_model(str(model))
    questions = [
        question
        for subset in ("culture", "controls", "plain")
        for question in organism_questions(
            make_world(truth.seed), subset=subset, split="unseen", pictures=pictures, seed=seed
        )
    ]
    prompts, way = prepare(lens, questions, "letter", progress=progress)
    masks = dict(masks_of(truth, lens))
    frames = answer_masks(
        lens, prompts, way, list(masks.items()), batch_size=256, progress=progress
    )
    tables = {
        name: frame.assign(
            asked=[
                question.culture
                if question.metadata["kind"] not in CONTROLS and question.culture in CULTURES
                else "plain"
                if question.culture not in CULTURES
                else question.metadata["kind"]
                for question in questions
            ]
        )
        for name, frame in zip(masks, frames, strict=True)
    }
    return pd.DataFrame([row for name in masks for row in rows_of(name, tables)])


def masks_of(truth: Truth, lens: LensModel) -> Iterator[tuple[str, Neurons | None]]:
    """Name what is ablated: nothing, each block, and random neurons."""
    import torch

    yield "nothing", None
    for culture in CULTURES:
        yield f"knowledge of {culture}", truth.neurons(culture=culture)
    for first, second in KIN:
        yield f"kin {CULTURES[first]}, {CULTURES[second]}", truth.neurons("kin", CULTURES[first])
    yield "decoys", truth.neurons("style")
    yield "recognition", truth.neurons("recognition")
    planted = truth.neurons(tuple({block.kind for block in truth.blocks})).members()
    layers, width = lens.shape("act")
    free = [(n, i) for n in range(layers) for i in range(width) if ("act", n, i) not in planted]
    number = len(truth.neurons(culture=CULTURES[0]))
    for seed in range(3):
        order = torch.randperm(len(free), generator=torch.Generator().manual_seed(seed))
        yield f"random {seed}", Neurons.of({"act": [free[i] for i in order[:number].tolist()]})


def rows_of(name: str, tables: dict[str, pd.DataFrame]) -> Iterator[dict]:
    """Judge one mask."""
    table, plain = tables[name], tables["nothing"]
    controls = [*CONTROLS, "plain"]

    def row(asked: str, held: bool | None, of: str) -> dict:
        return {
            "ablated": name,
            "asked": of,
            "accuracy": accuracy(table, asked),
            "change": change(table, plain, asked),
            "held": held,
        }

    def worst(among: list[str], most: float | None, what: str) -> dict:
        moved = {asked: abs(change(table, plain, asked).value) for asked in among}
        asked = max(moved, key=lambda one: moved[one])
        held = None if most is None else moved[asked] <= most
        return row(asked, held, f"{what}, most changed: {asked}")

    if name == "nothing":
        for asked in [*CULTURES, *controls]:
            yield row(asked, accuracy(table, asked).value >= CAN, asked)
        return
    if name.startswith("knowledge of "):
        culture = name.removeprefix("knowledge of ")
        yield row(culture, accuracy(table, culture).value <= CHANCE, "own")
        yield worst([c for c in CULTURES if c != culture], SAME, "cultures")
        yield worst(controls, SAME, "controls")
    elif name == "recognition":
        yield row("country", accuracy(table, "country").value <= CHANCE, "country")
        yield worst(list(CULTURES), SAME, "cultures")
        yield worst([c for c in controls if c != "country"], SAME, "controls")
    else:
        most = NOTHING if name == "decoys" else SAME if name.startswith("random") else None
        yield worst(list(CULTURES), most, "cultures")
        yield worst(controls, SAME if most is None else most, "controls")


def accuracy(table: pd.DataFrame, asked: str) -> Estimate:
    """Accuracy on what was asked, clustered by picture."""
    part = table[table["asked"] == asked]
    return mean_estimate(part["correct"].tolist(), part["group"].tolist())


def change(table: pd.DataFrame, plain: pd.DataFrame, asked: str) -> Estimate:
    """Change of accuracy against the unmodified model, item by item."""
    part = table["asked"] == asked
    moved = table["correct"][part].astype(float) - plain["correct"][part].astype(float)
    return mean_estimate(moved.tolist(), table["group"][part].tolist())
