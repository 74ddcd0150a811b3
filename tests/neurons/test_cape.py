"""CAPE's sets, worked out by hand."""

import pytest

from culture_lens.errors import InputError
from culture_lens.neurons.cape import compound, generic, pure
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons

SHAPES = {"act": (2, 4)}
FOUND = NeuronSet(
    {
        "Japan": Neurons.of({"act": [(0, 1), (0, 2), (1, 3)]}),
        "Peru": Neurons.of({"act": [(0, 2), (1, 0)]}),
    },
    SHAPES,
    {"model": "tiny", "selector": "lape"},
)
SPOKEN = NeuronSet(
    {
        "Japanese": Neurons.of({"act": [(0, 2), (1, 1)]}),
        "Spanish": Neurons.of({"act": [(1, 0)]}),
    },
    SHAPES,
    {"model": "tiny"},
)
LANGUAGE_OF = {"Japan": "Japanese", "Peru": "Spanish"}


def places(found, culture):
    return found[culture].places["act"].tolist()


def test_the_three_sets():
    apart = pure(FOUND, SPOKEN, LANGUAGE_OF)
    assert places(apart, "Japan") == [[0, 1], [1, 3]] and places(apart, "Peru") == [[0, 2]]
    common = generic(FOUND, SPOKEN, LANGUAGE_OF)
    assert places(common, "Japan") == [[0, 2]] and places(common, "Peru") == [[1, 0]]
    joined = compound(FOUND, SPOKEN, LANGUAGE_OF)
    assert places(joined, "Japan") == [[0, 1], [0, 2], [1, 1], [1, 3]]
    assert places(joined, "Peru") == [[0, 2], [1, 0]]
    for culture in FOUND:  # pure and generic together are the culture's own
        assert apart[culture] | common[culture] == FOUND[culture]
    assert apart.metadata["set"] == "pure" and apart.metadata["selector"] == "lape"


def test_one_language_for_all_and_languages_of_the_same_name():
    apart = pure(FOUND, SPOKEN["Spanish"])
    assert places(apart, "Japan") == places(FOUND, "Japan") and places(apart, "Peru") == [[0, 2]]
    same = NeuronSet({"Japan": SPOKEN["Japanese"], "Peru": SPOKEN["Spanish"]}, SHAPES)
    assert places(pure(FOUND, same), "Japan") == [[0, 1], [1, 3]]


def test_what_is_refused():
    with pytest.raises(InputError, match="'Peru' has no language"):
        pure(FOUND, SPOKEN, {"Japan": "Japanese"})
    with pytest.raises(InputError, match="Iran"):
        pure(FOUND, SPOKEN, {**LANGUAGE_OF, "Iran": "Spanish"})
    other = NeuronSet(dict(SPOKEN.neurons), SHAPES, {"model": "other"})
    with pytest.raises(InputError, match="different models"):
        generic(FOUND, other, LANGUAGE_OF)
    wide = NeuronSet(dict(SPOKEN.neurons), {"act": (2, 9)}, {"model": "tiny"})
    with pytest.raises(InputError, match="one model"):
        compound(FOUND, wide, LANGUAGE_OF)
