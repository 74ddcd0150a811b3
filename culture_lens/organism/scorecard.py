"""Score every selector on organisms, whose culture neurons are known.

Each selector ranks all neurons for each culture; as many are taken as were planted for it (its own
and its kin's), and held against what was planted, against what takes effect when silenced alone,
and against the decoys. The same neurons are then silenced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from culture_lens.benchmarks.organism import organism_questions
from culture_lens.confidence import Estimate, mean_estimate, t_estimate
from culture_lens.culnig import culnig_scores
from culture_lens.errors import InputError, unknown
from culture_lens.evaluation import answer_masks, prepare
from culture_lens.find import summarise
from culture_lens.items import Question
from culture_lens.lens import LensModel
from culture_lens.models import load_model
from culture_lens.neurons import Neurons
from culture_lens.organism.against import (
    SOUGHT,
    Place,
    at_activations,
    held_against,
    mlp_places,
)
from culture_lens.organism.truth import Truth, load_truth
from culture_lens.organism.world import CULTURES, World, make_world
from culture_lens.ranking import RANKINGS, Sources, get_ranking, in_order
from culture_lens.runs import Run, versions
from culture_lens.selectors.random import random
from culture_lens.storage import load_table, save_table

if TYPE_CHECKING:
    import pandas as pd

PLANTED, EFFECTIVE = "planted", "effective"
"""The truth itself, as if it were a selector: what the best one could reach."""
FOUND = ("precision", "average_precision", "effective_precision", "effective_recall",
         "effective_average_precision", *(f"recall_{kind}" for kind in SOUGHT))  # fmt: skip
TAKEN = ("decoys", "recognition", "other_cultures")
CHANGED = ("own", "others", "controls", "country")
PLAIN_CONTROLS = ("colour", "count", "object", "plain")
BATCH = 256
"""Questions per pass: the model is small."""


@dataclass(frozen=True, eq=False)
class Scorecard:
    """How selectors did on organisms, one record per organism, selector and culture.

    Attributes:
        frame: Columns model, selector, culture; ``sought`` and ``taken``, numbers of neurons;
            ``precision`` and ``average_precision`` against the planted ones, the same with
            ``effective_`` against those that take effect when silenced alone, and the
            recall of these and of each planted kind (precision at the planted number is recall
            too, where a selector takes as many); ``decoys`` and ``recognition``, the share of the
            culture's own that was taken; ``other_cultures``, the share of what was taken that
            carries others only; ``own``, ``others``, ``controls`` and ``country``, changes of
            accuracy when it is silenced.
        metadata: Models, pictures, seed, versions.

    Example:
        ``print(score_selectors(["organism"]).summary())``
    """

    frame: pd.DataFrame
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def selectors(self) -> tuple[str, ...]:
        """The selectors, in the order of the table."""
        return tuple(dict.fromkeys(self.frame["selector"]))

    def estimate(self, selector: str, column: str) -> Estimate:
        """Estimate a column's mean over cultures and organisms, with an interval over organisms.

        Raises:
            InputError: No such selector or column.

        Example:
            ``card.estimate("conact", "precision")``
        """
        if selector not in self.selectors:
            raise unknown("selector", selector, self.selectors)
        known = (*FOUND, *TAKEN, *CHANGED)
        if column not in known:
            raise unknown("column", column, known)
        part = self.frame[self.frame["selector"] == selector]
        return t_estimate(part.groupby("model", sort=True)[column].mean().tolist())

    def summary(self, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Put selectors against columns, each cell an Estimate; all columns if none are named."""
        import pandas as pd

        wanted = tuple(columns) or (*FOUND, *TAKEN, *CHANGED)
        rows = {s: {c: self.estimate(s, c) for c in wanted} for s in self.selectors}
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(wanted))

    def to_parquet(self, path: str | Path) -> Path:
        """Write records and metadata into one parquet file."""
        return save_table(path, self.frame, self.metadata)

    @classmethod
    def from_parquet(cls, path: str | Path) -> Scorecard:
        """Read records that ``to_parquet`` wrote.

        Raises:
            InputError: The file is missing, damaged, or something else.
        """
        return cls(*load_table(path, "a scorecard"))


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


