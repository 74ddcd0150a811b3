"""Whether the invariance score and CAPE's sets tell planted neurons from decoys (organism).

    python speed/invariance_organism.py

1. The invariance score over three layouts of the same questions (as trained, the options first, no
   options) and over the three kinds of questions (name, time, maker), beside the plain ConAct
   margin of one layout. AUC is the chance that a planted neuron of a culture scores above a decoy
   of the same culture, a tie counting one half; a unit without a score comes last.
2. CAPE's sets. Two pairs of cultures share planted neurons (kin), as cultures may share a language:
   a pair takes the place of a language. As many neurons are taken for a culture and for its pair as
   were planted for the culture, and the sets are ablated on new pictures.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

import culture_lens as cl
from culture_lens.benchmarks.organism.world import CULTURES, kin_of
from culture_lens.neurons.cape import compound, generic, pure
from culture_lens.organism.scores_against_truth import SOUGHT, held_against, mlp_places
from culture_lens.selectors.conact import conact
from culture_lens.selectors.knowledge import knowledge
from culture_lens.selectors.ranking import first, in_order
from culture_lens.statistics.estimates import CHANGES, mean_estimate

QUIET = {"batch_size": 256, "progress": False}
LAYOUTS = {
    "as trained": {},
    "options first": {"layout": "{options}\n{question}"},
    "no options": {"layout": "{question}"},
}
KINDS = (*SOUGHT, "recognition", "style")


def worded(questions: Sequence[cl.Question], options: dict) -> list[cl.Question]:
    """Ask the same questions in another layout."""
    return [replace(q, prompt=replace(q.prompt, **options)) for q in questions]


def auc(scores: np.ndarray, planted: set, decoys: set) -> float:
    """Give the chance that a planted neuron scores above a decoy."""
    one, other = (np.array([scores[place] for place in places]) for places in (planted, decoys))
    above = (one[:, None] > other).mean() + (one[:, None] == other).mean() / 2
    return float(above)


def against_truth(truth: cl.Truth, name: str, scores: cl.NeuronScores) -> None:
    """Print what the first neurons of a score are, mean over cultures."""
    rows = []
    for row, culture in enumerate(scores.cultures):
        planted, decoys = (
            mlp_places(truth.neurons(kinds, culture).members()) for kinds in (SOUGHT, "style")
        )
        table = scores.scores["act"][row].numpy()
        held = held_against(truth, culture, in_order(scores, culture), [], len(planted))
        columns = ("precision", "average_precision", "decoys", "recognition")
        scored = [float(np.isfinite([table[p] for p in some]).mean()) for some in (planted, decoys)]
        rows.append([held[c] for c in columns] + [auc(table, planted, decoys), *scored,
                                                  np.isfinite(table).sum()])  # fmt: skip
    told = [f"{value:.2f}" for value in np.mean(rows, 0)]
    print(f"| {name} | " + " | ".join(told) + " |", flush=True)


def show_invariance(model: cl.LensModel, truth: cl.Truth, questions: list[cl.Question]) -> None:
    """Score over layouts and over kinds of questions."""
    options = {"sites": "act", **QUIET}
    layouts = {
        name: cl.summarise(model, worded(questions, how), **options)
        for name, how in LAYOUTS.items()
    }
    names = sorted({q.metadata["kind"] for q in questions})
    kinds = {
        name: cl.summarise(model, [q for q in questions if q.metadata["kind"] == name], **options)
        for name in names
    }
    print("| score | planted of those taken | average precision | decoys taken | recognition taken "
          "| AUC | planted with a score | decoys with one | units with one |")  # fmt: skip
    for name, summary in layouts.items():
        against_truth(truth, f"conact, {name}", conact(summary))
    for what, summaries in (("layouts", layouts), ("kinds", kinds)):
        for how in ("lowest", "harmonic"):
            against_truth(truth, f"invariance over {what}, {how}", cl.invariance(summaries, how))


def pair_of(culture: str) -> str:
    """Name the pair that a culture shares neurons with, or the culture where it shares none."""
    kin = kin_of(CULTURES.index(culture))
    return culture if kin is None else " and ".join(sorted([culture, CULTURES[kin]]))


def show_cape(model: cl.LensModel, truth: cl.Truth, questions: list[cl.Question]) -> None:
    """Take CAPE's sets by two selectors, count what they hold, and ablate them."""
    evaluate = cl.load_benchmark("organism", split="unseen", pictures=1, seed=1)
    shared = [culture for culture in CULTURES if pair_of(culture) != culture]
    paired = [replace(q, culture=pair_of(q.culture)) for q in questions]
    shapes = {"act": model.shape("act")}

    def ranked(some: list[cl.Question], method: str) -> cl.NeuronScores:
        if method == "conact":
            return conact(cl.summarise(model, some, sites="act", **QUIET))
        scores = cl.knowledge_scores(
            model, some, scoring="letter", path="none", aggregation="largest", batch_size=64,
            countryrc=[q for q in countryrc if q.culture in {s.culture for s in some}],
            progress=False,
        )  # fmt: skip
        return knowledge(scores)

    countryrc = cl.load_benchmark("organism", subset="country", split="identify", pictures=1)
    countryrc += [replace(q, culture=pair_of(q.culture), id=q.id + "/pair") for q in countryrc
                  if q.culture in shared]  # fmt: skip
    for method in ("conact", "knowledge"):
        own, spoken = ranked(questions, method), ranked(paired, method)
        number = {c: len(mlp_places(truth.neurons(SOUGHT, c).members())) for c in shared}
        facts = {"model": model.name, "selector": method, **cl.looked_at(questions)}
        found = cl.NeuronSet({c: first(own, c, number[c]) for c in shared}, shapes, facts)
        language = {c: pair_of(c) for c in shared}
        pairs = {pair: first(spoken, pair, max(number.values())) for pair in language.values()}
        languages = cl.NeuronSet(pairs, shapes, facts)
        sets = {"the culture's": found, "its pair's": replace(found, neurons={
            c: pairs[language[c]] for c in shared})}  # fmt: skip
        for name, take in (("pure", pure), ("generic", generic), ("compound", compound)):
            sets[name] = take(found, languages, language)
        for name, some in sets.items():
            show_set(model, truth, f"{method}, {name}", some, evaluate)


