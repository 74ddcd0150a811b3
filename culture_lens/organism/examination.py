"""One organism: what selectors are given of it, and what ablating its neurons changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from culture_lens.activations.resampling import PERMUTATIONS
from culture_lens.benchmarks.organism import organism_questions
from culture_lens.benchmarks.organism.world import CULTURES, World
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.find import sources_of
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neurons import Neurons
from culture_lens.organism.model import ORGANISM_BATCH
from culture_lens.organism.scores_against_truth import SOUGHT, LayerIndex, mlp_places
from culture_lens.organism.truth import Truth
from culture_lens.organism.variants import STRATUM, WITHIN_STRATA
from culture_lens.prompts.running import Running
from culture_lens.questions.question import Question
from culture_lens.selectors.ranking import Sources
from culture_lens.statistics.estimates import UNBOUNDED, Estimate, mean_estimate

PLAIN_CONTROLS = ("colour", "count", "object", "plain")
GRADIENT_BATCH = 64
"""Questions per forward and backward where nothing else is said."""


@dataclass(frozen=True, eq=False)
class Examined:
    """One organism that selectors are scored on.

    Attributes:
        name: Its name in the table.
        model: The model.
        truth: What was planted.
        world: The facts of its world.
        pictures: Pictures per culture and object.
        seed: Draws them.
        cultures: The cultures whose neurons are sought.
        running: Batch size, progress, run folder.
    """

    name: str
    model: LensModel
    truth: Truth
    world: World
    pictures: int
    seed: int
    cultures: tuple[str, ...]
    running: Running

    def questions(self, subset: str, split: str, pictures: int | None = None) -> list[Question]:
        """Draw questions."""
        return organism_questions(
            self.world,
            subset=subset,
            split=split,
            pictures=pictures or self.pictures,
            seed=self.seed,
        )

    def run_with(self, default: int) -> Running:
        """Give how passes run, with a default of questions per forward."""
        return replace(self.running, batch_size=self.running.rows(default))


# ------------------------------------------------------------------ what selectors read


def sources_for(examined: Examined, names: Sequence[str]) -> Sources:
    """Record and attribute once, for all selectors.

    Counts weighted by strata take a recording pass of their own, run only where they are needed.
    """
    return sources_of(
        examined.model,
        examined.questions("culture", "identify"),
        activation={
            "sites": "act",
            "replicates": PERMUTATIONS,
            **vars(examined.run_with(ORGANISM_BATCH)),
        },
        gradient={
            "countryrc": examined.questions("country", "identify"),
            **vars(examined.run_with(GRADIENT_BATCH)),
        },
        knowledge={
            "countryrc": examined.questions("country", "identify"),
            **vars(examined.run_with(GRADIENT_BATCH)),
        }
        if "knowledge" in names
        else None,
        heads={"scoring": "letter", **vars(examined.run_with(ORGANISM_BATCH))}
        if any(name in names for name in ("hones", "hones_contrast"))
        else None,
        strata=STRATUM if WITHIN_STRATA in names else None,
    )


def effects_alone(examined: Examined) -> dict[str, dict[LayerIndex, Estimate]]:
    """Ablate each planted neuron of a culture's knowledge alone.

    Returns:
        Culture -> place -> change of P(right letter) over the culture's own questions, clustered
        by picture.
    """
    found: dict[str, dict[LayerIndex, Estimate]] = {}
    how = replace(examined.run_with(ORGANISM_BATCH), progress=False)
    # Twice the pictures: a single neuron's effect is small.
    asked = examined.questions("culture", "evaluate", 2 * examined.pictures)
    for culture in examined.cultures:
        places = sorted(mlp_places(examined.truth.neurons(SOUGHT, culture).members()))
        own = [question for question in asked if question.culture == culture]
        prompts, way = prepare(examined.model, own, "letter", how)
        masks: list[tuple[str, Neurons | None]] = [("unmodified", None)]
        masks += [(f"{place}", Neurons.of({"act": [place]})) for place in places]
        base, *alone = answer_masks(examined.model, prompts, way, masks, running=how)
        found[culture] = {
            place: mean_estimate(
                (frame["p_gold"] - base["p_gold"]).tolist(),
                frame["group"].tolist(),
                bounds=UNBOUNDED,
            )
            for place, frame in zip(places, alone, strict=True)
        }
    return found


# ------------------------------------------------------------------ what ablating changes


def after_ablation(
    examined: Examined, masks: Sequence[tuple[str, Neurons]], cultures: Sequence[str]
) -> Iterator[dict[str, float]]:
    """Ablate each mask and give its changes of accuracy on new pictures.

    Args:
        examined: The organism.
        masks: Names, for the progress bar, and neurons.
        cultures: The culture of each mask.

    Yields:
        For each mask the mean change on its culture's questions (``own``), on those of the other
        cultures, on controls and on the question of the country.
    """
    questions = [
        *examined.questions("culture", "unseen"),
        *examined.questions("controls", "unseen", 1),
        *examined.questions("plain", "unseen", 1),
    ]
    how = examined.run_with(ORGANISM_BATCH)
    prompts, way = prepare(examined.model, questions, "letter", replace(how, progress=False))
    base, *frames = answer_masks(
        examined.model,
        prompts,
        way,
        [("unmodified", None), *masks],
        label=f"ablating in {examined.name}",
        running=how,
    )
    kinds = base["id"].map({question.id: set_of(question) for question in questions})
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


def set_of(question: Question) -> str:
    """Name the set of a question: ``"culture"``, one of the controls, or ``"country"``."""
    if question.culture not in CULTURES:
        return "plain"
    kind = str(question.metadata["kind"])
    return kind if kind in (*PLAIN_CONTROLS, "country") else "culture"
