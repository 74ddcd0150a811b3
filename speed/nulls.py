"""Whether tests hold their level where nothing is there and rows repeat.

    python speed/nulls.py neurons            # infer: simulated activations
    python speed/nulls.py blend --path data  # infer: BLEnD's rows, SmolLM2-135M's activations
    python speed/nulls.py answers            # tests of an ablation matrix: simulated answers
    python speed/nulls.py variance           # shares of variance: simulated wordings
    python speed/nulls.py balance            # balance of topics: simulated labels

A cell is the rows of one question group and culture; they share an effect, and labels are dealt to
cells without meaning. p of 5% or less should come in at most 5% of runs, and an interval should
hold the truth in 95%.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import torch

from culture_lens.activations.resampling import make_design
from culture_lens.activations.statistics import ActivationStatistics, ItemStatistics
from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import InputError
from culture_lens.experiments.agreement_with_table import agreement_with_table
from culture_lens.experiments.cell_tests import cell_tests, diagonal_test
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.related_cultures import related_cultures
from culture_lens.questions.question import Question
from culture_lens.questions.strata import balance_table
from culture_lens.selectors import infer
from culture_lens.selectors.variance import variance_shares

CULTURES = ("A", "B", "C", "D")
NEURONS, TOKENS = 300, 20
SIZES: dict[str, Callable[[np.random.Generator, int], int]] = {
    "1": lambda chance, culture: 1,
    "2": lambda chance, culture: 2,
    "4": lambda chance, culture: 4,
    "1 to 4": lambda chance, culture: int(chance.integers(1, 5)),
    "5 of A and B, 1 of C and D": lambda chance, culture: 5 if culture < 2 else 1,
}
"""Number of rows of a cell."""


def asked(chance: np.random.Generator, groups: int, rows: str, mixed: bool) -> list[Question]:
    """Questions in groups of all cultures, or in groups of one."""
    return [
        Question(
            id=f"{number}/{culture}/{row}",
            culture=culture,
            text=f"{number}",
            options=("a", "b"),
            answer=0,
            group=f"{number}" if mixed else f"{number}/{culture}",
        )
        for number in range(groups)
        for at, culture in enumerate(CULTURES)
        for row in range(SIZES[rows](chance, at))
    ]


def rates(
    chance: np.random.Generator, questions: Sequence[Question], cell_sd: float, row_sd: float
) -> np.ndarray:
    """Logits of a neuron's rate on every item: its own, the group's, the cell's and the row's."""
    groups = pd.factorize(pd.Series([q.group for q in questions]))[0]
    cells = pd.factorize(pd.Series([f"{q.group}/{q.culture}" for q in questions]))[0]
    shape = (len(questions), NEURONS)
    logit = chance.normal(-1, 1.5, NEURONS) + chance.normal(0, 0.5, shape)[groups]
    return logit + chance.normal(0, cell_sd, shape)[cells] + chance.normal(0, row_sd, shape)


def summarised(
    questions: Sequence[Question], counts: torch.Tensor, tokens: torch.Tensor, **drawn: int
) -> ActivationSummary:
    """Summarise counts, ``item layer neuron``, with replicates."""
    statistics = ActivationStatistics(make_design(questions, **drawn))
    rows = ItemStatistics(tokens=tokens, counts={"act": counts})
    statistics.update(rows, [q.culture for q in questions], [q.id for q in questions])
    return statistics.summary()


# ------------------------------------------------------------------ neurons


def tested(summary: ActivationSummary, method: str) -> dict[str, float]:
    """Share of small p, and neurons discovered at 5%."""
    tests = infer(summary, method)
    p = tests.p["act"].flatten().numpy()
    found = tests.select(0.05)
    number = sum(len(found[culture]) for culture in found)
    return {"p <= .05": float((p <= 0.05).mean()), "runs": number > 0, "neurons": number}


def neurons(runs: int) -> Iterator[dict[str, object]]:
    """Labels that mean nothing, whatever the number of rows in a cell."""
    for groups, mixed, rows in product((6, 24), (True, False), SIZES):
        for cell_sd, row_sd in ((0.5, 0.3), (0.0, 0.5)):
            yield {
                "groups": f"{groups} {'of all' if mixed else 'of each culture'}",
                "rows": rows,
                "cell/row sd": f"{cell_sd}/{row_sd}",
                **over_runs(runs, neurons_once, groups, mixed, rows, cell_sd, row_sd),
            }


def neurons_once(
    seed: int, groups: int, mixed: bool, rows: str, cell_sd: float, row_sd: float
) -> dict[str, float]:
    """One run."""
    chance = np.random.default_rng(seed)
    questions = asked(chance, groups, rows, mixed)
    rate = 1 / (1 + np.exp(-rates(chance, questions, cell_sd, row_sd)))
    counts = torch.from_numpy(chance.binomial(TOKENS, rate)).view(len(questions), 1, NEURONS)
    tokens = torch.full((len(questions),), TOKENS)
    return tested(summarised(questions, counts, tokens, seed=seed, bootstraps=0), "conact")


def over_runs(
    runs: int, once: Callable[..., dict[str, float]], *given: object
) -> dict[str, object]:
    """Mean over runs, and the share of runs whose design is refused."""
    rows: list[dict[str, float]] = []
    for seed in range(runs):
        try:
            rows.append({"refused": 0.0, **once(seed, *given)})
        except InputError:
            rows.append({"refused": 1.0})
    return pd.DataFrame(rows).astype(float).mean().to_dict()


# ------------------------------------------------------------------ real rows


def blend(runs: int, path: str) -> Iterator[dict[str, object]]:
    """Labels dealt to whole cells of real rows."""
    from culture_lens.benchmarks import load_benchmark

    kept = cells_of_four(load_benchmark("blend", path=path))
    counts, tokens = item_counts([question for cell in kept for question in cell])
    for rows in (1, 2, 4):
        found = []
        for seed in range(runs):
            chance = np.random.default_rng(seed)
            dealt = np.concatenate([chance.permutation(4) for _ in range(len(kept) // 4)])
            labelled = [
                replace(question, culture=CULTURES[label])
                for label, cell in zip(dealt, kept, strict=True)
                for question in cell[:rows]
            ]
            at = [4 * cell + row for cell in range(len(kept)) for row in range(rows)]
            summary = summarised(labelled, counts[at], tokens[at], seed=seed, bootstraps=0)
            found.append(tested(summary, "conact"))
        yield {"groups": len(kept) // 4, "rows": rows, **pd.DataFrame(found).mean().to_dict()}


def cells_of_four(questions: Sequence[Question]) -> list[list[Question]]:
    """Four rows of four cells, of every group that has as many."""
    cells: dict[str, dict[str, list[Question]]] = {}
    for question in questions:
        cells.setdefault(question.group, {}).setdefault(question.culture, []).append(question)
    large = [[rows[:4] for rows in own.values() if len(rows) >= 4][:4] for own in cells.values()]
    return [rows for own in large if len(own) == 4 for rows in own]


def item_counts(questions: Sequence[Question]) -> tuple[torch.Tensor, torch.Tensor]:
    """Positive tokens of every neuron of SmolLM2-135M, ``item layer neuron``, and all tokens."""
    from culture_lens.activations.record import item_statistics
    from culture_lens.models.load import load_model
    from culture_lens.prompts.batches import batches
    from culture_lens.prompts.build import build_prompts
    from culture_lens.prompts.prompt import CONTENT_ROLES

    model = load_model("smollm2-135m")
    prompts = build_prompts(questions, model.processor, context=model.context)
    found = {}
    for batch in batches(prompts, 8, model.pad_id):
        own = item_statistics(model, batch, ["act"], CONTENT_ROLES, False)
        for at, prompt in enumerate(batch.prompts):
            found[prompt.question.id] = own.counts["act"][at], own.tokens[at]
    rows = [found[question.id] for question in questions]
    return torch.stack([counts for counts, _ in rows]), torch.stack([tokens for _, tokens in rows])


# ------------------------------------------------------------------ answers


def answers(runs: int) -> Iterator[dict[str, object]]:
    """Masks that change answers at random: all alike, or some of them more than others."""
    for groups, rows, masks in product((4, 6, 24), (1, 2, 4), ("alike", "unlike")):
        rows_of = over_runs(runs, answers_once, groups, rows, masks)
        yield {"groups": groups, "rows": rows, "masks": masks, **rows_of}


def answers_once(seed: int, groups: int, rows: int, masks: str) -> dict[str, float]:
    """One run: p of a cell, of the diagonal and of a table of distances at random."""
    chance = np.random.default_rng(seed)
    names = ("", *"ABCDE")
    shape = (len(names), 5, groups, rows)  # run, culture, group, row
    logit = chance.normal(0, 1, shape[1:3])[None, :, :, None]
    logit = logit + chance.normal(0, 1, shape[:3])[..., None] + chance.normal(0, 1, shape)
    if masks == "unlike":  # a mask has an effect, and a culture is hit by all
        logit[1:] += chance.normal(0, 1, (5, 1, 1, 1)) + chance.normal(0, 1, (1, 5, 1, 1))
    right = (chance.random(shape) < 1 / (1 + np.exp(-logit))).astype(int)
    index = np.indices(shape).reshape(4, -1)
    frame = pd.DataFrame(
        {
            "condition": np.where(index[0] == 0, "unmodified", "found"),
            "mask": np.array(names)[index[0]],
            "seed": 0,
            "id": [f"{c}/{g}/{i}" for c, g, i in index[1:].T],
            "culture": np.array(list("ABCDE"))[index[1]],
            "group": [f"{g}" for g in index[2]],
            "category": "",
            "gold": 0,
            "prediction": 1 - right.ravel(),
            "correct": right.ravel() == 1,
            "p_gold": 0.5,
            "scores": [[0.0, 0.0]] * right.size,
        }
    )
    matrix = AblationMatrix(frame)
    table = square_of(chance.random(10))
    result = {
        "diagonal": diagonal_test(matrix).p <= 0.05,
        "agreement": agreement_with_table(related_cultures(matrix), table, seed=seed).p <= 0.05,
    }
    if masks == "alike":
        result["cells"] = float((cell_tests(matrix)["p"] <= 0.05).mean())
    return result


def square_of(values: np.ndarray) -> dict[tuple[str, str], float]:
    """Distances of five cultures."""
    pairs = [(a, b) for at, a in enumerate("ABCDE") for b in "ABCDE"[at + 1 :]]
    return dict(zip(pairs, values.tolist(), strict=True))


# ------------------------------------------------------------------ variance, balance


def variance(runs: int) -> Iterator[dict[str, object]]:
    """Three wordings that differ, cultures that do not: the share of culture is 0."""
    for groups, rows in product((4, 6, 12, 24), ("1", "4")):
        yield {"groups": groups, "rows": rows, **over_runs(runs, variance_once, groups, rows)}


def variance_once(seed: int, groups: int, rows: str) -> dict[str, float]:
    """One run: the share, and whether its interval holds 0."""
    chance = np.random.default_rng(seed)
    questions = asked(chance, groups, rows, mixed=False)
    shared = rates(chance, questions, 0.0, 0.3)
    summaries = {}
    for wording in "xyz":
        rate = 1 / (1 + np.exp(-(shared + chance.normal(0, 0.3, NEURONS))))
        counts = torch.from_numpy(chance.binomial(TOKENS, rate)).view(len(questions), 1, NEURONS)
        tokens = torch.full((len(questions),), TOKENS)
        summaries[wording] = summarised(questions, counts, tokens, seed=seed, permutations=0)
    found = variance_shares(summaries).overall["act"]
    return {
        f"{part} {name}": value
        for part in ("culture", "interaction")
        for name, value in (
            ("share", found[part].value),
            ("holds 0", not found[part].excludes(0)),
        )
    }


def balance(runs: int) -> Iterator[dict[str, object]]:
    """Topics dealt to groups, to cells or to rows."""
    for groups, rows, unit in product((6, 24), ("1", "4"), ("group", "cell", "row")):
        found = over_runs(runs, balance_once, groups, rows, unit)
        yield {"groups": groups, "rows": rows, "topics by": unit, **found}


def balance_once(seed: int, groups: int, rows: str, unit: str) -> dict[str, float]:
    """One run."""
    chance = np.random.default_rng(seed)
    questions = asked(chance, groups, rows, mixed=True)
    key = {
        "group": lambda q: q.group,
        "cell": lambda q: (q.group, q.culture),
        "row": lambda q: q.id,
    }[unit]
    topics = {name: "xyz"[chance.integers(3)] for name in dict.fromkeys(map(key, questions))}
    labelled = [replace(question, category=topics[key(question)]) for question in questions]
    return {"p <= .05": balance_table(labelled, ["category"])["p"].iloc[0] <= 0.05}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("neurons", "blend", "answers", "variance", "balance"))
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--path")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    further = {"path": given.path} if given.what == "blend" else {}
    for row in globals()[given.what](given.runs, **further):
        shown = (f"{v:.3f}" if isinstance(v, float) else f"{v}" for v in row.values())
        print(" | ".join(f"{k}: {v}" for k, v in zip(row, shown, strict=True)), flush=True)


if __name__ == "__main__":
    main()
