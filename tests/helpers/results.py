"""Made-up results for figures, pages and reports: neuron sets, matrices, run folders."""

from itertools import product

import pandas as pd

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.predicted_matrix import PredictedMatrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.storage.runs import Run

CULTURES = ["Ethiopia", "Japan", "Spain, Basque Country (Euskara speaking)"]
METADATA = {"model": "org/tiny", "benchmark": "made", "selector": "conact", "value": "zero"}


def make_matrix(cultures=CULTURES, items=12, seeds=2, **metadata):
    """Records in which a culture's own mask breaks every second answer, and another one in six."""
    conditions = [("unmodified", "", 0), *(("found", culture, 0) for culture in cultures)]
    conditions += [("random", culture, seed) for culture in cultures for seed in range(seeds)]
    rows = []
    for (condition, mask, seed), culture, item in product(conditions, cultures, range(items)):
        own = condition == "found" and mask == culture and item % 2 == 0
        correct = item % 6 != 5 and not own and not (condition == "random" and item == seed)
        rows.append(
            {
                "condition": condition,
                "mask": mask,
                "seed": seed,
                "id": f"q{item}/{culture}",
                "culture": culture,
                "group": f"q{item}",
                "prediction": 0 if correct else 1,
                "correct": correct,
                "p_gold": (0.6 if correct else 0.1) + 0.01 * item,
                "scores": [0.0, 0.0, 0.0, 0.0],
            }
        )
    known = {**METADATA, "items": items * len(cultures), **metadata}
    return AblationMatrix(pd.DataFrame(rows), known)


def make_predicted(matrix, factor=2.0):
    """A prediction that is twice what the matrix has measured, item by item."""
    base = matrix.frame[matrix.frame["condition"] == "unmodified"].set_index("id")["p_gold"]
    found = matrix.frame[matrix.frame["condition"] == "found"]
    change = found["p_gold"] - found["id"].map(base)
    frame = found[["mask", "id", "culture", "group"]].assign(predicted=factor * change, p_gold=0.5)
    sizes = {mask: 5 for mask in matrix.masks}
    return PredictedMatrix(frame.reset_index(drop=True), dict(METADATA, items=36, neurons=sizes))


def make_found(cultures=CULTURES, layers=4):
    """Culture i has neurons (layer i, 0..i) and all have (layer 3, 5)."""
    neurons = {
        culture: Neurons.of({"act": [(i, j) for j in range(i + 1)] + [(layers - 1, 5)]})
        for i, culture in enumerate(cultures)
    }
    return NeuronSet(neurons, {"act": (layers, 8)}, dict(METADATA, items=36))


def make_run(folder, **results):
    """Keep ``name=(neurons, matrix)`` in a run folder."""
    run = Run.open(folder)
    for name, (found, matrix) in results.items():
        if found is not None:
            found.save(run.named("neurons", name, ".safetensors"))
        if matrix is not None:
            file = run.named("matrix", name, ".parquet")
            file.parent.mkdir(exist_ok=True)
            matrix.to_parquet(file)
    return run
