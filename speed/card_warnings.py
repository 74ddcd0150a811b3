"""What the warnings of cards say of an organism's neurons, whose truth is known.

    python speed/card_warnings.py

Four neurons of each planted kind of two cultures, found by ConAct or named by the truth; 72
questions of each culture, all of them measured. Prints how many cards of each kind have a warning.
Then at which sign the planted kinds act: the change of accuracy on the questions that they carry
when all of their activations are set to 0, the negative ones alone, and the positive ones alone.
"""

from __future__ import annotations

import warnings
from collections import Counter
from functools import partial
from statistics import mean

import torch

import culture_lens as cl

KINDS = ("knowledge", "negative", "rare", "kin", "recognition")
CULTURES = ("Avaria", "Calvena")
QUIET = {"progress": False, "batch_size": 256}
CARRIED = {"knowledge": "ordinary", "negative": "negative", "rare": "rare"}
"""Planted kind -> the part of a culture's questions that it carries."""
SIGNS = {
    "all": torch.zeros_like,
    "the negative ones": partial(torch.clamp, min=0),
    "the positive ones": partial(torch.clamp, max=0),
}
"""What is set to 0."""


def main() -> None:
    """Make the cards and count their warnings."""
    warnings.simplefilter("ignore")
    model, truth = cl.load_model("organism"), cl.load_truth()
    identify = cl.load_benchmark("organism", split="identify", pictures=2)
    asked = cl.load_benchmark("organism", split="evaluate", pictures=2)
    summary = cl.summarise(model, identify, replicates=20, **QUIET)
    few = cl.load_benchmark("organism", split="identify", pictures=1)
    known = cl.knowledge_scores(model, few, scoring="letter", progress=False, batch_size=128)
    conact = cl.select(summary, "conact", share=0.02)
    planted = cl.NeuronSet(
        {culture: truth.neurons(KINDS, culture) for culture in conact},
        conact.shapes,
        {**conact.metadata, "selector": "planted"},
    )
    kinds = {}
    for culture in CULTURES:
        for kind in (*KINDS, "style"):
            own = sorted(truth.neurons(kind, culture).members())
            half = len(own) // 2
            for place in (*own[:2], *own[half : half + 2]):
                kinds.setdefault(place, kind)
    cards = cl.neuron_cards(
        model,
        list(kinds),
        asked,
        found={"conact": conact, "planted": planted},
        scores=[summary, known],
        scoring="letter",
        measured=None,
        **QUIET,
    )
    for kind in (*KINDS, "style"):
        own = [card for card in cards if kinds[card.neuron] == kind]
        starts = Counter(
            start
            for card in own
            for start in {" ".join(text.split(":")[0].split()[:3]) for text in card.warnings}
        )
        print(f"{kind}, {len(own)} cards: {dict(starts)}")
    for kind in CARRIED:
        told = ", ".join(
            f"{sign} {100 * change_without(model, truth, asked, kind, sign):+.1f}" for sign in SIGNS
        )
        print(f"{kind}, activations set to 0, points of accuracy: {told}")


def change_without(model, truth, asked, kind: str, sign: str) -> float:
    """Give the change of accuracy, mean over cultures, without a kind's activations of one sign."""
    changes = []
    for culture in sorted({question.culture for question in asked}):
        mine = [
            question
            for question in asked
            if question.culture == culture and question.metadata["part"] == CARRIED[kind]
        ]
        places: dict[tuple[str, int], list[int]] = {}
        for site, layer, index in truth.neurons(kind, culture).members():
            places.setdefault((site, layer), []).append(index)

        def cut(activation, hook, own):
            edited = activation.clone()
            edited[..., own] = SIGNS[sign](edited[..., own])
            return edited

        hooks = [(model.hook_name(*place), partial(cut, own=own)) for place, own in places.items()]
        before = cl.evaluate(model, mine, scoring="letter", **QUIET).accuracy()
        with model.hooks(hooks):
            after = cl.evaluate(model, mine, scoring="letter", **QUIET).accuracy()
        changes.append(after.value - before.value)
    return mean(changes)


if __name__ == "__main__":
    main()
