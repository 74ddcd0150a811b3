"""Which results were made with which neurons: files of one name need not belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from culture_lens.neurons.neuron_set import NeuronSet

NEURON_SET = "neuron_set"
"""Entry of a result's metadata: the content of the set whose neurons were ablated."""


def set_name(name: str, metadata: Mapping[str, Any]) -> str:
    """Give the name of the neuron set that a result of a run folder goes by.

    Example:
        >>> set_name("conact-double", {"value": "double"}), set_name("conact", {"value": "zero"})
        ('conact', 'conact')
    """
    return name.removesuffix(f"-{metadata.get('value')}")


def is_of(metadata: Mapping[str, Any], found: NeuronSet) -> bool:
    """Say whether a result was made with the neurons of a set.

    Of a result of version 0.1.0, which names no content, the model, the selector's options and the
    numbers of neurons are compared, as far as both name them.

    Args:
        metadata: Of a measured or predicted ablation matrix.
        found: The set.

    Example:
        ``is_of(matrix.metadata, NeuronSet.load("conact.safetensors"))``
    """
    if (content := metadata.get(NEURON_SET)) is not None:
        return bool(content == found.content)
    facts = [
        (metadata.get(fact), found.metadata.get(fact))
        for fact in ("model", "selector", "share", "k")
    ]
    if (numbers := metadata.get("neurons")) is not None:
        facts.append((sorted(numbers.values()), sorted(len(found[culture]) for culture in found)))
    return all(mine == theirs for mine, theirs in facts if None not in (mine, theirs))
