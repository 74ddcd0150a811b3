"""Which neurons would not be found by chance: p-values, false discovery rates, how often chosen.

What a selector scores is compared with what it scores under permuted culture labels (``design``):

1. Every neuron is studentised by its own permutations: t = (s - m) / (d + d0), m and d being mean
   and standard deviation of the other permutations' scores, and d0 the median of d over neurons,
   so that a neuron that hardly ever fires is not found for that (Tusher et al. 2001, SAM).
2. Few permutations are enough, for the neurons of a site make the null distribution together:
   p = (1 + number of t_b >= t) / (1 + number of t_b), over all neurons and permutations b.
3. q-values by Benjamini and Hochberg (scipy) over the neurons of a site, and over cultures where
   the selector scores each.
4. A gate for the whole. Neurons are correlated, so one unlucky set of labels can lift thousands of
   them. Each permutation is treated as if it were the data; unless the data give more discoveries
   than all but 5% of them, nothing is discovered. Whatever hangs together, labels that mean
   nothing pass it in at most 5% of runs.

What is found differs between the labels; whether for what the culture is, or for how its pictures
and questions are made, no permutation can say: see ``strata`` and ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.statistics import ActivationSummary
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NEVER, NeuronScores, best
from culture_lens.selectors.lape import entropy

if TYPE_CHECKING:
    import pandas as pd

Selector = Callable[..., NeuronScores]

GATE = 0.05
"""In at most this share of the permutations may as many neurons be discovered as in the data."""
FEWEST = 19
"""With fewer permutations the gate could not open."""


@dataclass(frozen=True, eq=False)
class Inference:
    """p and q of every neuron at the scores of one selector.

    Attributes:
        cultures: Labels.
        p: Per site, ``unit layer neuron``; the units are the cultures, or one for all of them where
            the selector has one statistic per neuron (ConAct's margin, LAPE's entropy).
        q: The same as smallest false discovery rates at which a neuron is discovered.
        scores: What the selector scores on the data.
        nulls: Per site, the q-values of each permutation treated as the data.
        metadata: Selector, options, permutations.

    Example:
        ``infer(summary, "conact").q["act"]``
    """

    cultures: tuple[str, ...]
    p: Mapping[str, Float[Tensor, "unit layer neuron"]]
    q: Mapping[str, Float[Tensor, "unit layer neuron"]]
    scores: NeuronScores
    nulls: Mapping[str, Float[np.ndarray, "permutation test"]]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def global_p(self, site: str, fdr: float = 0.05) -> float:
        """Say how often labels that mean nothing give as many discoveries as the data.

        (1 + permutations with at least as many) / (1 + permutations); 1 where nothing is
        discovered.
        """
        found = int((self.q[site] <= fdr).sum())
        if not found:
            return 1.0
        by_chance = (self.nulls[site] <= fdr).sum(1)
        return float((1 + (by_chance >= found).sum()) / (1 + len(by_chance)))

    def select(self, fdr: float = 0.05) -> NeuronSet:
        """Choose the neurons that are discovered at a false discovery rate; it may be none.

        Raises:
            InputError: A rate outside (0, 1).
        """
        if not 0 < fdr < 1:
            raise InputError(f"fdr={fdr} is outside (0, 1): 0.05 lets 5% of the found be false.")
        allowed = {}
        for site, q in self.q.items():
            scores = self.scores.scores[site]
            open_ = self.global_p(site, fdr) <= GATE
            found = (q <= fdr).expand_as(scores) & (scores > NEVER) & open_
            if site in self.scores.ranking:
                found = found & (self.scores.ranking[site] > NEVER)
            allowed[site] = found
        return self.scores.those(allowed)


def infer(summary: ActivationSummary, method: str = "conact", **options: Any) -> Inference:
    """Test every neuron's score against permuted culture labels.

    Args:
        summary: Of a pass with ``replicates``.
        method: An activation selector, not ``random``.
        **options: Options of the selector.

    Raises:
        InputError: A selector without a null distribution, or a summary with fewer than 19
            permutations.

    Example:
        ``infer(summarise(model, questions, replicates=20)).select(fdr=0.05)``
    """
    from culture_lens.selectors.registry import get_selector

    return infer_with(summary, get_selector(method), options)


def infer_with(
    summary: ActivationSummary, selector: Selector, options: Mapping[str, Any]
) -> Inference:
    """Test the scores of a selector given as a function; see ``infer``."""
    name = selector.__name__
    if name == "random" or name.startswith("culnig"):
        raise InputError(
            f"{name} has no null distribution under permuted labels: use fdr with conact, lape, "
            "mad, mad_probability or lap."
        )
    held = summary.replicates.permutations if summary.replicates is not None else 0
    check_permutations(held)
    data = statistics_of(summary, selector, options)
    null = [statistics_of(one, selector, options) for one in summary.permuted()]
    p, q, nulls = {}, {}, {}
    for site, observed in data.items():
        rows = np.stack([observed.numpy().ravel(), *(one[site].numpy().ravel() for one in null)])
        p_data, q_data, nulls[site] = p_and_q(rows)
        p[site] = torch.from_numpy(p_data).view(observed.shape)
        q[site] = torch.from_numpy(q_data).view(observed.shape)
    metadata = {"selector": name, "options": dict(options), "permutations": held}
    return Inference(summary.cultures, p, q, selector(summary, **options), nulls, metadata)


def check_permutations(number: int) -> None:
    """Refuse too few permutations for a false discovery rate.

    Raises:
        InputError: Fewer than 19.

    Example:
        >>> check_permutations(20)
    """
    if number < FEWEST:
        raise InputError(
            f"a false discovery rate needs at least {FEWEST} permutations, and there are {number}: "
            "record with summarise(..., replicates=20)."
        )


def statistics_of(
    summary: ActivationSummary, selector: Selector, options: Mapping[str, Any]
) -> dict[str, Float[Tensor, "unit layer neuron"]]:
    """Give what is tested: a neuron's margin or entropy, or its score for each culture.

    LAPE's percentiles choose among what is found and are no part of the statistic.
    """
    if selector.__name__ == "lape":
        return {site: -entropy(summary.probability(site))[None] for site in summary.sites}
    scores = selector(summary, **options).scores
    if selector.__name__ == "conact":
        # Minus infinity for all cultures is a tie: a margin of 0.
        return {site: values.amax(0, keepdim=True).clamp(min=0) for site, values in scores.items()}
    return dict(scores)


def studentised(
    rows: Float[np.ndarray, "set neuron"],
) -> Float[np.ndarray, "set neuron"]:
    """Studentise the data (first row) and each permutation by the other permutations.

    Example:
        >>> studentised(np.array([[3.0], [1.0], [2.0], [0.0]])).round(3).ravel().tolist()[0]
        1.0
    """
    data, null = rows[0], rows[1:]
    middle = null.mean(0)
    null, data, n = null - middle, data - middle, len(null)
    spread = null.std(0, ddof=1)
    least = np.median(spread[spread > 0]) if (spread > 0).any() else 1.0
    sums, squares = null.sum(0), (null**2).sum(0)
    result = np.empty_like(rows)
    result[0] = data / (spread + least)
    for number, row in enumerate(null):
        mean = (sums - row) / (n - 1)
        rest = np.maximum(squares - row**2 - (n - 1) * mean**2, 0) / (n - 2)
        result[number + 1] = (row - mean) / (np.sqrt(rest) + least)
    return result


def p_and_q(
    rows: Float[np.ndarray, "set neuron"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give p and q of the data, and the q-values of each permutation treated as the data.

    Args:
        rows: Scores of the data first, then of each permutation.
    """
    from scipy.stats import false_discovery_control

    ratios = studentised(rows)
    pool = np.sort(ratios[1:].ravel())
    size = rows.shape[1]

    def above(values: np.ndarray, among: np.ndarray) -> np.ndarray:
        return len(among) - np.searchsorted(among, values, side="left")

    p = (1 + above(ratios[0], pool)) / (1 + len(pool))
    nulls = np.empty((len(rows) - 1, size), dtype=np.float32)
    for number, row in enumerate(ratios[1:]):
        others = above(row, pool) - above(row, np.sort(row))
        nulls[number] = false_discovery_control((1 + others) / (1 + len(pool) - size))
    return p, false_discovery_control(p), nulls


