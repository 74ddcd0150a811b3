"""Time of the cards of 20 neurons of SmolLM2-135M on 240 items.

    python speed/cards.py
    python speed/cards.py --one-thread

The bundled questions, 30 of each of eight cultures, none of which found the neurons; ConAct's best
two or three of each culture. ``--one-thread`` counts processor time of one thread instead of
seconds, for a machine that others use at the same time; two cores need a little more than half.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch

import culture_lens as cl

NEURONS, PER_CULTURE = 20, 30


def main() -> None:
    """Make the cards once and print how long each kind of pass took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one-thread", action="store_true")
    parser.add_argument("--save", help="A file for the cards.")
    given = parser.parse_args()
    if given.one_thread:
        torch.set_num_threads(1)
    clock = time.process_time if given.one_thread else time.perf_counter
    warnings.simplefilter("ignore")
    model, questions = cl.load_model("smollm2-135m"), cl.load_benchmark("everyday")
    identify, evaluate = cl.split_questions(questions)
    summary = cl.summarise(model, identify, per_culture=10, progress=False)
    found = cl.select(summary, "conact", share=0.005)
    best = [place for culture in found for place in sorted(found[culture].top(3).members())]
    asked = [
        question
        for culture in found
        for question in [q for q in evaluate if q.culture == culture][:PER_CULTURE]
    ]
    start = clock()
    cards = cl.neuron_cards(
        model, best[:NEURONS], asked, found=found, scores=summary, progress=False
    )
    print(f"{len(cards)} cards of {len(asked)} items: {clock() - start:.0f} s")
    start = clock()
    pages = [card._repr_html_() for card in cards]
    print(
        f"HTML: {clock() - start:.2f} s, {sum(map(len, pages)) / len(pages) / 1024:.0f} KiB a card"
    )
    if given.save:
        print(cards.save(given.save))


if __name__ == "__main__":
    main()
