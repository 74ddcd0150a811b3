"""The table of units: neurons, features, heads and directions on one model and set of questions.

    python speed/units_table.py [--model organism] [--limit 60] [--k 20 2] [--run runs/units]

On the organism a top-k autoencoder of 384 features is trained on what the MLP of each planted layer
adds, for ``--steps`` steps (see ``sae_organism.py``), on another model one of ``--features`` on the
residual stream after ``--layer``, each on all tokens of the questions that identify. Directions are
fitted after ``--layer`` on the same questions. Each kind is compared at equal numbers, k for each
k, and at the equal norm of the first k; heads are left out of equal numbers above 4, because there
are few. ``--run`` keeps what is finished, so that the same command goes on where it was cut off.

On the organism it also prints what the units say of the planted truth:

* explained: of what a culture's planted neurons write on the tokens of questions that evaluate, the
  share that the chosen units' activations explain linearly, and random ones of the layer;
* of a direction, the share of its square in the span of what they write, and a random one's.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from directions_organism import span_share
from sae_organism import recorded, trained, truth_table

import culture_lens as cl
from culture_lens.models.attach import special_ids
from culture_lens.models.sae_files import EXCLUDED
from culture_lens.organism.scores_against_truth import SOUGHT

MOST_HEADS = 4


def said(row, metric: str) -> str:
    """Write an estimate of a row in points."""
    value, low, high = (100 * row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


def show(name: str, compared: cl.UnitsComparison) -> None:
    """Print a table in points, as a page has it."""
    print(f"\n## {name}, reference {compared.metadata['reference']}\n")
    print("| units | number | norm, % | own | others | gap | random norm | own | others | beyond |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in compared.table().to_dict("records"):
        cells = [f"{row['units']}", f"{row['number']:.1f}", f"{100 * row['norm']:.1f}"]
        cells += [said(row, metric) for metric in ("self", "cross", "gap")]
        cells += [f"{100 * row['random_norm']:.1f}"]
        cells += [said(row, name) for name in ("random_self", "random_cross", "beyond_random")]
        print("| " + " | ".join(cells) + " |", flush=True)


def show_truth(model, truth, compared, directions, tokens) -> None:
    """Print how much of what planted neurons write each kind explains."""
    for kind in compared.kinds:
        chosen = compared.neurons(kind)
        if not chosen:
            pairs = [span_share(model, directions[c], truth.neurons(SOUGHT, c)) for c in directions]
            own, random = np.mean(pairs, 0)
            print(f"{kind}: share in the span of what is planted {own:.3f}, random {random:.3f}")
            continue
        (site,) = next(iter(chosen.values())).places
        rows = truth_table(model, truth, SimpleNamespace(neurons=chosen), site, tokens, 0)
        told = [np.mean([row[key] for row in rows]) for key in ("explained", "random")]
        print(f"{kind}: explained {told[0]:.3f}, random {told[1]:.3f}", end="")
        if site == "act":
            sought = {c: truth.neurons(SOUGHT, c) for c in chosen}
            inside = np.mean([len(own & sought[c]) / len(own) for c, own in chosen.items()])
            print(f", planted among them {inside:.3f}", end="")
        print(flush=True)


def autoencoder(model, identify, asked: argparse.Namespace) -> cl.SAE:
    """Train an autoencoder of the residual stream after a layer, or take the one in the run.

    On all but special tokens, where it has no features: the first token is a hundred times as long.
    """
    hook = f"blocks.{asked.layer}.hook_resid_post"
    made = (asked.features, asked.active, asked.steps, asked.seed, hook)
    place = Path(asked.run or ".") / "sae"
    if asked.run and place.exists():
        return cl.load_sae(place)
    data = recorded(model, identify, [hook], all_but=special_ids(model))[hook].float()
    sae = replace(trained(data, *made), metadata={EXCLUDED: True})
    print(f"autoencoder of {made}, trained on {len(data)} tokens", flush=True)
    if asked.run:
        cl.save_sae(sae, place)
    return sae


def prepared(asked: argparse.Namespace):
    """Load model and questions, and list the kinds of units."""
    if asked.model != "organism":
        model = cl.load_model(asked.model)
        some = {"cultures": asked.cultures} if asked.cultures else {}
        questions = cl.load_benchmark(asked.benchmark, limit=asked.limit, **some)
        identify, evaluate = cl.split_questions(questions)
        model = cl.with_features(model, autoencoder(model, identify, asked))
        few = evaluate[:: max(1, len(evaluate) // 30)]
        report = cl.sae_report(model, few, progress=False)
        print(report.frame.T.to_string(), flush=True)
        kinds = {
            "neurons, ConAct": ("act", "conact"),
            "features, ConAct": ("sae", "conact"),
            "heads, MAD": ("head", "mad"),
        }
        return cl.with_heads(model), None, questions, kinds
    model, truth = cl.load_model("organism"), cl.load_truth()
    questions = cl.load_benchmark("organism", pictures=asked.pictures, limit=asked.limit)
    identify, _ = cl.split_questions(questions)
    hooks = {layer: f"blocks.{layer}.hook_mlp_out" for layer in truth.layers}
    data = recorded(model, identify, list(hooks.values()), all_but=())
    made = (384, 16, asked.steps, asked.seed)
    saes = [trained(data[hook], *made, hook) for hook in hooks.values()]
    model = cl.with_heads(cl.with_features(model, saes))
    planted = {c: truth.neurons(SOUGHT, c) for c in sorted({q.culture for q in questions})}
    facts = {"model": model.name, "selector": "planted", **cl.looked_at([])}
    kinds = {
        "planted neurons": cl.NeuronSet(planted, {"act": model.shape("act")}, facts),
        "neurons, knowledge": ("act", "knowledge"),
        "neurons, ConAct": ("act", "conact"),
        "features, knowledge": ("sae", "knowledge"),
        "features, ConAct": ("sae", "conact"),
        "heads, MAD": ("head", "mad"),
    }
    return model, truth, questions, kinds


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="organism")
    parser.add_argument("--benchmark", default="everyday")
    parser.add_argument("--pictures", type=int, default=1)
    parser.add_argument("--limit", type=int, default=60, help="questions of each culture")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--features", type=int, default=2304, help="on another model")
    parser.add_argument("--active", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0, help="of the autoencoder")
    parser.add_argument("--layer", type=int, default=2, help="of the directions")
    parser.add_argument("--k", type=int, nargs="+", default=[20, 2])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cultures", nargs="*", default=[], help="whose questions are read")
    parser.add_argument("--whose", nargs="*", default=[], help="whose units are edited")
    parser.add_argument("--scoring", default="letter")
    parser.add_argument("--run", help="a run folder")
    parser.add_argument("--equal", nargs="+", default=["number", "norm"])
    parser.add_argument("--figure", help="write the chart of the first equal norm here")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", cl.CultureLensWarning)
    began = time.perf_counter()
    model, truth, questions, kinds = prepared(asked)
    identify, evaluate = cl.split_questions(questions)
    quiet = {"progress": False, "batch_size": 256 if truth else 16}
    kinds["directions, removed or subtracted"] = directions = cl.fit_directions(
        model, identify, layer=asked.layer, **quiet
    )
    options = {"random_seeds": asked.seeds, "scoring": asked.scoring, "run": asked.run}
    options["cultures"] = asked.whose or asked.cultures
    tokens = None
    if truth is not None:
        names = [model.hook_name(s, at) for s in ("act", "post", "sae", "head")
                 for at in truth.layers]  # fmt: skip
        tokens = [recorded(model, some, names) for some in (identify, evaluate)]
    print(f"{len(identify)} questions identify, {len(evaluate)} evaluate", flush=True)
    for place, k in enumerate(asked.k):
        if "number" in asked.equal:
            few = {n: one for n, one in kinds.items() if k <= MOST_HEADS or "heads" not in n}
            compared = cl.compare_units(model, questions, few, k=k, **options, **quiet)
            show(f"equal number, {k}", compared)
            if truth is not None:
                show_truth(model, truth, compared, directions, tokens)
        if place == 0 and "norm" in asked.equal:
            equal = cl.compare_units(model, questions, kinds, k=k, equal="norm", **options, **quiet)
            show(f"equal norm, that of {k}", equal)
            if asked.figure:
                cl.plots.save(cl.plots.units_chart(equal), asked.figure)
        print(f"after {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