# ------------------------------------------------------------------ how often chosen


def selection_frequency(summary: ActivationSummary, found: NeuronSet) -> pd.DataFrame:
    """Say in what share of the bootstrap samples each neuron of a set is chosen again.

    In every sample as many neurons are taken for each culture and site as the set has.

    Args:
        summary: The summary that the set was chosen from, with bootstrap samples.
        found: What an activation selector chose.

    Returns:
        Columns culture, site, layer, index, score, frequency.

    Raises:
        InputError: The summary holds no bootstrap samples, or the set is of no activation selector.

    Example:
        ``selection_frequency(summary, select(summary, "conact"))["frequency"].mean()``
    """
    from culture_lens.selectors.registry import SELECTORS

    if found.method not in SELECTORS:
        raise InputError(
            f"the set was chosen by {found.method or 'nothing that is recorded'!r}: frequencies "
            f"are those of activation selectors, {', '.join(SELECTORS)}."
        )
    selector, options = SELECTORS[found.method], found.metadata.get("options", {})
    table = found.to_pandas()
    places = list(zip(table["site"], table["layer"], table["index"], strict=True))
    hits = np.zeros(len(table))
    samples = list(summary.resampled())
    if not samples:
        raise InputError(
            "the summary holds no bootstrap samples: record with summarise(..., replicates=20)."
        )
    for sample in samples:
        again = as_many(selector(sample, **options), found)
        hits += [
            place in again[culture] for culture, place in zip(table["culture"], places, strict=True)
        ]
    return table.assign(frequency=hits / len(samples))


def as_many(scores: NeuronScores, found: NeuronSet) -> dict[str, set[tuple[str, int, int]]]:
    """Take as many neurons for each culture and site as a set has."""
    taken: dict[str, set[tuple[str, int, int]]] = {culture: set() for culture in found}
    for culture in found:
        own = scores.cultures.index(culture)
        for site, places in found[culture].places.items():
            values = scores.scores[site][own]
            if site in scores.ranking:
                values = torch.where(scores.ranking[site] > NEVER, values, NEVER)
            chosen = best(values, values > NEVER, len(places))
            taken[culture] |= {(site, layer, index) for layer, index in chosen.tolist()}
    return taken


__all__ = ["Inference", "infer", "selection_frequency"]
