"""score_selectors: every selector on organisms, whose culture neurons are known.

The steps, for each organism and culture:
1. Each selector ranks all neurons. As many are taken as were planted for the culture (its own and
   those shared with its kin), or all discoveries of a selector with a false discovery rate.
2. Those taken are compared with the planted neurons, with the planted neurons that have an effect
   when ablated alone, and with the decoys.
3. Those taken are ablated.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from culture_lens.benchmarks.organism.world import CULTURES, make_world
from culture_lens.checks import SEED, any_names, check_arguments, each, file_path, whole
from culture_lens.errors import InputError, unknown
from culture_lens.models.load import load_model
from culture_lens.organism.examination import (
    Examined,
    after_ablation,
    effects_alone,
    sources_for,
)
from culture_lens.organism.scores_against_truth import (
    SOUGHT,
    at_activations,
    held_against,
    mlp_places,
)
from culture_lens.organism.truth import load_truth
from culture_lens.organism.variants import DISCOVERIES, SCORED
from culture_lens.prompts.running import Running, RunningOptions
from culture_lens.selectors.ranking import get_ranking, in_order, rank
from culture_lens.selectors.registry import key_of
from culture_lens.statistics.estimates import Estimate, t_estimate
from culture_lens.statistics.tables import numeric
from culture_lens.storage.progress import progress_bar
from culture_lens.storage.records import ResultRecord
from culture_lens.storage.runs import versions

if TYPE_CHECKING:
    import pandas as pd

PLANTED, EFFECTIVE = "planted", "effective"
"""The truth itself in the place of a selector: the best that one could reach."""
AGAINST_TRUTH = (
    *("precision", "recall", "average_precision"),
    *("effective_precision", "effective_recall", "effective_average_precision"),
    *(f"recall_{kind}" for kind in SOUGHT),
)
TAKEN = ("taken", "decoys", "recognition", "other_cultures")
CHANGED = ("own", "others", "controls", "country")


class Scorecard(ResultRecord):
    """The scores of selectors on organisms, one record per organism, selector and culture.

    Attributes:
        frame: One row per organism, selector and culture; see the table.
        metadata: Models, pictures, seed, versions.

    =========================  =================================================================
    column                     meaning
    =========================  =================================================================
    model, selector, culture   the organism, the selector, the culture whose neurons are sought
    sought, taken              how many neurons were planted, and how many were taken
    precision, recall          against the planted neurons; equal where as many are taken;
                               precision is 0 where nothing is taken
    average_precision          of the whole ranking, against the planted neurons
    effective_...              the same against the neurons that have an effect when ablated alone
    recall_...                 recall of the planted neurons of one kind
    decoys, recognition        share of the culture's decoys and recognition neurons that is taken
    other_cultures             share of those taken that carry other cultures only
    own, others                change of accuracy after ablation, on the culture's own questions
                               and on those of others
    controls, country          the same on questions that need no culture, and on the country
    =========================  =================================================================

    Example:
        ``print(score_selectors(["organism"]).summary())``
    """

    what = "a scorecard"

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
        known = (*AGAINST_TRUTH, *TAKEN, *CHANGED)
        if column not in known:
            raise unknown("column", column, known)
        part = self.frame[self.frame["selector"] == selector]
        return t_estimate(part.groupby("model", sort=True)[column].mean().tolist())

    def summary(self, columns: Sequence[str] = ()) -> pd.DataFrame:
        """Put selectors against columns, with intervals; all columns if none are named."""
        import pandas as pd

        wanted = tuple(columns) or (*AGAINST_TRUTH, *TAKEN, *CHANGED)
        rows = {s: {c: self.estimate(s, c) for c in wanted} for s in self.selectors}
        return numeric(pd.DataFrame.from_dict(rows, orient="index", columns=list(wanted)))

    def _main_table(self) -> pd.DataFrame:
        return self.summary(("precision", *TAKEN, *CHANGED))


@check_arguments(
    models=each(file_path, "folders of organisms, or 'organism'"),
    selectors=any_names,
    pictures=whole(1),
    seed=SEED,
    cultures=any_names,
)
def score_selectors(
    models: Sequence[str | Path] = ("organism",),
    selectors: Sequence[str] = (),
    *,
    pictures: int = 2,
    seed: int = 1,
    cultures: Sequence[str] = (),
    **running: Unpack[RunningOptions],
) -> Scorecard:
    """Score selectors on organisms.

    Args:
        models: ``"organism"``, or checkpoints of ``culture-lens organism train``.
        selectors: Names from ``variants.SCORED``; all if none are given. The planted neurons and
            the effective ones are always scored beside them.
        pictures: Pictures per culture and object, of either half.
        seed: Draws them; no seed gives a picture of the training.
        cultures: Whose neurons are sought; all cultures if none are given.
        **running: Batch size, progress, run folder, prompts that are too long; see ``Running``.

    Raises:
        InputError: An unknown selector or culture, no organism, one given twice or trained
            without knowledge, or too few pictures for strata.

    Example:
        ``score_selectors(["organism", "runs/organism-1/checkpoint"]).summary()``
    """
    import pandas as pd

    how = Running.of(running)
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
    records: list[dict[str, Any]] = []
    for name, truth in progress_bar(truths.items(), desc="organisms", progress=how.progress):
        lens, world = load_model(name), make_world(truth.seed)
        examined = Examined(name, lens, truth, world, pictures, seed, asked, how)
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
    sources = sources_for(examined, names)
    # The organism's seed draws the random neurons, so that no two organisms have the same.
    tables = {name: rank(name, sources, seed=truth.seed, among=SCORED) for name in names}
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
    changes = after_ablation(examined, masks, [str(record["culture"]) for record in records])
    return [record | change for record, change in zip(records, changes, strict=True)]
