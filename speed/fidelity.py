"""Predicted against measured effects of ablation, by objective and path.

    python speed/fidelity.py organism
    python speed/fidelity.py smollm2 --run runs/fidelity

In the organism: every culture's planted neurons, two halves of them, its style decoys and as many
random neurons are ablated as sets, and five planted neurons of every culture alone; 288 questions
with new pictures. On SmolLM2, by option likelihood: every culture's ConAct neurons, half of them,
as many with the highest attribution score and as many random ones, four times 5% of all neurons,
and 30 single neurons; 60 held-out questions of ``everyday``, two of each question group. A run
folder keeps the answers, which are the same for all predictions.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import torch

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.organism.scores_against_truth import SOUGHT
from culture_lens.questions.question import Question

Sets = dict[str, cl.Neurons]
Place = tuple[int, int]
LIKELIHOOD = {"scoring": "option_likelihood"}
ODDS = "logit_difference"
IN_ORGANISM = [
    ("probability", "none", 6),
    ("probability", "integrated", 6),
    (ODDS, "none", 6),
    (ODDS, "integrated", 6),
    (ODDS, "integrated_layerwise", 6),
]
ON_SMOLLM2 = [
    ("probability", "none", 6),
    (ODDS, "none", 6),
    (ODDS, "integrated", 6),
]


class Draw:
    """Random neurons at act, the same in every run."""

    def __init__(self, model: cl.LensModel) -> None:
        """Start with seed 0."""
        layers, width = model.shape("act")
        self.every = [(layer, index) for layer in range(layers) for index in range(width)]
        self.source = torch.Generator().manual_seed(0)

    def of(self, places: Iterable[Place], number: int) -> cl.Neurons:
        """Draw some neurons."""
        known = sorted(places)
        order = torch.randperm(len(known), generator=self.source)[:number].tolist()
        return cl.Neurons.of({"act": [known[at] for at in order]})

    def half(self, neurons: cl.Neurons) -> cl.Neurons:
        """Draw half of a set."""
        return self.of(places_of(neurons), len(neurons) // 2)


def places_of(neurons: cl.Neurons) -> list[Place]:
    """Give layer and index of neurons at act."""
    return [(layer, index) for _, layer, index in neurons.members()]


def in_organism(run: str | None) -> None:
    """Compare in the organism."""
    model, truth = cl.load_model("organism"), cl.load_truth()
    identify, held_out = (
        cl.load_benchmark("organism", pictures=1, split=split) for split in ("identify", "evaluate")
    )
    draw, sets, singles = Draw(model), Sets(), Sets()
    for culture in CULTURES:
        own = truth.neurons(SOUGHT, culture)
        half = draw.half(own)
        sets |= {
            f"{culture} planted": own,
            f"{culture} half": half,
            f"{culture} other half": own - half,
            f"{culture} decoys": truth.neurons("style", culture),
            f"random for {culture}": draw.of(draw.every, len(own)),
        }
        for layer, index in sorted(places_of(draw.of(places_of(own), 5))):
            singles[f"{culture} {layer}.{index}"] = cl.Neurons.of({"act": [(layer, index)]})
    options = {"batch_size": 64, "progress": False, "run": run, "neurons": 0, "shares": ()}
    scores = cl.attribute(model, identify, sites="act", batch_size=64, progress=False)
    for objective, path, points in IN_ORGANISM:
        how = {"objective": objective, "path": path, "points": points, **options}
        many, single = (
            cl.fidelity(model, held_out, scores, sets=some, **how) for some in (sets, singles)
        )
        say("sets", many, "set")
        say("cells", by_culture(many), "cell")
        say("single neurons", single, "set")


def on_smollm2(run: str | None) -> None:
    """Compare on SmolLM2, by likelihood."""
    model = cl.load_model("smollm2-135m")
    identify, held_out = cl.split_questions(cl.load_benchmark("everyday"))
    found = cl.find_culture_neurons(model, identify, method="conact", progress=False)
    few = sorted(identify, key=lambda question: question.id)[::3]
    options: dict[str, Any] = {"progress": False, "run": run, **LIKELIHOOD}
    scores = cl.attribute(model, few, sites="act", objective=ODDS, aggregation="sum", **options)
    best = scores.top(k=230)
    draw, sets = Draw(model), Sets()
    for culture in found.cultures:
        sets |= {
            f"{culture} conact": found[culture],
            f"{culture} half": draw.half(found[culture]),
            f"{culture} gradient": best[culture],
            f"random for {culture}": draw.of(draw.every, len(found[culture])),
        }
    for number in range(4):
        sets[f"random 5% {number}"] = draw.of(draw.every, len(draw.every) // 20)
    for objective, path, points in ON_SMOLLM2:
        how = {"objective": objective, "path": path, "points": points, **options}
        done = cl.fidelity(model, two_of_each(held_out), scores, shares=(), sets=sets, **how)
        say("sets", done, "set")
        say("single neurons", done, "neuron")


def two_of_each(questions: Sequence[Question]) -> list[Question]:
    """Take two questions of every group, of other cultures from group to group."""
    groups = defaultdict(list)
    for question in sorted(questions, key=lambda question: (question.group, question.culture)):
        groups[question.group].append(question)
    return [
        group[(number + step) % len(group)]
        for number, group in enumerate(groups.values())
        for step in (0, len(group) // 2)
    ]


def by_culture(fidelity: Fidelity) -> Fidelity:
    """Give the same records with a unit for each set and culture asked about."""
    units = fidelity.frame["unit"] + " on " + fidelity.frame["culture"]
    return Fidelity(fidelity.frame.assign(unit=units, kind="cell"), fidelity.metadata)


def say(what: str, fidelity: Fidelity, kind: str) -> None:
    """Print a row of the table."""
    facts = fidelity.metadata
    found = (
        fidelity.correlation(kind),
        fidelity.correlation(kind, "spearman"),
        fidelity.slope(kind),
    )
    cells = [f"{x.value:.2f} ({x.low:.2f} to {x.high:.2f})".replace("-", "−") for x in found]
    way = facts["path"] if facts["path"] == "none" else f"{facts['path']}, {facts['points']}"
    row = [facts["objective"], way, f"{len(fidelity.units(kind))} {what}", *cells]
    print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("where", choices=("organism", "smollm2"))
    parser.add_argument("--run", help="A run folder.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| objective | path, points | effects of | Pearson | Spearman | slope |")
    print("|---|---|---|---|---|---|")
    (in_organism if options.where == "organism" else on_smollm2)(options.run)


if __name__ == "__main__":
    main()