def show_set(model, truth, name: str, found: cl.NeuronSet, questions) -> None:
    """Print what a set holds and what ablating it does to own, kin and other questions."""
    held: Counter = Counter()
    for culture in found:
        places = mlp_places(found[culture].members())
        for kind in KINDS:
            known = mlp_places(truth.neurons(kind, culture).members())
            held["own" if kind in SOUGHT[:-1] else kind] += len(places & known)
        kin = mlp_places(truth.neurons(SOUGHT[:-1], CULTURES[kin_of(CULTURES.index(culture))])
                         .members())  # fmt: skip
        held["of the other"] += len(places & kin)
        held["all"] += len(places)
    told = [f"{held[k] / len(found):.1f}" for k in
            ("all", "own", "kin", "of the other", "recognition", "style")]  # fmt: skip
    some = {culture: found[culture] for culture in found if len(found[culture])}
    matrix = cl.ablation_matrix(
        model, replace(found, neurons=some), questions, scoring="letter", random_seeds=0, **QUIET
    )
    frame = matrix.frame
    base = frame[frame["condition"] == "unmodified"].set_index("id")
    rows = {"own": [], "kin": [], "others": []}
    for culture in some:
        mine = frame[(frame["condition"] == "found") & (frame["mask"] == culture)].set_index("id")
        moved = mine["correct"].astype(float) - base["correct"].loc[mine.index].astype(float)
        kin = CULTURES[kin_of(CULTURES.index(culture))]
        of = {"own": [culture], "kin": [kin],
              "others": [c for c in CULTURES if c not in (culture, kin)]}  # fmt: skip
        for what, cultures in of.items():
            keep = mine["culture"].isin(cultures)
            rows[what] += list(zip(moved[keep], mine["group"][keep], strict=True))
    for held_rows in rows.values():
        values, groups = zip(*held_rows, strict=True)
        one = mean_estimate(list(values), list(groups), bounds=CHANGES)
        told.append(f"{100 * one.value:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})")
    print(f"| {name} | " + " | ".join(told) + " |", flush=True)


def main() -> None:
    """Run both."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    warnings.simplefilter("ignore")
    model, truth = cl.load_model("organism"), cl.load_truth()
    questions = cl.load_benchmark("organism", split="identify", pictures=2, seed=1)
    show_invariance(model, truth, questions)
    print("\n| set | neurons | own | kin | of the other | recognition | decoys | own, points | "
          "kin, points | others, points |")  # fmt: skip
    show_cape(model, truth, questions)


if __name__ == "__main__":
    main()
