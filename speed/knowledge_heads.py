"""The scores of ``knowledge`` on heads, against the effect of ablating each head alone (organism).

    python speed/knowledge_heads.py

Nothing was planted in heads, so the truth is measured: each of the 20 heads is ablated alone, on
questions with pictures that the scores have not seen. Compared over heads, for every culture:

* G, the mean contribution to the log-odds of the right option, with the fall of the log-odds;
* G less the mean of the other cultures', with the fall on own questions less that on others';
* the score of ``knowledge`` (0 where it refuses a head), with both falls.

Spearman's rank correlation, its mean over cultures, and 95% intervals by a bootstrap of the
pictures that are asked, drawn within cultures and the same for all heads. The questions that score
are not drawn anew.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import culture_lens as cl
from culture_lens.evaluation.evaluate import answer_masks, prepare
from culture_lens.experiments.measured_values import objective_values
from culture_lens.models.heads import count_heads
from culture_lens.neurons.scores import NEVER
from culture_lens.prompts.running import Running
from culture_lens.selectors.knowledge import knowledge

DRAWS, OBJECTIVE = 500, "logit_difference"
WAYS = {
    "default": {},
    "gradient, sum": {"path": "none", "aggregation": "sum"},
    "gradient, largest": {"path": "none", "aggregation": "largest"},
}
Heads = Sequence[tuple[int, int]]


def measured(
    model: cl.LensModel, questions: Sequence[cl.Question], heads: Heads
) -> tuple[np.ndarray, pd.DataFrame]:
    """Give the fall of the log-odds under each head's ablation, ``head item``, and the items."""
    running = Running(batch_size=256, progress=False)
    prompts, way = prepare(model, questions, "letter", running)
    masks = [(f"{head}", cl.Neurons.of({"head": [head]})) for head in heads]
    base, *frames = answer_masks(
        model, prompts, way, [("unmodified", None), *masks], running=running
    )
    before = objective_values(base, OBJECTIVE)
    falls = [before - objective_values(frame, OBJECTIVE) for frame in frames]
    return np.stack(falls), base[["culture", "group"]]


def means(falls: np.ndarray, cultures: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Average over each culture's items, ``culture head``."""
    return np.stack([falls[:, cultures == name].mean(1) for name in names])


def beside(table: np.ndarray) -> np.ndarray:
    """Subtract the mean of the other cultures."""
    return table - (table.sum(0) - table) / (len(table) - 1)


def correlations(scored: dict[str, np.ndarray], fall: np.ndarray) -> np.ndarray:
    """Correlate over heads, mean over cultures: each score with its fall."""
    against = {"G": fall, "G, contrast": beside(fall)}
    pairs = [(name, name) for name in against] + [("knowledge", name) for name in against]
    found = []
    for score, truth in pairs:
        rows = zip(scored[score], against[truth], strict=True)
        found.append(np.nanmean([spearmanr(one, other)[0] for one, other in rows]))
    return np.array(found)


def drawn(frame: pd.DataFrame, source: np.random.Generator) -> np.ndarray:
    """Draw question groups within each culture, and give the places of their items."""
    places = []
    for _, part in frame.groupby("culture"):
        groups = [np.flatnonzero(frame["group"] == name) for name in part["group"].unique()]
        places += [groups[at] for at in source.integers(len(groups), size=len(groups))]
    return np.concatenate(places)


def main() -> None:
    """Score, ablate, correlate, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-culture", type=int, default=18)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    model = cl.with_heads(cl.load_model("organism"))
    identify, evaluate = (
        cl.load_benchmark("organism", split=split, pictures=1, seed=1)
        for split in ("identify", "unseen")
    )
    heads = [(la, h) for la in range(model.layers("z")) for h in range(count_heads(model))]
    falls, frame = measured(model, evaluate, heads)
    labels, source = frame["culture"].to_numpy(), np.random.default_rng(0)
    draws = [drawn(frame, source) for _ in range(DRAWS)]
    print(f"{len(heads)} heads, {len(evaluate)} questions are asked")
    for way, options in WAYS.items():
        scores = cl.knowledge_scores(
            model, identify, sites="head", scoring="letter", per_culture=asked.per_culture,
            batch_size=64, progress=False, **options,
        )  # fmt: skip
        own = scores.contributions("head").flatten(1).numpy()
        rated = knowledge(scores).scores["head"].flatten(1)
        refused = rated == NEVER
        scored = {
            "G": own,
            "G, contrast": beside(own),
            "knowledge": rated.where(~refused, 0).numpy(),
        }
        names = scores.cultures
        value = correlations(scored, means(falls, labels, names))
        every = [correlations(scored, means(falls[:, at], labels[at], names)) for at in draws]
        low, high = np.nanpercentile(every, [2.5, 97.5], axis=0)
        told = [
            f"{v:.2f} ({lo:.2f} to {hi:.2f})" for v, lo, hi in zip(value, low, high, strict=True)
        ]
        kept = float((~refused).double().sum(1).mean())
        print(f"| {way} | {' | '.join(told)} | {kept:.1f} heads with a score", flush=True)
    top = means(falls, labels, names).mean(0)
    order = np.argsort(-top)[:4]
    print("largest falls of the log-odds:", {heads[at]: round(float(top[at]), 2) for at in order})
    spread = beside(means(falls, labels, names))
    print(f"own less others, largest over cultures and heads: {spread.max():.2f}")


if __name__ == "__main__":
    main()
