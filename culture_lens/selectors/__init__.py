"""Selectors: one rule per file, ActivationSummary -> NeuronScores; all from one summary.

==================  ====================================================  =====================
name                score of neuron (l, n) for culture c                  where it comes from
==================  ====================================================  =====================
lap                 P[c]                                                  paper A
lape                low entropy of P over cultures                        Tang et al. 2024
mad                 mean activation of c minus that of the others         paper A, reading (i)
mad_probability     P[c] minus mean P of the others                       paper A, reading (ii)
conact (cas)        P[c] minus the second highest P, where c is highest   paper A
random              a random number                                       baseline
==================  ====================================================  =====================
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from culture_lens.errors import InputError, unknown
from culture_lens.neurons import NeuronSet
from culture_lens.scores import NeuronScores, check_share
from culture_lens.selectors.conact import conact
from culture_lens.selectors.lap import lap
from culture_lens.selectors.lape import lape
from culture_lens.selectors.mad import mad, mad_probability
from culture_lens.selectors.random import matched_random, random
from culture_lens.statistics import ActivationSummary

Selector = Callable[..., NeuronScores]

SELECTORS: Mapping[str, Selector] = {
    "conact": conact,
    "cas": conact,
    "lap": lap,
    "lape": lape,
    "mad": mad,
    "mad_probability": mad_probability,
    "random": random,
}
SHARES: Mapping[str, float] = {"lape": 0.01}
DEFAULT_SHARE = 0.005

__all__ = [
    "DEFAULT_SHARE",
    "SELECTORS",
    "SHARES",
    "Selector",
    "check_selection",
    "matched_random",
    "select",
]


def get_selector(name: str) -> Selector:
    """Find a selector by name; hyphens and underscores are the same.

    Raises:
        InputError: No such selector.

    Example:
        >>> get_selector("CAS") is get_selector("conact")
        True
    """
    key = name.lower().replace("-", "_")
    if key not in SELECTORS:
        raise unknown("selector", name, SELECTORS)
    return SELECTORS[key]


SPECIMEN = ActivationSummary(
    cultures=("a", "b"),
    items=torch.ones(2, dtype=torch.long),
    tokens=torch.ones(2, dtype=torch.long),
    counts={"act": torch.ones(2, 1, 1, dtype=torch.long)},
    sums={"act": torch.ones(2, 1, 1, dtype=torch.float64)},
)
"""A summary of one neuron, to try a selector's options on."""


def check_selection(
    method: str,
    share: float | None,
    k: int | None,
    options: Mapping[str, Any],
    magnitudes: bool = True,
) -> tuple[Selector, float | None]:
    """Check everything about a selection that can be checked before a model runs.

    Args:
        method: Name of the selector.
        share: Share of the neurons, or nothing.
        k: Number of neurons, or nothing.
        options: Options of the selector.
        magnitudes: Whether the summary will hold sums.

    Returns:
        The selector, and the share: the selector's own where neither share nor k is given.

    Raises:
        InputError: An unknown selector or option, or a share outside (0, 1].

    Example:
        >>> check_selection("conact", None, None, {})[1]
        0.005
    """
    selector = get_selector(method)
    try:
        inspect.signature(selector).bind(None, **options)
    except TypeError as error:
        known = [name for name in inspect.signature(selector).parameters if name != "summary"]
        raise InputError(
            f"selector {selector.__name__!r}: {error}; its options are: "
            f"{', '.join(known) or 'none'}."
        ) from None
    if share is not None and k is not None:
        raise InputError(f"give share or k, not both (share={share}, k={k}).")
    if share is None and k is None:
        share = SHARES.get(selector.__name__, DEFAULT_SHARE)
    if k is not None and k < 1:
        raise InputError(f"k={k}: at least one neuron must be chosen.")
    selector(SPECIMEN if magnitudes else replace(SPECIMEN, sums={}), **options)
    return selector, check_share(share) if share is not None else None


def select(
    summary: ActivationSummary,
    method: str = "conact",
    *,
    share: float | None = None,
    k: int | None = None,
    **options: Any,
) -> NeuronSet:
    """Choose each culture's neurons by one selector.

    Args:
        summary: What a recording pass counted.
        method: Name of the selector.
        share: Share of the neurons at each site; 0.5% by default, 1% for LAPE.
        k: Or how many neurons at each site.
        **options: Options of the selector, such as ``percentile_filter`` of LAPE.

    Raises:
        InputError: An unknown selector or option, a share outside (0, 1], or fewer than two
            cultures.

    Example:
        ``found = select(summary, "conact", share=0.005)``
    """
    selector, share = check_selection(method, share, k, options)
    name = selector.__name__
    if len(summary.cultures) < 2:
        raise InputError(
            f"the summary holds only {', '.join(summary.cultures)}: a culture's neurons are found "
            "by comparison, so at least two cultures are needed."
        )
    scores = selector(summary, **options)
    found = with_means(scores.top(share=share, k=k), summary)
    chosen = {"selector": name, "share": share, "k": k, "options": options}
    return replace(found, metadata={**summary.metadata, **chosen})


def with_means(found: NeuronSet, summary: ActivationSummary) -> NeuronSet:
    """Note each chosen neuron's mean activation over all tokens, for ablation to the mean."""
    total = summary.tokens.sum().double()
    means = {site: sums.sum(0) / total for site, sums in summary.sums.items()}
    neurons = {
        culture: replace(
            chosen,
            means={
                site: means[site][places[:, 0], places[:, 1]]
                for site, places in chosen.places.items()
                if site in means
            },
        )
        for culture, chosen in found.neurons.items()
    }
    return replace(found, neurons=neurons)
