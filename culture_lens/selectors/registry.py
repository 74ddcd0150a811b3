"""The selectors by name: the one place where a selector is added.

To add an activation selector ``mine``:

1. Write ``selectors/mine.py`` with a function ``mine(summary, *, options...)`` that returns
   NeuronScores: a score for each culture, layer and neuron at every site, higher is better. See
   ``lap.py`` for the shortest one, ``lape.py`` for one with options.
2. Add ``"mine": mine`` to ``SELECTORS``. ``select``, ``find_culture_neurons``, ``infer`` and the
   command line then know it; so does ``compare_selectors`` once ``ranking.RANKINGS`` names it.
3. Only where it applies: a default share in ``DEFAULT_SHARES``, a check of its options in
   ``OPTION_CHECKS``, its name in ``NEED_MAGNITUDES``.

A gradient selector takes CulnigScores and returns a NeuronSet; it goes into ``GRADIENT_SELECTORS``,
with a check of sites and shares in ``SHARE_CHECKS``. One that takes KnowledgeScores returns
NeuronScores and goes into ``KNOWLEDGE_SELECTORS``; one that takes what ``hones_scores`` gives goes
into ``HEAD_SELECTORS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Literal, TypeAlias

from culture_lens.activations.summary import ActivationSummary
from culture_lens.attribution.culnig import CulnigScores
from culture_lens.attribution.knowledge import KnowledgeScores
from culture_lens.checks import text
from culture_lens.errors import unknown
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NeuronScores
from culture_lens.selectors.conact import conact
from culture_lens.selectors.culnig_general import check_general, culnig_general
from culture_lens.selectors.culnig_specific import check_specific, culnig_specific
from culture_lens.selectors.hones import check_contrast, hones
from culture_lens.selectors.knowledge import check_weights, knowledge
from culture_lens.selectors.lap import lap
from culture_lens.selectors.lape import check_percentiles, lape
from culture_lens.selectors.mad import mad, mad_probability
from culture_lens.selectors.random import check_seed, random

ActivationSelector: TypeAlias = "Callable[Concatenate[ActivationSummary, ...], NeuronScores]"
"""A rule that scores every neuron for every culture; options are keyword-only."""
GradientSelector: TypeAlias = "Callable[Concatenate[CulnigScores, ...], NeuronSet]"
"""A rule that chooses neurons by shares of its own; options are keyword-only."""

KnowledgeSelector: TypeAlias = "Callable[Concatenate[KnowledgeScores, ...], NeuronScores]"
"""A rule that scores every neuron for every culture; options are keyword-only."""
HeadSelector: TypeAlias = "Callable[Concatenate[NeuronScores, ...], NeuronScores]"
"""A rule on scores of neurons through heads; options are keyword-only."""
Reads = Literal["activations", "culnig", "knowledge", "heads"]
"""What selectors choose from: ActivationSummary, CulnigScores, KnowledgeScores, or the NeuronScores
of ``hones_scores``."""

SELECTORS: Mapping[str, ActivationSelector] = {
    "conact": conact,
    "lap": lap,
    "lape": lape,
    "mad": mad,
    "mad_probability": mad_probability,
    "random": random,
}
GRADIENT_SELECTORS: Mapping[str, GradientSelector] = {
    "culnig_general": culnig_general,
    "culnig_specific": culnig_specific,
}
KNOWLEDGE_SELECTORS: Mapping[str, KnowledgeSelector] = {"knowledge": knowledge}
HEAD_SELECTORS: Mapping[str, HeadSelector] = {"hones": hones}
ALIASES: Mapping[str, str] = {"cas": "conact"}
"""Other name -> name; CAS is what the first version of ConAct's paper calls it."""

DEFAULT_SHARE = 0.005
DEFAULT_SHARES: Mapping[str, float] = {"lape": 0.01}
"""Share of the neurons at a site, where it is not ``DEFAULT_SHARE``."""
OPTION_CHECKS: Mapping[str, Callable[..., None]] = {
    "hones": check_contrast,
    "knowledge": check_weights,
    "lape": check_percentiles,
    "random": check_seed,
}
"""Checks of a selector's own options, called with them before a model runs."""
NEED_MAGNITUDES = ("mad",)
"""Activation selectors that read sums of activations."""
SHARE_CHECKS: Mapping[str, Callable[..., None]] = {
    "culnig_general": check_general,
    "culnig_specific": check_specific,
}
"""Checks of a gradient selector's sites and shares, called before a model runs with the shape of
each site and the options."""


def key_of(name: str) -> str:
    """Write a selector's name as the tables have it; hyphens and underscores are the same.

    Example:
        >>> key_of("CULNIG-specific"), key_of("CAS")
        ('culnig_specific', 'conact')
    """
    key = text("method", name).lower().replace("-", "_")
    return ALIASES.get(key, key)


def get_selector(name: str) -> Callable[..., Any]:
    """Find a selector by name; hyphens and underscores are the same.

    Raises:
        InputError: No such selector.

    Example:
        >>> get_selector("CAS") is get_selector("conact")
        True
    """
    every: dict[str, Callable[..., Any]] = {
        **SELECTORS,
        **GRADIENT_SELECTORS,
        **KNOWLEDGE_SELECTORS,
        **HEAD_SELECTORS,
    }
    key = key_of(name)
    if key not in every:
        raise unknown("selector", name, (*every, *ALIASES))
    return every[key]


def reads(name: str) -> Reads:
    """Say what a selector chooses from; a part of CULNIG reads what CULNIG reads.

    Example:
        >>> reads("conact"), reads("culnig_no_control")
        ('activations', 'culnig')
    """
    if name in KNOWLEDGE_SELECTORS:
        return "knowledge"
    if name.removesuffix("_contrast") in HEAD_SELECTORS:
        return "heads"
    return "activations" if name in SELECTORS else "culnig"
