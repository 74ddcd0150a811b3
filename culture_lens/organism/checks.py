"""Check an organism: what it answers, and what ablating each planted block takes away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import CONTROLS, CULTURES, KIN, make_world
from culture_lens.checks import SEED, check_arguments, file_path, whole
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.models.load import load_model
from culture_lens.neurons.neurons import Neurons
from culture_lens.organism.model import ORGANISM_BATCH
from culture_lens.organism.truth import Truth, load_truth
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.questions.question import Question
from culture_lens.statistics.estimates import CHANGES, SHARES, Estimate, mean_estimate
from culture_lens.statistics.tables import numeric

if TYPE_CHECKING:
    import pandas as pd

    from culture_lens.models.lens_model import LensModel

ABLE = 0.90
"""At least this accuracy of the unmodified model."""
LOST = 0.30
"""At most this accuracy where the knowledge is ablated."""
UNCHANGED, DECOYS_UNCHANGED = 0.03, 0.02
"""At most this change of everything else; at most this change where decoys are ablated."""


@check_arguments(model=file_path, seed=SEED, pictures=whole(1))
def check_organism(
    model: str | Path = "organism",
    *,
    seed: int = 1,
    pictures: int = 4,
    **running: Unpack[RunningOptions],
) -> pd.DataFrame:
    """Ask an organism about new pictures, unmodified and with each planted block ablated.

    Args:
        model: ``"organism"``, or the checkpoint of one.
        seed: Draws the pictures; no seed gives a picture of the training.
        pictures: Pictures per culture and object, with seven questions on each.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Returns:
        One row per ablated block and what was asked: its accuracy and its change, paired, with
        intervals clustered by picture, and whether that is within its bound (None without a
        bound). ``asked`` is ``own``, or the worst of the others.

    Raises:
        InputError: No organism, or one trained without knowledge.

    Example:
        ``check_organism(seed=7)``
    """
    import pandas as pd

    how = Running.of(running)
    how = replace(how, batch_size=how.rows(ORGANISM_BATCH))
    truth = load_truth(None if str(model) == "organism" else model)
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
    prompts, way = prepare(lens, questions, "letter", how)
    masks = dict(planted_masks(truth, lens))
    frames = answer_masks(lens, prompts, way, list(masks.items()), running=how)
    asked = [asked_of(prompt.question) for prompt in prompts]
    tables = {name: frame.assign(asked=asked) for name, frame in zip(masks, frames, strict=True)}
    return numeric(pd.DataFrame([row for name in masks for row in verdicts(name, tables)]))


def asked_of(question: Question) -> str:
    """Name the set that a question belongs to: a culture, a control, or plain frames."""
    if question.culture not in CULTURES:
        return "plain"
    kind = str(question.metadata["kind"])
    return kind if kind in CONTROLS else question.culture


def planted_masks(truth: Truth, lens: LensModel) -> Iterator[tuple[str, Neurons | None]]:
    """Name the masks: the unmodified model, each block, and random neurons."""
    import torch

    yield "unmodified", None
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


def verdicts(name: str, tables: Mapping[str, pd.DataFrame]) -> Iterator[dict[str, Any]]:
    """Compare what one mask changes with its bounds."""
    table, plain = tables[name], tables["unmodified"]
    controls = [*CONTROLS, "plain"]

    def row(asked: str, held: bool | None, of: str) -> dict[str, Any]:
        return {
            "ablated": name,
            "asked": of,
            "accuracy": accuracy(table, asked),
            "change": change(table, plain, asked),
            "held": held,
        }

    def worst(among: list[str], most: float | None, what: str) -> dict[str, Any]:
        moved = {asked: abs(change(table, plain, asked).value) for asked in among}
        asked = max(moved, key=lambda one: moved[one])
        held = None if most is None else moved[asked] <= most
        return row(asked, held, f"{what}, most changed: {asked}")

    if name == "unmodified":
        for asked in [*CULTURES, *controls]:
            yield row(asked, accuracy(table, asked).value >= ABLE, asked)
        return
    if name.startswith("knowledge of "):
        culture = name.removeprefix("knowledge of ")
        yield row(culture, accuracy(table, culture).value <= LOST, "own")
        yield worst([c for c in CULTURES if c != culture], UNCHANGED, "cultures")
        yield worst(controls, UNCHANGED, "controls")
    elif name == "recognition":
        yield row("country", accuracy(table, "country").value <= LOST, "country")
        yield worst(list(CULTURES), UNCHANGED, "cultures")
        yield worst([c for c in controls if c != "country"], UNCHANGED, "controls")
    else:
        most = UNCHANGED if name.startswith("random") else None
        most = DECOYS_UNCHANGED if name == "decoys" else most
        yield worst(list(CULTURES), most, "cultures")
        yield worst(controls, UNCHANGED if most is None else most, "controls")


def accuracy(table: pd.DataFrame, asked: str) -> Estimate:
    """Accuracy on what was asked, clustered by picture."""
    part = table[table["asked"] == asked]
    return mean_estimate(part["correct"].tolist(), part["group"].tolist(), bounds=SHARES)


def change(table: pd.DataFrame, plain: pd.DataFrame, asked: str) -> Estimate:
    """Change of accuracy against the unmodified model, item by item."""
    part = table["asked"] == asked
    moved = table["correct"][part].astype(float) - plain["correct"][part].astype(float)
    return mean_estimate(moved.tolist(), table["group"][part].tolist(), bounds=CHANGES)
