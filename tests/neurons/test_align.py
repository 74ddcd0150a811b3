"""Neuron sets under the questions' names of cultures."""

import warnings

import pytest

from culture_lens import align_cultures
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.neurons.renaming import renamed_tables
from culture_lens.questions.culture_names import counterparts
from tests.helpers.culture_names import BLEND, CULTURALBENCH
from tests.helpers.questions import one_of_each


def of(*names, **metadata):
    neurons = {name: Neurons.of({"act": [(0, i)]}) for i, name in enumerate(names)}
    return NeuronSet(neurons, {"act": (1, 48)}, metadata)


def test_renamed_keeps_order_neurons_and_tables_per_culture():
    found = of("UK", "Iran", right={"UK": 3, "Iran": 2}, selector="lape")
    other = found.renamed({"UK": "United Kingdom"})
    assert other.cultures == ("United Kingdom", "Iran")
    assert other["United Kingdom"] == found["UK"] and other["Iran"] == found["Iran"]
    assert other.metadata == {"right": {"United Kingdom": 3, "Iran": 2}, "selector": "lape"}
    assert found.cultures == ("UK", "Iran") and found.metadata["right"] == {"UK": 3, "Iran": 2}
    swapped = found.renamed({"UK": "Iran", "Iran": "UK"})
    assert swapped["Iran"] == found["UK"] and swapped["UK"] == found["Iran"]
    with pytest.raises(InputError, match="unknown culture 'Irak': did you mean 'Iran'"):
        found.renamed({"Irak": "Iraq"})
    with pytest.raises(InputError, match="'UK' and 'Iran' would both be called 'Iran'"):
        found.renamed({"UK": "Iran"})
    assert renamed_tables({"seeds": {"0": 1}}, {"UK": "x"}) == {"seeds": {"0": 1}}


def test_neurons_take_the_questions_names_and_it_is_said():
    found = of(*BLEND)
    with pytest.warns(CultureLensWarning) as said:
        other = align_cultures(found, one_of_each(*CULTURALBENCH))
    assert len(said) == 1
    text = str(said[0].message)
    assert "'UK' is taken for 'United Kingdom'; 'US' is taken for 'United States'" in text
    assert "Nigeria" not in text and "Java" not in text and "Mexico" not in text
    changed = {a: b for a, b in zip(found, other, strict=True) if a != b}
    assert changed == counterparts(BLEND, CULTURALBENCH)
    assert list(other.neurons.values()) == list(found.neurons.values())


def test_what_could_be_several_is_said_and_left():
    with pytest.warns(CultureLensWarning, match="'UK' stays, though it may mean 'Britain'"):
        assert align_cultures(of("UK", "GBR"), one_of_each("Britain")).cultures == ("UK", "GBR")


def test_nothing_is_said_where_names_agree_or_mean_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for names in (BLEND[:5], ["everyone", "planted 3", "West_Java"]):
            found = of(*names)
            assert align_cultures(found, one_of_each(*BLEND[:5], "Indonesia")) is found