def score_selectors(
    models: Sequence[str | Path] = ("organism",),
    selectors: Sequence[str] = (),
    *,
    pictures: int = 2,
    seed: int = 1,
    cultures: Sequence[str] = (),
    progress: bool = True,
    run: Run | str | Path | None = None,
) -> Scorecard:
    """Score selectors on organisms.

    Args:
        models: ``"organism"``, or checkpoints of ``culture-lens organism train``.
        selectors: Names from ``RANKINGS``; all if none are given. The truth itself and the
            effective neurons are always beside them.
        pictures: Pictures per culture and object, of either half.
        seed: Draws them; no seed meets those of the training.
        cultures: Whose neurons are sought; of all cultures if none are given.
        progress: Show progress bars.
        run: A run folder; finished pieces are kept and found again.

    Raises:
        InputError: An unknown selector or culture, no organism, one given twice, or one without
            knowledge, in which there is nothing to find.

    Example:
        ``score_selectors(["organism", "runs/organism-1/checkpoint"]).summary()``
    """
    import pandas as pd

    names = tuple(selectors) or tuple(RANKINGS)
    for name in names:
        get_ranking(name)
    if len({str(model) for model in models}) != len(models) or not models:
        raise InputError(f"models={list(models)}: name one organism or more, each once.")
    for culture in cultures:
        if culture not in CULTURES:
            raise unknown("culture", culture, CULTURES)
    asked = tuple(cultures) or CULTURES
    truths = {}
    for model in models:
        truths[str(model)] = load_truth(None if str(model) == "organism" else model)
        if truths[str(model)].shuffled:
            raise InputError(f"{model} was trained on shuffled facts: there is nothing to find.")
    folder = Run.open(run) if run is not None else None
    records: list[dict[str, Any]] = []
    for name, truth in tqdm(truths.items(), desc="organisms", disable=not progress):
        lens, world = load_model(name), make_world(truth.seed)
        examined = Examined(name, lens, truth, world, pictures, seed, asked, folder, progress)
        records += score_one(examined, names)
    metadata = {
        "models": list(truths),
        "pictures": pictures,
        "seed": seed,
        "cultures": list(asked),
        "versions": versions(),
    }
    return Scorecard(pd.DataFrame(records), metadata)


def score_one(examined: Examined, names: Sequence[str]) -> list[dict[str, Any]]:
    """Score selectors on one organism."""
    truth = examined.truth
    takes_effect = {
        culture: [place for place, effect in effects.items() if effect.high < 0]
        for culture, effects in effects_alone(examined).items()
    }
    sources = sources_of(examined)
    tables = {name: get_ranking(name)(sources) for name in names}
    if "random" in tables and sources.summary is not None:  # others for each organism
        tables["random"] = random(sources.summary, seed=truth.seed)
    records, masks = [], []
    for culture in examined.cultures:
        sought = mlp_places(truth.neurons(SOUGHT, culture).members())
        orders = {PLANTED: sorted(("act", *place) for place in sought)}
        orders[EFFECTIVE] = sorted(("act", *place) for place in takes_effect[culture])
        orders |= {name: in_order(table, culture) for name, table in tables.items()}
        for name, order in orders.items():
            chosen = order[: len(sought)]
            facts = {"model": examined.name, "selector": name, "culture": culture}
            counts = {"sought": len(sought), "taken": len(chosen)}
            records.append(
                facts | counts | held_against(truth, culture, order, takes_effect[culture])
            )
            masks.append((f"{name} {culture}", at_activations(chosen)))
    changes = silenced(examined, masks, [str(record["culture"]) for record in records])
    return [record | change for record, change in zip(records, changes, strict=True)]


# ------------------------------------------------------------------ what selectors read


def sources_of(examined: Examined) -> Sources:
    """Record and attribute once; every selector reads the same."""
    asked = examined.questions("culture", "identify")
    options: dict[str, Any] = {"progress": examined.progress, "run": examined.run}
    return Sources(
        summarise(examined.model, asked, sites="act", batch_size=BATCH, **options),
        culnig_scores(
            examined.model,
            asked,
            countryrc=examined.questions("country", "identify"),
            batch_size=64,
            **options,
        ),
    )


def effects_alone(examined: Examined) -> dict[str, dict[Place, Estimate]]:
    """Silence each neuron that a culture's knowledge was planted in by itself.

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


# ------------------------------------------------------------------ silenced


def silenced(
    examined: Examined, masks: Sequence[tuple[str, Neurons]], cultures: Sequence[str]
) -> Iterator[dict[str, float]]:
    """Silence what was taken for each culture; give changes of accuracy on pictures unseen."""
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
        label=f"silencing in {examined.name}",
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
