"""Score every selector on organisms, whose culture neurons are known.

Each selector ranks all neurons for each culture; as many are taken as were planted for it (its own
and its kin's), or all that are discovered where the selector has a false discovery rate. They are
held against what was planted, against what takes effect when ablated alone, and against the
decoys. The same neurons are then ablated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from culture_lens.benchmarks.organism.world import CULTURES, make_world
from culture_lens.errors import InputError, unknown
from culture_lens.models.load import load_model
from culture_lens.organism.examination import Examined, ablated, effects_alone, sources_of
from culture_lens.organism.scores_against_truth import (
    SOUGHT,
    at_activations,
    held_against,
    mlp_places,
)
from culture_lens.organism.truth import load_truth
from culture_lens.organism.variants import DISCOVERIES, SCORED
from culture_lens.selectors.random import random
from culture_lens.selectors.ranking import get_ranking, in_order
from culture_lens.selectors.registry import key_of
from culture_lens.statistics.estimates import Estimate, t_estimate
from culture_lens.storage.files import load_table, save_table
from culture_lens.storage.runs import Run, versions

if TYPE_CHECKING:
    import pandas as pd

PLANTED, EFFECTIVE = "planted", "effective"
"""The truth itself, as if it were a selector: what the best one could reach."""
FOUND = ("precision", "recall", "average_precision", "effective_precision", "effective_recall",
         "effective_average_precision", *(f"recall_{kind}" for kind in SOUGHT))  # fmt: skip
TAKEN = ("taken", "decoys", "recognition", "other_cultures")
CHANGED = ("own", "others", "controls", "country")


@dataclass(frozen=True, eq=False)
class Scorecard:
    """How selectors did on organisms, one record per organism, selector and culture.

    Attributes:
        frame: Columns model, selector, culture; ``sought`` and ``taken``, numbers of neurons;
            ``precision`` (0 where nothing is taken), ``recall`` and ``average_precision`` against
            the planted ones; the same with ``effective_`` against those that take effect when
            ablated alone; the recall of each planted kind; ``decoys`` and ``recognition``, the
            share of the culture's own that was taken; ``other_cultures``, the share of what was
            taken that carries others only; ``own``, ``others``, ``controls`` and ``country``,
            changes of accuracy when it is ablated. Precision at the planted number is recall too;
            what is taken at a false discovery rate has a number of its own.
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
        selectors: Names from ``variants.SCORED``, the rankings and what is discovered or
            stratified; all if none are given. The truth itself and the effective neurons are
            always beside them.
        pictures: Pictures per culture and object, of either half.
        seed: Draws them; no seed meets those of the training.
        cultures: Whose neurons are sought; of all cultures if none are given.
        progress: Show progress bars.
        run: A run folder; finished pieces are kept and found again.

    Raises:
        InputError: An unknown selector or culture, no organism, one given twice, or one without
            knowledge, in which there is nothing to find; too few pictures for strata.

    Example:
        ``score_selectors(["organism", "runs/organism-1/checkpoint"]).summary()``
    """
    import pandas as pd

    names = tuple(dict.fromkeys(map(key_of, selectors))) or tuple(SCORED)
    for name in names:
        get_ranking(name, SCORED)
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
    sources = sources_of(examined, names)
    tables = {name: get_ranking(name, SCORED)(sources) for name in names}
    if "random" in tables and sources.summary is not None:  # others for each organism
        tables["random"] = random(sources.summary, seed=truth.seed)
    takes_effect = {
        culture: [place for place, effect in effects.items() if effect.high < 0]
        for culture, effects in effects_alone(examined).items()
    }
    records, masks = [], []
    for culture in examined.cultures:
        sought = mlp_places(truth.neurons(SOUGHT, culture).members())
        orders = {PLANTED: sorted(("act", *place) for place in sought)}
        orders[EFFECTIVE] = sorted(("act", *place) for place in takes_effect[culture])
        orders |= {name: in_order(table, culture) for name, table in tables.items()}
        for name, order in orders.items():
            number = len(order) if name in DISCOVERIES else len(sought)
            chosen = order[:number]
            facts = {"model": examined.name, "selector": name, "culture": culture}
            counts = {"sought": len(sought), "taken": len(chosen)}
            held = held_against(truth, culture, order, takes_effect[culture], number)
            records.append(facts | counts | held)
            masks.append((f"{name} {culture}", at_activations(chosen)))
    changes = ablated(examined, masks, [str(record["culture"]) for record in records])
    return [record | change for record, change in zip(records, changes, strict=True)]
