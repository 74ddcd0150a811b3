"""Coverage of the intervals of docs/methods/intervals.md, by simulation.

Answers are drawn with a known accuracy or change; the share of intervals that hold it is counted.
``old`` is the percentile bootstrap of groups, ``t`` the clustered error with Student's t and G - 1
degrees of freedom, ``studentised`` the bootstrap of t, ``wild`` the wild cluster bootstrap-t with
Webb's weights, ``ours`` is ``mean_estimate``.

    python speed/intervals.py means          the table of coverage by number of groups
    python speed/intervals.py uneven         ours where sizes of groups differ more
    python speed/intervals.py composites     means over cultures and gaps of ablation matrices
    python speed/intervals.py sets           found drawn as one more random set
    python speed/intervals.py time           64 cells and their metrics
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import defaultdict
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.means import Means, beyond_sets
from culture_lens.statistics.estimates import CHANGES, SHARES, clustered_spread
from culture_lens.statistics.tables import as_estimates

GROUPS = (4, 5, 6, 8, 10, 15, 30, 60, 100)
SIZES = {
    "1": [1],
    "5": [5],
    "1 to 12": [1, 1, 2, 3, 5, 8, 2, 1, 4, 12],
    "one of 20": [20] + 99 * [2],
}
"""Items of each group, in turn."""
UNEVEN = {
    "2 or 6": [2, 6],
    "1 to 5": [1, 2, 3, 4, 5, 5, 5],
    "1 or 10": [1, 1, 1, 10],
    "1 or 30": [*9 * [1], 30],
    "41 to 1": [40 // place + 1 for place in range(1, 101)],
}
"""The same, of more kinds."""
CORRELATIONS = (0.0, 0.2, 0.6, 1.0)
"""Correlation of items within a group."""
KINDS = {
    "accuracy .5": (0, 0.5, 0.5),
    "accuracy .8": (0, 0.2, 0.8),
    "accuracy .9": (0, 0.1, 0.9),
    "accuracy .97": (0, 0.03, 0.97),
    "change -15 +5": (0.15, 0.8, 0.05),
    "change -5 +2": (0.05, 0.93, 0.02),
    "change -2 +2": (0.02, 0.96, 0.02),
    "change -10": (0.1, 0.9, 0),
    "change -2": (0.02, 0.98, 0),
}
"""Probabilities of -1, 0 and 1."""
VALUES = np.array([-1.0, 0.0, 1.0])


def drawn(source, chances, sizes, correlation, trials):
    """Sums and sums of squares per trial and group, of items whose group has chances of its own."""
    shape = (trials, len(sizes))
    if correlation == 0:
        own = np.broadcast_to(chances, (*shape, 3))
    elif correlation == 1:
        own = np.eye(3)[source.choice(3, size=shape, p=chances)]
    else:
        own = source.gamma(np.array(chances) * (1 / correlation - 1), size=(*shape, 3)) + 1e-300
        own = own / own.sum(-1, keepdims=True)
    counts = source.multinomial(np.broadcast_to(sizes, shape), own)
    return counts @ VALUES, counts @ VALUES**2


def errors(sums, sizes):
    """The mean and its clustered standard error, along the last axis."""
    mean = sums.sum(-1) / sizes.sum(-1)
    groups = sums.shape[-1]
    squares = ((sums - sizes * mean[..., None]) ** 2).sum(-1)
    return mean, np.sqrt(groups / (groups - 1) * squares) / sizes.sum(-1)


def percentile(source, sums, sizes, draws=400):
    weights = source.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=draws)
    means = (sums @ weights.T) / (weights @ sizes)
    return np.percentile(means, [2.5, 97.5], axis=1)


def students(source, sums, sizes):
    mean, error = errors(sums, sizes)
    reach = t.ppf(0.975, len(sizes) - 1) * error
    return mean - reach, mean + reach


def studentised(source, sums, sizes, draws=200):
    mean, error = errors(sums, sizes)
    picks = source.integers(len(sizes), size=(draws, len(sizes)))
    means, own = errors(sums[:, picks], np.broadcast_to(sizes[picks], sums[:, picks].shape))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.where(own > 0, (means - mean[:, None]) / own, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanpercentile(scaled, [2.5, 97.5], axis=1)
    return mean - high * error, mean - low * error


def wild_holds(source, sums, sizes, truth, draws=399):
    """Whether a wild cluster bootstrap-t of the true value does not reject it."""
    webb = np.sqrt([0.5, 1, 1.5])
    webb = np.concatenate([-webb, webb])
    mean, error = errors(sums, sizes)
    residuals = sums - sizes * truth
    weights = source.choice(webb, size=(draws, len(sizes)))
    means, own = errors(residuals[:, None] * weights, np.broadcast_to(sizes, (1, 1, len(sizes))))
    with np.errstate(divide="ignore", invalid="ignore"):
        seen, null = np.abs((mean - truth) / error), np.abs(means / own)
    seen = np.where(error > 0, seen, np.where(mean == truth, 0.0, np.inf))
    return (np.nan_to_num(null, nan=0.0) >= seen[:, None]).mean(1) >= 0.05


def ours(sums, squares, sizes, bounds):
    n = sizes.sum()
    held = []
    for own, square in zip(sums, squares.sum(1), strict=True):
        mean = own.sum() / n
        variance = max(square / n - mean**2, 0.0)
        spread = clustered_spread(mean, (own - sizes * mean) / n, sizes, variance, bounds)
        estimate = spread.estimate(mean)
        held.append((estimate.low, estimate.high))
    return np.array(held).T


def means(trials=1000, slow=200):
    """Coverage of every case; the bootstraps, being slow, on fewer trials."""
    source = np.random.default_rng(0)
    found, widths = defaultdict(dict), defaultdict(dict)
    for groups, (name, pattern), correlation, (kind, chances) in product(
        GROUPS, SIZES.items(), CORRELATIONS, KINDS.items()
    ):
        if name == "1" and correlation:
            continue
        sizes = np.resize(pattern, groups).astype(float)
        if name == "one of 20":
            sizes = np.array(pattern[:groups], dtype=float)
        sums, squares = drawn(source, chances, sizes.astype(int), correlation, trials)
        truth = float(np.array(chances) @ VALUES)
        bounds = SHARES if kind.startswith("accuracy") else CHANGES
        case = groups, name, correlation, kind
        made = {"t": students(source, sums, sizes), "ours": ours(sums, squares, sizes, bounds)}
        few = sums[:slow]
        made["old"] = percentile(source, few, sizes)
        made["studentised"] = studentised(source, few, sizes)
        for method, (low, high) in made.items():
            found[method][case] = ((low <= truth + 1e-9) & (truth - 1e-9 <= high)).mean()
            widths[method][case] = np.mean(np.minimum(high, 1) - np.maximum(low, bounds[0]))
        found["wild"][case] = wild_holds(source, few, sizes, truth).mean()
    names = ["groups", "items", "correlation", "kind"]
    table = pd.DataFrame(found).rename_axis(names)
    width = pd.DataFrame(widths).rename_axis(names)
    by = table.groupby("groups")
    print("mean coverage\n", by.mean().round(3), "\nleast\n", by.min().round(3))
    print("share of cases below .93\n", by.agg(lambda own: (own < 0.93).mean()).round(2))
    print("mean width\n", width.groupby("groups").mean().round(3))
    plain = table.xs("accuracy .5", level="kind"), width.xs("accuracy .5", level="kind")
    print("accuracy .5: coverage\n", plain[0].groupby("groups").mean().round(3))
    print("accuracy .5: width\n", plain[1].groupby("groups").mean().round(3))
    print("ours, least\n", table["ours"].nsmallest(12).round(3))


def uneven(trials=1000):
    """Coverage of ours for groups of more kinds of sizes."""
    source = np.random.default_rng(0)
    found = {}
    for name, groups, correlation in product(UNEVEN, (4, 6, 8, 12, 20, 40, 80), (0.2, 0.6, 1.0)):
        for kind, chances in KINDS.items():
            sizes = np.resize(UNEVEN[name], groups).astype(float)
            sums, squares = drawn(source, chances, sizes.astype(int), correlation, trials)
            truth = float(np.array(chances) @ VALUES)
            bounds = SHARES if kind.startswith("accuracy") else CHANGES
            low, high = ours(sums, squares, sizes, bounds)
            held = (low <= truth + 1e-9) & (truth - 1e-9 <= high)
            found[name, groups, correlation, kind] = held.mean()
    table = pd.Series(found).rename_axis(["items", "groups", "correlation", "kind"])
    print(table.groupby("items").agg(["mean", "min"]).round(3))
    print(table.nsmallest(12).round(3))


def matrix_of(correct, seeds):
    """A matrix from correct: run x culture x group x item; runs are base, masks, random sets."""
    runs, cultures, groups, size = correct.shape
    masks = [(("unmodified", "", 0))] + [("found", f"c{c}", 0) for c in range(cultures)]
    masks += [("random", f"c{c}", seed) for seed in range(seeds) for c in range(cultures)]
    at = np.indices((cultures, groups, size)).reshape(3, -1)
    items = pd.DataFrame(
        {
            "id": [f"{c}/{g}/{i}" for c, g, i in at.T],
            "culture": [f"c{c}" for c in at[0]],
            "group": [f"g{g}" for g in at[1]],
            "p_gold": 0.5,
        }
    )
    frames = [
        items.assign(
            condition=condition,
            mask=mask,
            seed=seed,
            correct=own.ravel().astype(bool),
            prediction=1 - own.ravel().astype(int),
        )
        for (condition, mask, seed), own in zip(masks, correct, strict=True)
    ]
    return AblationMatrix(pd.concat(frames, ignore_index=True))


def answers(source, chances, groups, size, within=0.3, again=0.5):
    """Answers by a threshold on a normal: part of the group, part of the item, part of the run."""
    shape = (*np.shape(chances), groups, size)
    own = np.sqrt(within) * source.normal(size=(1, 1, groups, 1))
    own = own + np.sqrt(again) * source.normal(size=(1, *shape[1:]))
    own = own + np.sqrt(1 - within - again) * source.normal(size=shape)
    return own < norm.ppf(np.clip(chances, 0.005, 0.995))[..., None, None]


def composites(trials=150):
    """Coverage of a cell, of means over cultures, and of gaps, of whole matrices."""
    source = np.random.default_rng(0)
    for groups, size, cultures, effect in (
        (4, 3, 3, 0.1), (6, 2, 4, 0.1), (10, 1, 8, 0.02), (10, 3, 4, 0.2), (30, 2, 4, 0.02),
        (30, 1, 8, 0.15),
    ):  # fmt: skip
        held, wide = defaultdict(list), defaultdict(list)
        chances = np.full((1 + cultures, cultures), 0.7)
        chances[1:] -= 0.02
        chances[1:][np.eye(cultures, dtype=bool)] = 0.7 - effect
        for _ in range(trials):
            matrix = matrix_of(answers(source, chances, groups, size), 0)
            truths = {
                "base": 0.7,
                "self": -effect,
                "cross": -0.02,
                "gap": 0.02 - effect,
                "gap_masks": 0.02 - effect,
            }
            made = {f"mean {name}": (matrix.overall(name), truths[name]) for name in truths}
            first = as_estimates(matrix.summary()).iloc[0]
            made |= {f"one {name}": (first[name], truths[name]) for name in truths}
            for name, (estimate, truth) in made.items():
                held[name].append(estimate.low <= truth <= estimate.high)
                wide[name].append(estimate.high - estimate.low)
        told = [f"{k} {np.mean(v):.2f} ({np.mean(wide[k]):.2f})" for k, v in held.items()]
        print(f"{groups} groups of {size}, {cultures} cultures, effect {effect}:", flush=True)
        print("   ", ", ".join(told), flush=True)


def own_change(correct, base):
    """The mean change over cultures, of answers culture x item; item i of all is group i."""
    change = correct.astype(float) - base
    values, items = change.mean(1), change.shape[1]
    influences = (change - values[:, None]).T / items
    rows = np.concatenate([values[None], influences])
    single = np.ones(len(values))
    return Means(rows, np.ones_like(influences), change.var(1), single, CHANGES).over_cultures()


def old_excludes(found, sets, source, draws=400):
    """Whether the percentile interval of found minus the mean of random sets excludes 0."""
    moved = (found.astype(float) - np.mean(sets, 0)).mean(0)
    weights = source.multinomial(len(moved), np.full(len(moved), 1 / len(moved)), size=draws)
    low, high = np.percentile(weights @ moved / len(moved), [2.5, 97.5])
    return low > 0 or high < 0


def sets(trials=1000):
    """How often found minus random excludes 0 where the found set is one more random set."""
    source = np.random.default_rng(0)
    cases = [(60, 1, 0.06), (60, 8, 0.06), (400, 1, 0.04), (400, 8, 0.04), (60, 1, 0.0)]
    for (items, cultures, deviation), number in product(cases, (1, 2, 3, 5, 10, 19)):
        old, ours, wide, first = 0, 0, [], 0
        for _ in range(trials):
            effects = deviation * source.normal(size=(number + 1, 1))  # of a set on all cultures
            chances = np.broadcast_to(0.55 + effects, (number + 1, cultures))
            chances = np.concatenate([np.full((1, cultures), 0.6), chances])
            base, found, *random = answers(source, chances, items, 1)[..., 0]
            value, spread = beyond_sets(
                own_change(found, base), [own_change(one, base) for one in random]
            )
            estimate = spread.estimate(value)
            ours += estimate.excludes(0)
            wide.append(estimate.high - estimate.low)
            old += old_excludes(found, random, source)
            first += all(found.mean() < one.mean() for one in random)
        print(
            f"{items} items, {cultures} cultures, deviation {100 * deviation:.0f}, {number} sets: "
            f"old {old / trials:.3f}, ours {ours / trials:.3f}, width {100 * np.mean(wide):.0f} "
            f"points, rank 1 {first / trials:.3f}",
            flush=True,
        )


def seconds():
    """Time of 64 cells with 400 questions each and all metrics."""
    chances = np.full((1 + 8 * 6, 8), 0.6)
    matrix = matrix_of(answers(np.random.default_rng(0), chances, 400, 1), 5)
    for name, call in {
        "summary": matrix.summary,
        "64 cells": lambda: [matrix.cell(m, c) for m in matrix.masks for c in matrix.cultures],
        "beyond_random": matrix.beyond_random,
        "draws of the bootstrap": lambda: matrix.draws("change"),
    }.items():
        start = time.perf_counter()
        call()
        print(f"{name}: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    calls = {"means": means, "uneven": uneven, "composites": composites, "sets": sets}
    (calls | {"time": seconds})[sys.argv[1]]()
