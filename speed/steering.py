"""Steering by a localization direction: do answers move to the culture, and what do others lose?

    python speed/steering.py organism
    python speed/steering.py smollm2 --layers 15

**Organism.** The frame of a picture says which culture is meant. The direction of a culture is the
mean over pictures in its frame less the mean over pictures in a plain grey frame; it is added while
questions on other plain frames are asked. "Moved": of the questions whose options hold what the
culture says of the object, the share that is answered so. "Lost": what adding it does to questions
in the frames of other cultures.

**SmolLM2.** ``everyday``, four cultures; the direction is the mean with the country named less that
without it, on one half of the questions, added while the other half is asked without the country.
In a question group only the name differs, so that without it all cultures are asked the same, and
wrong options are answers of other countries.

Both print each strength beside one random direction of the same length for each culture, 95%
intervals clustered by question group.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import culture_lens as cl
from culture_lens.benchmarks.organism.world import (
    CULTURES,
    KNOWLEDGE,
    NAMES,
    WORDS,
    World,
    make_world,
)

QUIET = {"progress": False, "batch_size": 256}


def said(row, times: float = 100) -> str:
    """Write an estimate in points."""
    value, low, high = (times * row[end] for end in ("value", "low", "high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})".replace("-", "−")


def show(name: str, curve: cl.SteeringCurve, metrics: Sequence[str]) -> None:
    """Print the means over cultures at every strength, with random directions beside."""
    print(f"\n{name}\n| strength | " + " | ".join(f"{m} | {m}, random" for m in metrics) + " |")
    print("|---|" + "---|---|" * len(metrics))
    tables = {
        (metric, condition): curve.table(metric, condition)
        for metric in metrics
        for condition in ("found", "random")
    }
    for strength in curve.strengths:
        cells = [f"{strength:g}"]
        for table in tables.values():
            mean = table[(table["culture"] == "mean") & (table["strength"] == strength)]
            cells.append(said(mean.iloc[0]))
        print("| " + " | ".join(cells) + " |", flush=True)


def meant(questions: Sequence[cl.Question], cultures: Sequence[str]) -> list[cl.Question]:
    """Ask plain-frame questions of every culture whose word is an option: its word is right."""
    world, found = make_world(0), []
    for question in questions:
        kind, thing = question.metadata["kind"], question.metadata["object"]
        for culture in cultures:
            word = word_of(world, kind, thing, culture)
            if word in question.options:
                found.append(
                    replace(
                        question,
                        id=f"{question.id}/{culture}",
                        culture=culture,
                        answer=question.options.index(word),
                    )
                )
    return found


def word_of(world: World, kind: str, thing: str, culture: str) -> str:
    """Give what a culture says of an object."""
    fact = world.facts[KNOWLEDGE.index(kind), CULTURES.index(culture), NAMES.index(thing)]
    return WORDS[kind][fact]


def organism_directions(model: cl.LensModel, layer: int, position: str) -> cl.Directions:
    """Fit framed less plain of every culture, on pictures that are not asked about."""
    drawn = {"split": "identify", "pictures": 1, "seed": 1}
    framed = cl.load_benchmark("organism", **drawn)
    plain = cl.load_benchmark("organism", subset="plain", **drawn)
    found = {}
    for culture in CULTURES:
        own = [q for q in framed if q.culture == culture]
        two = cl.fit_directions(model, [*own, *plain], layer=layer, position=position, **QUIET)
        found[culture] = two[culture]
    return cl.Directions(found, metadata={"model": model.name, "contrast": "framed less plain",
                                          **cl.looked_at([*framed, *plain])})  # fmt: skip


def organism(asked: argparse.Namespace) -> None:
    """Steer the organism at every layer that is asked for."""
    model = cl.load_model("organism")
    drawn = {"split": "unseen", "seed": 1}
    plain = cl.load_benchmark("organism", subset="plain", pictures=2, **drawn)
    framed = cl.load_benchmark("organism", pictures=1, **drawn)[:: asked.every]
    moved = meant(plain, CULTURES)
    print(f"{len(moved)} questions on plain frames, {len(framed)} on frames of cultures")
    base = cl.evaluate(model, moved, scoring="letter", **QUIET)
    print(f"answered as the culture, without steering: {base.accuracy()}")
    for layer in asked.layers:
        directions = organism_directions(model, layer, asked.position)
        options = {"strengths": asked.strengths, "random_seeds": 1, "scoring": "letter", **QUIET}
        curve = cl.steering_curve(model, directions, moved, others=False, **options)
        show(f"moved, layer {layer}", curve, ["self"])
        lost = cl.steering_curve(model, directions, framed, **options)
        show(f"lost, layer {layer}", lost, ["self", "cross"])
        if asked.figure and layer == asked.layers[0]:
            cl.plots.save(cl.plots.dose_chart(curve), asked.figure)


def smollm2(asked: argparse.Namespace) -> None:
    """Steer SmolLM2 on everyday."""
    model = cl.load_model("smollm2-135m")
    questions = cl.load_benchmark("everyday", cultures=asked.cultures)
    identify, held_out = cl.split_questions(questions)
    held_out = [q for c in asked.cultures for q in
                [one for one in held_out if one.culture == c][: asked.items]]  # fmt: skip
    quiet = {"progress": False, "batch_size": 16}
    scoring = {"scoring": "option_likelihood"}
    gap = cl.localization_gap(model, held_out, **scoring, **quiet)
    print(gap.table().round(3).to_string(), flush=True)
    directions = cl.fit_directions(
        model, identify, layer=asked.layers[0], contrast="localization",
        position=asked.position, **quiet,
    )  # fmt: skip
    print(directions.to_pandas().to_string(), flush=True)
    curve = cl.steering_curve(
        model, directions, cl.without_country_named(held_out), strengths=asked.strengths,
        random_seeds=1, **scoring, **quiet,
    )  # fmt: skip
    curve.to_parquet(asked.folder / f"smollm2-{asked.layers[0]}.parquet")
    show(f"without the country named, layer {asked.layers[0]}", curve, ["self", "cross", "gap"])
    print(curve.table("self").to_string())
    if asked.figure:
        cl.plots.save(cl.plots.dose_chart(curve), asked.figure)


def main() -> None:
    """Steer and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=["organism", "smollm2"])
    parser.add_argument("--layers", type=int, nargs="+", default=[])
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--position", default="last")
    parser.add_argument("--every", type=int, default=2, help="ask one framed question of so many")
    parser.add_argument("--items", type=int, default=20, help="held-out questions of a culture")
    parser.add_argument("--cultures", nargs="+", default=["India", "Italy", "Japan", "Mexico"])
    parser.add_argument("--folder", type=Path, default=Path("runs"))
    parser.add_argument("--figure", help="write the chart of the first layer here")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", cl.CultureLensWarning)
    asked.layers = asked.layers or ([1, 2] if asked.model == "organism" else [15])
    asked.folder.mkdir(parents=True, exist_ok=True)
    {"organism": organism, "smollm2": smollm2}[asked.model](asked)


if __name__ == "__main__":
    main()
