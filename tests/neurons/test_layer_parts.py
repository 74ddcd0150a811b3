"""Neuron sets cut by layer: every neuron is in one part, the one of its layer."""

import pytest

from culture_lens.errors import InputError
from culture_lens.neurons.layer_parts import layer_parts
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons

PLACES = {"Japan": [(0, 1), (2, 2), (3, 0), (6, 5)], "Kenya": [(4, 4)]}


def found(layers=7):
    neurons = {culture: Neurons.of({"act": own}) for culture, own in PLACES.items()}
    return NeuronSet(neurons, {"act": (layers, 6)}, {"selector": "conact"})


def test_thirds_by_hand():
    """Of 7 layers: 0 to 2, 3 and 4, 5 and 6."""
    cut = layer_parts(found())
    assert list(cut) == ["lower", "middle", "upper"]
    members = {name: {c: sorted(one[c].members()) for c in one} for name, one in cut.items()}
    assert members == {
        "lower": {"Japan": [("act", 0, 1), ("act", 2, 2)], "Kenya": []},
        "middle": {"Japan": [("act", 3, 0)], "Kenya": [("act", 4, 4)]},
        "upper": {"Japan": [("act", 6, 5)], "Kenya": []},
    }
    assert [one.metadata["layers"] for one in cut.values()] == [[0, 2], [3, 4], [5, 6]]
    assert all(one.metadata["selector"] == "conact" for one in cut.values())


@pytest.mark.parametrize("parts", range(1, 8))
def test_the_parts_are_the_whole(parts):
    cut = layer_parts(found(), parts)
    assert len(cut) == parts
    for culture in PLACES:
        members = [member for one in cut.values() for member in one[culture].members()]
        assert sorted(members) == sorted(found()[culture].members())
    if parts != 3:
        assert next(iter(cut)).startswith("layers 0 to ")


def test_what_cannot_be_cut():
    with pytest.raises(InputError, match="8: the model has 7 layers"):
        layer_parts(found(), 8)
    with pytest.raises(InputError, match="parts"):
        layer_parts(found(), 0)
    two = NeuronSet({"Japan": Neurons({})}, {"encoder.act": (3, 4), "decoder.act": (2, 4)})
    with pytest.raises(InputError, match="different numbers of layers"):
        layer_parts(two)
