"""p-values and false discovery rates of an activation selector's neurons.

A selector's scores are compared with its scores under permuted culture labels (``resampling``):

1. Every neuron is studentised by its own permutations: t = (s - m) / (d + d0), m and d being mean
   and standard deviation of the other permutations' scores, and d0 the median of d over neurons,
   which keeps neurons that hardly ever fire from being found (Tusher et al. 2001, SAM).
2. The neurons of a site share one null distribution, so few permutations are enough:
   p = (1 + number of t_b >= t) / (1 + number of t_b), over all neurons and permutations b.
3. q-values by Benjamini and Hochberg (scipy) over the neurons of a site, and over cultures where
   the selector scores each. Layers without units, such as those without an autoencoder, are no
   part of 1 to 3: their p and q are 1.
4. A global test. Neuron scores are correlated, so one unlucky set of labels can give thousands of
   high scores. Each permutation is treated as if it were the data; unless the data give more
   discoveries than all but 5% of the permutations, nothing is discovered. Whatever the
   correlation, meaningless labels pass this test in at most 5% of runs.

A discovered neuron differs between the labels. Whether it differs because of the culture, or
because of how that culture's pictures and questions were made, no permutation can tell: see
``strata`` and ablation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from culture_lens.activations.summary import SUMMARY, ActivationSummary
from culture_lens.checks import check_arguments, real, text, whole
from culture_lens.errors import InputError
from culture_lens.neurons.long_tables import long_table
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NEVER, NeuronScores
from culture_lens.neurons.with_units import layers_with_units
from culture_lens.selectors.lape import entropy
from culture_lens.selectors.registry import (
    GRADIENT_SELECTORS,
    HEAD_SELECTORS,
    KNOWLEDGE_SELECTORS,
    SELECTORS,
    ActivationSelector,
    get_selector,
    key_of,
)
from culture_lens.storage.display import Shown, some

if TYPE_CHECKING:
    import pandas as pd

GLOBAL_LEVEL = 0.05
"""In at most this share of the permutations may as many neurons be discovered as in the data."""
FEWEST_PERMUTATIONS = 19
"""With fewer permutations no p reaches ``GLOBAL_LEVEL``."""
UNTESTED = ("random", *GRADIENT_SELECTORS, *KNOWLEDGE_SELECTORS, *HEAD_SELECTORS)
"""Selectors without a null distribution under permuted culture labels."""


@dataclass(frozen=True, eq=False, repr=False)
class Inference(Shown):
    """p and q of every neuron for one selector.

    Attributes:
        cultures: Labels.
        p: Per site, ``unit layer neuron``; the units are the cultures, or one for all of them where
            the selector has one statistic per neuron (ConAct's margin, LAPE's entropy).
        q: In the same layout, the smallest false discovery rate at which a neuron is discovered.
        scores: The selector's scores on the data.
        nulls: Per site, the q-values of each permutation treated as the data.
        metadata: Selector, options, permutations, and those of the summary.

    Example:
        ``infer(summary, "conact").q["act"]``
    """

    cultures: tuple[str, ...]
    p: Mapping[str, Float[Tensor, "unit layer neuron"]]
    q: Mapping[str, Float[Tensor, "unit layer neuron"]]
    scores: NeuronScores
    nulls: Mapping[str, Float[np.ndarray, "permutation test"]]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def _units(self) -> list[str]:
        alone = len(next(iter(self.p.values()))) == 1 < len(self.cultures)
        return ["all"] if alone else list(self.cultures)

    def _headline(self) -> str:
        return f"Inference {self.metadata.get('selector', '')}: {some(self.cultures)}"

    def _facts(self) -> Mapping[str, Any]:
        return {"permutations": len(next(iter(self.nulls.values())))}

    def _overview(self) -> pd.DataFrame:
        import pandas as pd

        held = {f"q <= 0.05 {s}": (q <= GLOBAL_LEVEL).sum((1, 2)) for s, q in self.q.items()}
        table = pd.DataFrame({name: values.tolist() for name, values in held.items()})
        return table.set_axis(self._units())

    def to_pandas(self) -> pd.DataFrame:
        """List p and q of every neuron: culture (``all`` for one statistic), site, layer, index."""
        return long_table(self._units(), {"p": self.p, "q": self.q})

    @check_arguments(site=text, fdr=real)
    def global_p(self, site: str, fdr: float = 0.05) -> float:
        """Give the p-value of the number of discoveries: how often meaningless labels give as many.

        (1 + permutations with at least as many) / (1 + permutations); 1 where nothing is
        discovered.
        """
        found = int((self.q[site] <= fdr).sum())
        if not found:
            return 1.0
        by_chance = (self.nulls[site] <= fdr).sum(1)
        return float((1 + (by_chance >= found).sum()) / (1 + len(by_chance)))

    @check_arguments(fdr=real)
    def select(self, fdr: float = 0.05) -> NeuronSet:
        """Choose the neurons that are discovered at a false discovery rate; there may be none.

        Raises:
            InputError: A rate outside (0, 1).
        """
        check_fdr(fdr)
        allowed = {}
        for site, q in self.q.items():
            scores = self.scores.scores[site]
            open_ = self.global_p(site, fdr) <= GLOBAL_LEVEL
            found = (q <= fdr).expand_as(scores) & (scores > NEVER) & open_
            if site in self.scores.ranking:
                found = found & (self.scores.ranking[site] > NEVER)
            allowed[site] = found
        chosen = self.scores.those(allowed)
        return replace(chosen, metadata={**chosen.metadata, **self.metadata, "fdr": fdr})


@check_arguments(summary=SUMMARY, method=text)
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
    return infer_with(summary, key_of(method), options)


def infer_with(summary: ActivationSummary, name: str, options: Mapping[str, Any]) -> Inference:
    """Test the scores of the selector of a registered name; see ``infer``."""
    check_tested(name)
    selector: ActivationSelector = get_selector(name)
    held = summary.replicates.permutations if summary.replicates is not None else 0
    check_permutations(held)
    data = statistics_of(summary, name, options)
    null = [statistics_of(one, name, options) for one in summary.permuted()]
    p, q, nulls = dict[str, Tensor](), dict[str, Tensor](), dict[str, np.ndarray]()
    for site, observed in data.items():
        have = layers_with_units(summary.metadata, site, observed.shape[1])
        tested = [one[site][:, have] for one in (data, *null)]
        rows = np.stack([values.numpy().ravel() for values in tested])
        p_data, q_data, nulls[site] = p_and_q(rows)
        for every, values in ((p, p_data), (q, q_data)):
            every[site] = torch.ones(observed.shape, dtype=torch.float64)
            every[site][:, have] = torch.from_numpy(values).view(tested[0].shape)
    made = {"selector": name, "options": dict(options), "permutations": held}
    metadata = {**summary.metadata, **made}
    return Inference(summary.cultures, p, q, selector(summary, **options), nulls, metadata)


def check_fdr(fdr: float) -> None:
    """Refuse a false discovery rate outside (0, 1).

    Raises:
        InputError: It is.

    Example:
        >>> check_fdr(0.05)
    """
    if not 0 < real("fdr", fdr) < 1:
        raise InputError(
            f"fdr={fdr} is outside (0, 1): at 0.05, 5% of the neurons found are expected false."
        )


def check_tested(name: str) -> None:
    """Refuse a selector without a null distribution under permuted labels.

    Raises:
        InputError: Names the selectors that have one.

    Example:
        >>> check_tested("conact")
    """
    if name in UNTESTED:
        tested = ", ".join(selector for selector in SELECTORS if selector not in UNTESTED)
        raise InputError(
            f"selector {name!r} has no false discovery rate, since permuted culture labels give it "
            f"no null distribution: use one of {tested}."
        )


def check_permutations(number: int) -> None:
    """Refuse too few permutations for a false discovery rate.

    Raises:
        InputError: Fewer than 19.

    Example:
        >>> check_permutations(20)
    """
    if whole()("replicates", number) < FEWEST_PERMUTATIONS:
        raise InputError(
            f"a false discovery rate needs at least {FEWEST_PERMUTATIONS} permutations, and there "
            f"are {number}: record with summarise(..., replicates=20)."
        )


Statistics = dict[str, Float[Tensor, "unit layer neuron"]]


def largest_margin(summary: ActivationSummary, **options: Any) -> Statistics:
    """Give each neuron's margin, whichever culture has it; a tie is a margin of 0."""
    scores = get_selector("conact")(summary, **options).scores
    return {site: values.amax(0, keepdim=True).clamp(min=0) for site, values in scores.items()}


def negative_entropy(summary: ActivationSummary, **_: Any) -> Statistics:
    """Give each neuron's -H. LAPE's percentiles choose among the neurons found: no part of it."""
    return {site: -entropy(summary.probability(site))[None] for site in summary.sites}


STATISTICS: Mapping[str, Callable[..., Statistics]] = {
    "conact": largest_margin,
    "lape": negative_entropy,
}
"""The statistic of selectors that have one per neuron, for all cultures together."""


def statistics_of(summary: ActivationSummary, name: str, options: Mapping[str, Any]) -> Statistics:
    """Give the statistic that is tested: by default a neuron's score for each culture."""
    if name in STATISTICS:
        return STATISTICS[name](summary, **options)
    return dict(get_selector(name)(summary, **options).scores)


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


__all__ = ["Inference", "infer"]
