"""How much of the preparation of pictures is hidden behind the model by threads.

    python speed/pictures.py
    python speed/pictures.py --photographs path/to/k_viscuit

The organism on its own drawings, and a random LLaVA of 4 layers of 256 on photographs (those of
K-Viscuit, a local copy; without it on drawings of 640 x 480). torch has one thread. ``prepared`` is
the time that all pictures take to be read, decoded, resized and normalised, one after another;
``hidden`` is the share of it that a pass becomes shorter by. Times are of the wall, in turn, the
median over rounds: with one free core there is nothing to hide in.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measure import take_turns

sys.path.insert(0, str(Path(__file__).parents[1]))

from made_items import picture_model, write_rows

import culture_lens as cl

THREADS = ("1", "2")
MOST = 16
"""Pictures that the larger model is asked about."""


def items_of(photographs: Path | None, folder: Path) -> Sequence[Any]:
    """The photographs, one question on each; or as many drawings in files."""
    if photographs is None:
        place = write_rows(folder, MOST, True)
        return cl.load_benchmark("table", place, id="id", image="image")
    asked = cl.load_benchmark("k_viscuit", photographs)
    return list({question.image.key: question for question in asked}.values())[:MOST]


def measure(name: str, model: Any, questions: Sequence[Any], rounds: int) -> None:
    """Time a pass without threads and with some, and print the line."""
    images = list({q.image.key: q.image for q in questions if q.image is not None}.values())

    def run(threads: int) -> None:
        model.vision.forget()
        cl.evaluate(
            model,
            questions,
            scoring="letter_options",
            progress=False,
            batch_size=8,
            speed=cl.Speed(picture_threads=threads),
        )

    def prepare() -> None:
        for image in images:
            model.processor.pixels(image)

    runs = {"prepared": prepare, **{n: lambda n=n: run(int(n)) for n in ("0", *THREADS)}}
    times = {way: statistics.median(found) for way, found in take_turns(runs, rounds).items()}
    told = f"prepared {times['prepared']:.2f} s; no threads: {times['0']:.2f} s"
    print(f"{name}: {len(images)} pictures, {told}")
    for threads in THREADS:
        hidden = (times["0"] - times[threads]) / times["prepared"]
        print(f"  {threads} threads: {times[threads]:.2f} s, hidden {hidden:.0%}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    organism = cl.load_benchmark("organism", pictures=1)[:96]
    measure("organism", cl.load_model("organism"), organism, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        asked = items_of(options.photographs, Path(folder))
        kind = "drawings" if options.photographs is None else "photographs"
        measure(kind, picture_model(layers=4, width=256), asked, options.rounds)


if __name__ == "__main__":
    main()
