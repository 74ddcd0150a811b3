"""The selectors by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from culture_lens.errors import unknown
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NeuronScores
from culture_lens.selectors.conact import conact
from culture_lens.selectors.culnig_general import culnig_general
from culture_lens.selectors.culnig_specific import culnig_specific
from culture_lens.selectors.lap import lap
from culture_lens.selectors.lape import lape
from culture_lens.selectors.mad import mad, mad_probability
from culture_lens.selectors.random import random

SELECTORS: Mapping[str, Callable[..., NeuronScores]] = {
    "conact": conact,
    "cas": conact,
    "lap": lap,
    "lape": lape,
    "mad": mad,
    "mad_probability": mad_probability,
    "random": random,
}
"""Activation selectors: ActivationSummary -> NeuronScores."""


GRADIENT_SELECTORS: Mapping[str, Callable[..., NeuronSet]] = {
    "culnig_general": culnig_general,
    "culnig_specific": culnig_specific,
}
"""Gradient selectors: CulnigScores -> NeuronSet; each has shares of its own."""


SHARES: Mapping[str, float] = {"lape": 0.01}


DEFAULT_SHARE = 0.005


def key_of(name: str) -> str:
    """Write a selector's name as the tables have it; hyphens and underscores are the same.

    Example:
        >>> key_of("CULNIG-specific")
        'culnig_specific'
    """
    return name.lower().replace("-", "_")


def get_selector(name: str) -> Callable[..., Any]:
    """Find a selector by name; hyphens and underscores are the same.

    Raises:
        InputError: No such selector.

    Example:
        >>> get_selector("CAS") is get_selector("conact")
        True
    """
    every = {**SELECTORS, **GRADIENT_SELECTORS}
    key = key_of(name)
    if key not in every:
        raise unknown("selector", name, every)
    return every[key]
