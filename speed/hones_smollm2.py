"""HONES on SmolLM2 at one share, on the questions of the other selectors' table.

    python speed/hones_smollm2.py

``everyday``, four cultures, 0.5% of the neurons of each, by option likelihood; one half of the
questions finds and the other is asked, as in "Selectors side by side" of docs/results/smollm2.md.
All 270 heads on all questions would take hours on two cores. So the heads that are tried are those
of the largest contribution to the log-odds (gradient times z) on the questions that find, and
``--per-culture`` of these questions go through HONES. Scores and matrices are kept in the folder.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import culture_lens as cl
from culture_lens.models.heads import count_heads

LIKELIHOOD = {"scoring": "option_likelihood"}
QUIET = {"progress": False, "batch_size": 16}


def shortlist(model: cl.LensModel, questions: list[cl.Question], number: int) -> list:
    """Give the heads of the largest contribution, as layer and head."""
    heads = cl.with_heads(model)
    sums = cl.attribute(
        heads, questions, sites="head", aggregation="sum", objective="logit_difference",
        progress=False, batch_size=8, **LIKELIHOOD,
    )  # fmt: skip
    size = sums.scores["head"].abs().sum(0).flatten()
    width = count_heads(model)
    return [divmod(int(at), width) for at in size.topk(number).indices]


def main() -> None:
    """Find, ablate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=30, help="heads that are tried")
    parser.add_argument("--per-culture", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("runs/hones-smollm2"))
    asked = parser.parse_args()
    warnings.simplefilter("ignore", cl.CultureLensWarning)
    asked.folder.mkdir(parents=True, exist_ok=True)
    model = cl.load_model("smollm2-135m")
    questions = cl.load_benchmark("everyday", cultures=["India", "Italy", "Japan", "Mexico"])
    identify, held_out = cl.split_questions(questions)
    began = time.perf_counter()
    place = asked.folder / f"scores-{asked.heads}-{asked.per_culture}.safetensors"
    if not place.exists():
        tried = shortlist(model, identify, asked.heads)
        cl.hones_scores(
            model, identify, heads=tried, per_culture=asked.per_culture, **LIKELIHOOD, **QUIET
        ).save(place)
    scores = cl.NeuronScores.load(place)
    print(f"scored after {time.perf_counter() - began:.0f} s", flush=True)
    for culture, kept in scores.metadata["heads"].items():
        told = ", ".join(f"{layer}.{head} {weight:.3f}" for layer, head, weight in kept[:6])
        print(f"{culture}: {len(kept)} heads have a weight, such as {told}")
    for contrast in (False, True):
        found = cl.select(scores, "hones", share=0.005, contrast=contrast)
        name = "hones_contrast" if contrast else "hones"
        sizes = {culture: len(found[culture]) for culture in found}
        last = [layer for c in found for layer, _ in found[c].places["act"].tolist()]
        seeds = 0 if contrast else asked.seeds
        matrix = cl.ablation_matrix(
            model, found, held_out, random_seeds=seeds, **LIKELIHOOD, **QUIET
        )
        matrix.to_parquet(asked.folder / f"{name}.parquet")
        told = [f"{m} {matrix.overall(m)}" for m in ("self", "cross", "gap")]
        if matrix.has_random:
            told += [f"random {m} {matrix.overall(m, 'random')}" for m in ("self", "cross")]
        if len(matrix.seeds) > 1:
            told.append(f"beyond random {matrix.beyond_random()}")
        share = sum(layer >= model.n_layers - 7 for layer in last) / len(last)
        print(f"{name}, {sizes}: {'; '.join(told)}; in the last 7 layers {100 * share:.0f}%")
        print(f"after {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
