"""What heads and HONES find in the organism, and what cutting edges does; prints plain tables.

    python speed/heads_organism.py [--pictures 1] [--cultures Avaria Borduna]

1. Heads by attribution (log-odds of the right option, gradient times z summed over the head) and by
   activation contrast (mad): the change of P(right letter) when each culture's best k are ablated,
   on its own questions and on those of others. The organism's knowledge was planted in MLP neurons;
   its attention was trained before that and frozen, so no head carries one culture by design.
2. Edges: the same change where the last token, or the question, may not read the picture.
3. HONES against the planted neurons, from 18 questions of every culture.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd
import torch

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES
from culture_lens.interventions.edges import edges_cut
from culture_lens.models.heads import count_heads
from culture_lens.neurons.scores import NeuronScores
from culture_lens.organism.scores_against_truth import SOUGHT, held_against, mlp_places
from culture_lens.organism.truth import load_truth
from culture_lens.selectors.ranking import Sources, in_order, rank

QUIET = {"progress": False, "batch_size": 256}


def p_gold(model, questions, neurons=None) -> pd.DataFrame:
    """P(right letter) of every question."""
    frame = cl.evaluate(model, questions, neurons, scoring="letter", **QUIET).frame
    return frame


def changes(base: pd.DataFrame, frame: pd.DataFrame, culture: str) -> tuple[float, float]:
    """Mean change of P(right letter) on a culture's own questions, and on those of others."""
    change = frame["p_gold"].to_numpy() - base["p_gold"].to_numpy()
    own = (base["culture"] == culture).to_numpy()
    return float(change[own].mean()), float(change[~own].mean())


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--cultures", nargs="*", default=list(CULTURES))
    given = parser.parse_args()
    model = cl.with_heads(cl.load_model("organism"))
    layers, heads = model.layers("z"), count_heads(model)
    print(f"{layers} layers of {heads} heads")
    identify = cl.load_benchmark("organism", split="identify", pictures=given.pictures, seed=1)
    evaluate = cl.load_benchmark("organism", split="evaluate", pictures=given.pictures, seed=1)
    base = p_gold(model, evaluate)
    print(f"P(right letter) unmodified: {base['p_gold'].mean():.3f}")

    sums = cl.attribute(model, identify, sites="head", objective="logit_difference",
                        aggregation="sum", progress=False)  # fmt: skip
    items = [sums.metadata["items"][c] for c in sums.cultures]
    table = sums.scores["head"] / torch.tensor(items)[:, None, None]
    others = (table.sum(0) - table) / (len(table) - 1)
    summary = cl.summarise(model, identify, sites="head", progress=False)
    rankings = {
        "attribution": NeuronScores(sums.cultures, {"head": table}),
        "attribution, contrast": NeuronScores(sums.cultures, {"head": table - others}),
        "mad": cl.select(summary, "mad", share=1.0),
    }
    for name, ranked in rankings.items():
        for k in (1, 2, 4):
            found = ranked.top(k=k)
            rows = [changes(base, p_gold(model, evaluate, found[c]), c) for c in given.cultures]
            own, other = np.mean(rows, 0)
            print(f"{name}, {k} heads ablated: own {own:+.3f}, others {other:+.3f}")
    every = [(layer, head) for layer in range(layers) for head in range(heads)]
    for to in ("last", "question", ["question", "options", "last"]):
        with edges_cut(model, every, from_roles="image", to_roles=to):
            frame = p_gold(model, evaluate)
        change = float((frame["p_gold"] - base["p_gold"]).mean())
        print(f"edges image -> {to} of all heads cut: {change:+.3f}")
    per_layer = {}
    for layer in range(layers):
        some = [(layer, head) for head in range(heads)]
        with edges_cut(model, some, from_roles="image", to_roles="last"):
            frame = p_gold(model, evaluate)
        per_layer[layer] = round(float((frame["p_gold"] - base["p_gold"]).mean()), 3)
    print(f"edges image -> last, by layer: {per_layer}")
    hones_against_truth(model, identify)


def hones_against_truth(model, questions) -> None:
    """As many neurons as were planted, by HONES, against them."""
    truth = load_truth()
    scores = cl.hones_scores(
        model, questions, scoring="letter", per_culture=18, batch_size=144, progress=False
    )
    columns = ["precision", "average_precision", "decoys", "recognition", "other_cultures"]
    for name in ("hones", "hones_contrast"):
        ranked, rows = rank(name, Sources(heads=scores)), []
        for culture in scores.cultures:
            number = len(mlp_places(truth.neurons(SOUGHT, culture).members()))
            held = held_against(truth, culture, in_order(ranked, culture), [], number)
            rows.append([held[column] for column in columns])
        means = dict(zip(columns, np.nanmean(rows, 0).round(3).tolist()))
        print(f"{name}: {means}")


if __name__ == "__main__":
    main()
