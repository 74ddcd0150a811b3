"""CULNIG's three scorings, drawn at random or made by hand, and CountryRC about toy cultures."""

import numpy as np
import torch

from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.gradients import attribute
from culture_lens.benchmarks import load_benchmark
from culture_lens.neurons.scores import NeuronScores
from tests.helpers import reference_culnig as reference
from tests.helpers.gradients import reference_items

CULTURES = ("Brazil", "China", "Iran", "Japan")
NAMED = ("Brazil", "Iran", "Japan")  # those that CountryRC asks about
SHAPES = {"gate": (3, 401), "q": (3, 203), "k": (3, 101), "v": (3, 101)}


def drawn(seed, *, cultures=CULTURES, named=NAMED, shapes=SHAPES, steps=0):
    """Task, control and CountryRC tables; with ``steps`` only that many values per unit: ties.

    Multiples of 1/steps of few digits: sums and means over four cultures are exact, so a tie is
    a tie whatever the order of addition. CountryRC goes along with the task, as it does in models.
    """
    source = np.random.default_rng(seed)

    def table(labels, base=None):
        return {
            culture: {
                site: source.standard_normal(shape) + (0 if base is None else base[site])
                for site, shape in shapes.items()
            }
            for culture in labels
        }

    shared = table(["all"])["all"]
    task, control = table(cultures, shared), table(cultures)
    countryrc = {
        culture: {site: task[culture][site] + source.standard_normal(shapes[site])
                  for site in shapes}
        for culture in named
    }  # fmt: skip
    tables = (task, clamped(control), countryrc)
    if steps:
        for one in tables:
            for by_site in one.values():
                for site, values in by_site.items():
                    by_site[site] = np.round(values * steps) / steps
    return tables


def clamped(per_culture):
    return {c: {s: np.maximum(v, 0) for s, v in table.items()} for c, table in per_culture.items()}


def as_scores(per_culture, ids, sites=reference.SITES, **facts):
    cultures = tuple(sorted(per_culture))
    tensors = {
        site: torch.stack([torch.from_numpy(per_culture[c][site].copy()) for c in cultures])
        for site in sites
    }
    return NeuronScores(cultures, tensors, metadata={"ids": list(ids), **facts})


def as_culnig(tables, n_ids, **options):
    task, control, countryrc = tables
    ids = [str(number) for number in range(n_ids)]
    return CulnigScores(
        task=as_scores(task, ids, control=False, **options),
        control=as_scores(control, ids, control=True, **options),
        countryrc=as_scores(countryrc, ["a", "b"], control=False, **options),
    )


def members(found):
    return {label: found[label].members() for label in found}


def expected_of(method, tables, n_ids, options):
    if method == "culnig_general":
        return {"general": reference.culture_general(*tables, n_ids, n_ids, **options)}
    return reference.culture_specific(*tables, n_ids, n_ids, NAMED, **options)


CONTROL_SHARES = {"mlp_share": 0.1, "attention_share": 0.05}
METHODS = [
    ("culnig-general", {**CONTROL_SHARES, "countryrc_mlp_share": 0.02}),
    ("culnig_specific", {"share": 0.06, "countryrc_share": 0.02, "z": 0.75}),
]


def countryrc_questions():
    """Some CountryRC questions about three of the four toy cultures, in all four wordings."""
    cultures = ["Ethiopia", "France", "Japan", "Mexico"]
    every = load_benchmark("countryrc", split="identify", countries=cultures, pool=cultures)
    return [
        question
        for culture in cultures[1:]
        for question in [q for q in every if q.culture == culture][::30]
    ]


def scored_by_hand(model, identify, questions, **options):
    return CulnigScores(
        task=attribute(model, identify, progress=False, **options),
        control=attribute(model, identify, control=True, progress=False, **options),
        countryrc=attribute(model, questions, progress=False, **options),
    )


def reference_tables(model, hf, identify, questions):
    tables = (
        reference.summed(hf, reference_items(model, identify)),
        reference.summed(hf, reference_items(model, identify, control=True), control=True),
        reference.summed(hf, reference_items(model, questions)),
    )
    return [dict(sorted(table.items())) for table in tables]
