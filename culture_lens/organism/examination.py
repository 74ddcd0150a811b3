"""An organism under examination: what selectors read of it, and what ablating does to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from culture_lens.activations.resampling import PERMUTATIONS
from culture_lens.attribution.culnig import culnig_scores
from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import CULTURES, World
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.find import summarise
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import Neurons
from culture_lens.organism.scores_against_truth import SOUGHT, Place, mlp_places
from culture_lens.organism.truth import Truth
from culture_lens.organism.variants import STRATUM, WITHIN_STRATA
from culture_lens.questions.question import Question
from culture_lens.selectors.ranking import Sources
from culture_lens.statistics.estimates import Estimate, mean_estimate
from culture_lens.storage.runs import Run

PLAIN_CONTROLS = ("colour", "count", "object", "plain")
BATCH = 256
"""Questions per pass: the model is small."""


@dataclass(frozen=True, eq=False)
class Examined:
    """One organism under examination.

    Attributes:
        name: What the table calls it.
        model: The model.
        truth: What was planted.
        world: What is true.
        pictures: Pictures per culture and object.
        seed: Draws them.
        cultures: The cultures whose neurons are sought.
        run: Where finished pieces are kept, or nothing.
        progress: Show progress bars.
    """

    name: str
    model: LensModel
    truth: Truth
    world: World
    pictures: int
    seed: int
    cultures: tuple[str, ...]
    run: Run | None
    progress: bool

    def questions(self, subset: str, split: str, pictures: int | None = None) -> list[Question]:
        """Draw questions."""
        return organism_questions(
            self.world,
            subset=subset,
            split=split,
            pictures=pictures or self.pictures,
            seed=self.seed,
        )


# ------------------------------------------------------------------ what selectors read


def sources_of(examined: Examined, names: Sequence[str]) -> Sources:
    """Record and attribute once; every selector reads the same.

    What counts with the weights of strata is a pass of its own, and only where it is asked for.
    """
    asked = examined.questions("culture", "identify")
    options: dict[str, Any] = {"progress": examined.progress, "run": examined.run}
    recorded: dict[str, Any] = {"sites": "act", "batch_size": BATCH, **options}
    stratified = None
    if WITHIN_STRATA in names:  # first, for it refuses where no stratum has every culture
        stratified = summarise(examined.model, asked, strata=STRATUM, **recorded)
    return Sources(
        summarise(examined.model, asked, replicates=PERMUTATIONS, **recorded),
        culnig_scores(
            examined.model,
            asked,
            countryrc=examined.questions("country", "identify"),
            batch_size=64,
            **options,
        ),
        stratified,
    )


def effects_alone(examined: Examined) -> dict[str, dict[Place, Estimate]]:
    """Ablate each neuron that a culture's knowledge was planted in by itself.

    Returns:
        Culture -> place -> change of P(right letter) over the culture's own questions, clustered
        by picture.
    """
    found: dict[str, dict[Place, Estimate]] = {}
    # Twice the pictures: a single neuron's effect is small.
    asked = examined.questions("culture", "evaluate", 2 * examined.pictures)
    for culture in examined.cultures:
        places = sorted(mlp_places(examined.truth.neurons(SOUGHT, culture).members()))
        own = [question for question in asked if question.culture == culture]
        prompts, way = prepare(examined.model, own, "letter", progress=False)
        masks: list[tuple[str, Neurons | None]] = [("nothing", None)]
        masks += [(f"{place}", Neurons.of({"act": [place]})) for place in places]
        base, *alone = answer_masks(
            examined.model,
            prompts,
            way,
            masks,
            batch_size=BATCH,
            progress=False,
            run=examined.run,
        )
        found[culture] = {
            place: mean_estimate(
                (frame["p_gold"] - base["p_gold"]).tolist(), frame["group"].tolist()
            )
            for place, frame in zip(places, alone, strict=True)
        }
    return found


# ------------------------------------------------------------------ ablated


def ablated(
    examined: Examined, masks: Sequence[tuple[str, Neurons]], cultures: Sequence[str]
) -> Iterator[dict[str, float]]:
    """Ablate what was taken for each culture; give changes of accuracy on pictures unseen."""
    questions = [
        *examined.questions("culture", "unseen"),
        *examined.questions("controls", "unseen", 1),
        *examined.questions("plain", "unseen", 1),
    ]
    prompts, way = prepare(examined.model, questions, "letter", progress=False)
    base, *frames = answer_masks(
        examined.model,
        prompts,
        way,
        [("unmodified", None), *masks],
        batch_size=BATCH,
        progress=examined.progress,
        label=f"ablating in {examined.name}",
        run=examined.run,
    )
    asked = [
        "plain"
        if question.culture not in CULTURES
        else "culture"
        if question.metadata["kind"] not in (*PLAIN_CONTROLS, "country")
        else question.metadata["kind"]
        for question in questions
    ]
    kinds = base["id"].map({q.id: kind for q, kind in zip(questions, asked, strict=True)})
    for culture, frame in zip(cultures, frames, strict=True):
        moved = frame["correct"].astype(float) - base["correct"].astype(float)
        of_cultures = moved[kinds == "culture"]
        own = frame["culture"][kinds == "culture"] == culture
        yield {
            "own": float(of_cultures[own].mean()),
            "others": float(of_cultures[~own].mean()),
            "controls": float(moved[kinds.isin(PLAIN_CONTROLS)].groupby(kinds).mean().mean()),
            "country": float(moved[kinds == "country"].mean()),
        }
