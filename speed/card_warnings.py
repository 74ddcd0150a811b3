"""What the warnings of cards say of an organism's neurons, whose truth is known.

    python speed/card_warnings.py

Four neurons of each planted kind of two cultures, found by ConAct or named by the truth; 72
questions of each culture, all of them measured. Prints how many cards of each kind have a warning.
"""

from __future__ import annotations

import warnings
from collections import Counter

import culture_lens as cl

KINDS = ("knowledge", "negative", "rare", "kin", "recognition")
CULTURES = ("Avaria", "Calvena")
QUIET = {"progress": False, "batch_size": 256}


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


if __name__ == "__main__":
    main()
