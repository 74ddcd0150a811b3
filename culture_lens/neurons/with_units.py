"""Layers that have units, such as those with an autoencoder; all others are in tables as 0.

What is counted, ranked or drawn at random is that of these layers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from culture_lens.neurons.neurons import Shape


def layers_with_units(metadata: Mapping[str, Any], site: str, layers: int) -> list[int]:
    """List the layers of a site that have something to choose; see ``LensModel.layers_of``.

    Example:
        >>> layers_with_units({"units": {"sae": {"layers": [1]}}}, "sae", 3)
        [1]
    """
    return list(metadata.get("units", {}).get(site, {}).get("layers", range(layers)))


def number_of_units(shapes: Mapping[str, Shape], metadata: Mapping[str, Any]) -> dict[str, int]:
    """Count the units of each site.

    Example:
        >>> number_of_units({"act": (3, 10), "sae": (3, 10)}, {"units": {"sae": {"layers": [1]}}})
        {'act': 30, 'sae': 10}
    """
    return {
        site: len(layers_with_units(metadata, site, layers)) * width
        for site, (layers, width) in shapes.items()
    }


def of_units(table: torch.Tensor, metadata: Mapping[str, Any], site: str) -> torch.Tensor:
    """Leave out the layers without units of a table, ``... layer neuron``.

    Example:
        >>> of_units(torch.tensor([[1.0], [2.0]]), {"units": {"sae": {"layers": [1]}}}, "sae")
        tensor([[2.]])
    """
    return table[..., layers_with_units(metadata, site, table.shape[-2]), :]


__all__ = ["layers_with_units", "number_of_units", "of_units"]
