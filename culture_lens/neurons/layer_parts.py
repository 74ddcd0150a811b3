"""Cut neuron sets by layer, to ablate the lower, middle and upper part of each by itself.

Where a selector's neurons sit says where it looked. Where ablating them takes effect says more:
the lower, the middle and the upper part of each set are ablated alone, and compared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from culture_lens.checks import check_arguments, whole
from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import FOUND_SET, NeuronSet

THIRDS = ("lower", "middle", "upper")


@check_arguments(found=FOUND_SET, parts=whole(1))
def layer_parts(found: NeuronSet, parts: int = 3) -> dict[str, NeuronSet]:
    """Cut every culture's neurons by the part of the layers that they are in.

    Args:
        found: The neurons, at sites with the same number of layers.
        parts: Number of parts of like size.

    Returns:
        Name -> neurons: ``"lower"``, ``"middle"`` and ``"upper"`` for three parts, else the layers
        of each, such as ``"layers 0 to 4"``.

    Raises:
        InputError: More parts than layers, or sites with different numbers of layers.

    Example:
        ``ablation_matrix(model, layer_parts(found)["upper"], held_out).table()``
    """
    numbers = {layers for layers, _ in found.shapes.values()}
    if len(numbers) != 1:
        raise InputError(
            f"the sites {', '.join(found.shapes)} have different numbers of layers: cut the "
            "neurons of each stack by themselves."
        )
    (layers,) = numbers
    if parts > layers:
        raise InputError(f"parts={parts}: the model has {layers} layers; give at most so many.")
    cut: dict[str, NeuronSet] = {}
    for number, inside in enumerate(np.array_split(np.arange(layers), parts)):
        own = set(inside.tolist())
        first, last = min(own), max(own)
        name = THIRDS[number] if parts == len(THIRDS) else f"layers {first} to {last}"
        neurons = {
            culture: chosen.keep(lambda member, own=own: member[1] in own)  # type: ignore[misc]
            for culture, chosen in found.neurons.items()
        }
        metadata = {**found.metadata, "layers": [first, last]}
        cut[name] = replace(found, neurons=neurons, metadata=metadata)
    return cut
