"""Made-up neuron sets."""

import numpy as np

from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons

CULTURES = ("Ethiopia", "France", "Japan", "Mexico")


def found_set(**metadata):
    """Different neurons of the tiny Llama for each culture."""
    source = np.random.default_rng(0)
    neurons = {}
    for culture in CULTURES:
        picks = source.choice(3 * 48, size=40, replace=False)
        neurons[culture] = Neurons.of({"act": [divmod(int(p), 48) for p in picks]})
    return NeuronSet(
        neurons, {"act": (3, 48)}, {"model": "tiny-llama", "selector": "conact", **metadata}
    )


def drawn_set(source, sizes, shape=(4, 30), cultures=("A", "B"), layers=None):
    """Random neurons of each culture, in some layers only."""
    layers = range(shape[0]) if layers is None else layers
    pool = [(layer, index) for layer in layers for index in range(shape[1])]
    neurons = {
        c: Neurons.of({"act": [pool[i] for i in source.choice(len(pool), size, replace=False)]})
        for c, size in zip(cultures, sizes, strict=True)
    }
    return NeuronSet(neurons, {"act": shape})


CHOSEN = {0: [1, 7, 40], 1: [3, 5], 2: [0, 47]}
NEURONS = Neurons.of({"act": [(layer, i) for layer, row in CHOSEN.items() for i in row]})
OTHERS = Neurons.of({"act": [(0, 2), (1, 3), (1, 9)]})
