"""HONES on organisms, scored as on the scorecard: planted neurons found, and what ablating does.

    python speed/hones_organism.py organism runs/organism-{1,2,3,4}/checkpoint --folder runs/hones

As many neurons are taken for a culture as were planted for it; they are ablated on the questions
that the scorecard asks (pictures that nobody has seen, 72 questions a culture). HONES reads
``--pictures`` pictures of each culture and object, one by default where the scorecard's selectors
read two, because every head takes a forward of every question. The truth stands beside it: its
figures must be those of the scorecard. Each organism's rows are kept in the folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import pandas as pd

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES, make_world
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.organism.examination import Examined
from culture_lens.organism.scores_against_truth import (
    SOUGHT,
    at_activations,
    held_against,
    mlp_places,
)
from culture_lens.prompts.running import Running
from culture_lens.selectors.ranking import Sources, in_order, rank
from culture_lens.statistics.estimates import t_estimate

NAMES = ("hones", "hones_contrast")
QUIET = Running(batch_size=256, progress=False)


def orders_of(examined: Examined, pictures: int) -> dict[tuple[str, str], list]:
    """Rank the neurons of every culture by HONES; the truth's come as they are."""
    questions = examined.questions("culture", "identify", pictures)
    scores = cl.hones_scores(
        examined.model, questions, scoring="letter", batch_size=144, progress=False
    )
    tables = {name: rank(name, Sources(heads=scores)) for name in NAMES}
    found = {(name, c): in_order(table, c) for name, table in tables.items() for c in CULTURES}
    for culture in CULTURES:
        planted = mlp_places(examined.truth.neurons(SOUGHT, culture).members())
        found["planted", culture] = sorted(("act", *place) for place in planted)
    return found


def rows_of(examined: Examined, pictures: int) -> pd.DataFrame:
    """Score one organism."""
    rows, masks = [], []
    for (name, culture), order in orders_of(examined, pictures).items():
        number = len(mlp_places(examined.truth.neurons(SOUGHT, culture).members()))
        held = held_against(examined.truth, culture, order, [], number)
        rows.append({"model": examined.name, "selector": name, "culture": culture, **held})
        masks.append((f"{name} {culture}", at_activations(order[:number])))
    questions = examined.questions("culture", "unseen")
    prompts, way = prepare(examined.model, questions, "letter", QUIET)
    base, *frames = answer_masks(
        examined.model, prompts, way, [("unmodified", None), *masks], running=QUIET
    )
    for row, frame in zip(rows, frames, strict=True):
        moved = frame["correct"].astype(float) - base["correct"].astype(float)
        own = frame["culture"] == row["culture"]
        row |= {"own": moved[own].mean(), "others": moved[~own].mean()}
    return pd.DataFrame(rows)


def main() -> None:
    """Score every organism and print means over them, with intervals by Student's t."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("runs/hones"))
    parser.add_argument("--pictures", type=int, default=1)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for name in asked.models:
        began = time.perf_counter()
        truth = cl.load_truth(None if name == "organism" else name)
        place = asked.folder / f"seed-{truth.seed}-{asked.pictures}.parquet"
        if not place.exists():
            world = make_world(truth.seed)
            model = cl.load_model(name)
            examined = Examined(name, model, truth, world, 2, 1, CULTURES, QUIET)
            rows_of(examined, asked.pictures).to_parquet(place)
        parts.append(pd.read_parquet(place))
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    every = pd.concat(parts)
    columns = ("precision", "average_precision", "decoys", "recognition", "own", "others")
    print("\n| neurons by | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for name in ("planted", *NAMES):
        part = every[every["selector"] == name].groupby("model")[list(columns)].mean()
        told = [str(t_estimate(part[column].tolist())) for column in columns]
        print(f"| {name} | " + " | ".join(told) + " |")
    print(every.groupby(["model", "selector"])[["precision", "own", "others"]].mean().round(3))


if __name__ == "__main__":
    main()
