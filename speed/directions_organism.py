"""How much of the organism's planted truth a direction recovers, beside neurons.

    python speed/directions_organism.py --items 72

Directions are fitted on pictures of one seed and judged on new pictures of another. At every layer:

* the cosine of two halves of the question groups;
* the share of the direction's square that lies in the span of what the planted neurons of its
  culture write (their outgoing weights up to that layer), and its style decoys', less what a random
  direction has there on average, the span's rank over the width;
* what removing it, or adding it backwards, does to its own culture's questions and to others'.
  Backwards it is added as often as it takes to change the stream, at its layer, as much as ablating
  the planted neurons does (``matched_scale``); random directions of the same length beside it.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES
from culture_lens.experiments.direction_matrix import direction_matrix
from culture_lens.organism.scores_against_truth import SOUGHT

ASKING = {"scoring": "letter", "batch_size": 256, "progress": False}


def said(estimate: cl.Estimate, times: float = 100) -> str:
    """Write an estimate in points."""
    value, low, high = (times * end for end in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def row(name: str, matrix: cl.AblationMatrix) -> None:
    """Print what a matrix does to own and other questions, and random beside it."""
    told = [f"{metric} {said(matrix.overall(metric))}" for metric in ("self", "cross")]
    if matrix.has_random:
        told.append(f"random {said(matrix.overall('self', 'random'))}")
    print(f"{name}: {', '.join(told)}", flush=True)


def span_share(
    model: cl.LensModel, direction: cl.Direction, neurons: cl.Neurons
) -> tuple[float, float]:
    """Give the share of a direction in the span of what neurons write, and a random one's."""
    written = []
    for layer, index in neurons.places["act"].tolist():
        if layer <= direction.layer:
            name = model.hook_name("post", layer).removesuffix(".hook_in")
            weight = model.bridge.get_submodule(name).original_component.weight
            written.append(weight[:, index].detach().double())
    basis, sizes, _ = torch.linalg.svd(torch.stack(written).T, full_matrices=False)
    basis = basis[:, sizes > 1e-6 * sizes[0]]
    return float((basis.T @ direction.unit).square().sum()), basis.shape[1] / len(direction.unit)


def judge(
    model: cl.LensModel,
    truth: cl.Truth,
    found: cl.Directions,
    questions: Sequence[cl.Question],
) -> None:
    """Print what the directions of one layer share with the truth, and what they do."""
    cosines = [found.agreement[culture].value for culture in found]
    print(f"\nlayer {found.layer}, cosine of halves {min(cosines):.2f} to {max(cosines):.2f}")
    for kind, kinds in (("planted", SOUGHT), ("decoys", "style")):
        shares = [
            span_share(model, found[c], truth.neurons(kinds, c))
            for c in found
            if any(at <= found.layer for at in truth.layers)
        ]
        if shares:
            own, chance = (sum(part) / len(shares) for part in zip(*shares, strict=True))
            print(f"share in the span of {kind}: {own:.2f}, random {chance:.2f}")
    row("removed", direction_matrix(model, found, questions, **ASKING))
    scales = {}
    for culture in found:
        hooks = cl.ablation_hooks(model, truth.neurons(SOUGHT, culture))
        own = [question for question in questions if question.culture == culture]
        try:
            scales[culture] = cl.matched_scale(
                model, found[culture], hooks, own, batch_size=256, progress=False
            )
        except cl.InputError:
            print("no planted neuron writes before this layer")
            return
    longer = {c: replace(found[c], vector=found[c].vector * scales[c].scale) for c in found}
    matched = replace(found, directions=longer)
    change = sum(one.change.value for one in scales.values()) / len(scales)
    later = len(next(iter(scales.values())).later)
    matrix = direction_matrix(model, matched, questions, edit="added", scale=-1.0, **ASKING)
    row(f"added backwards, change {change:.2f} as the truth's, {later} layers later", matrix)


def main() -> None:
    """Fit at every layer and judge beside neurons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=72, help="questions per culture and set")
    parser.add_argument("--position", default="last")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", cl.CultureLensWarning)
    model, truth = cl.load_model("organism"), cl.load_truth()
    identify, evaluate = (
        cl.load_benchmark("organism", pictures=1, limit=asked.items, seed=seed) for seed in (1, 2)
    )
    sets = {
        "planted": {c: truth.neurons(SOUGHT, c) for c in CULTURES},
        "conact": cl.find_culture_neurons(
            model, identify, share=0.02, identify_share=1.0, progress=False
        ).neurons,
    }
    shapes = {"act": model.shape("act")}
    for name, neurons in sets.items():
        held = cl.NeuronSet({c: neurons[c] for c in CULTURES}, shapes, {"model": model.name})
        number = sum(len(held[c]) for c in held) / len(held)
        matrix = cl.ablation_matrix(model, held, evaluate, random_seeds=3, seen=True, **ASKING)
        row(f"{name}, {number:.0f} neurons ablated", matrix)
    for layer in range(model.n_layers):
        found = cl.fit_directions(
            model, identify, layer=layer, position=asked.position, batch_size=256, progress=False
        )
        judge(model, truth, replace(found, metadata={"model": model.name}), evaluate)


if __name__ == "__main__":
    main()
