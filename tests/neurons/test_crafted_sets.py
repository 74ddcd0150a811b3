"""Neuron sets that were made by hand or by an attacker: each is one clear error, or whole."""

import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.scores import NeuronScores
from culture_lens.storage.files import save_tensors

PLACES = torch.tensor([[0, 1], [1, 3]])
HEADER = {"cultures": ["Japan", "Peru"], "shapes": {"act": [2, 4]}, "metadata": {"model": "m"}}
TENSORS = {
    "0.places.act": PLACES,
    "0.scores.act": torch.tensor([0.5, 0.25]),
    "0.means.act": torch.tensor([0.5, 0.25]),
    "1.places.act": torch.tensor([[0, 0]]),
}


HEADERS = {
    "no cultures": {"cultures": None},
    "cultures are a number": {"cultures": 2},
    "cultures are a string": {"cultures": "JP"},
    "cultures are nested": {"cultures": [["Japan"], ["Peru"]]},
    "cultures are numbers": {"cultures": [1, 2]},
    "cultures are a mapping": {"cultures": {"Japan": 1, "Peru": 2}},
    "a blank culture": {"cultures": ["Japan", " "]},
    "a culture twice": {"cultures": ["Japan", "Japan"]},
    "too few cultures": {"cultures": ["Japan"]},
    "no shapes": {"shapes": None},
    "shapes are a list": {"shapes": [2, 4]},
    "a shape is a number": {"shapes": {"act": 8}},
    "a shape of three": {"shapes": {"act": [2, 4, 1]}},
    "a shape of fractions": {"shapes": {"act": [2.5, 4]}},
    "a shape of strings": {"shapes": {"act": ["2", "4"]}},
    "a negative shape": {"shapes": {"act": [-2, 4]}},
    "a boolean shape": {"shapes": {"act": [True, 4]}},
    "a shape without end": {"shapes": {"act": [2, 10**30]}},
    "too small a shape": {"shapes": {"act": [1, 4]}},
    "shapes of another site": {"shapes": {"gate": [2, 4]}},
    "metadata are a list": {"metadata": [1]},
    "metadata are a string": {"metadata": "none"},
    "groups are a number": {"metadata": {"groups": 3}},
    "groups are numbers": {"metadata": {"groups": [1, 2]}},
    "groups are a string": {"metadata": {"groups": "g1"}},
    "options are a list": {"metadata": {"options": [1]}},
}
CONTENTS = {
    "a neuron twice": {"0.places.act": torch.tensor([[0, 1], [0, 1]])},
    "a negative index": {"0.places.act": torch.tensor([[0, -1], [1, 3]])},
    "a negative layer": {"0.places.act": torch.tensor([[-1, 0], [1, 3]])},
    "an index outside": {"0.places.act": torch.tensor([[0, 4], [1, 3]])},
    "a layer outside": {"0.places.act": torch.tensor([[2, 0], [1, 3]])},
    "a huge index": {"0.places.act": torch.tensor([[0, 2**62], [1, 3]])},
    "places of floats": {"0.places.act": PLACES.double()},
    "places of truth values": {"0.places.act": PLACES.bool()},
    "places of bytes": {"0.places.act": PLACES.to(torch.uint8)},
    "places in a row": {"0.places.act": PLACES.flatten()},
    "places of three": {"0.places.act": torch.zeros(2, 3, dtype=torch.long)},
    "places of no columns": {"0.places.act": torch.zeros(2, 0, dtype=torch.long)},
    "a single place": {"0.places.act": torch.tensor(3)},
    "a score too many": {"0.scores.act": torch.zeros(3)},
    "a score that is NaN": {"0.scores.act": torch.tensor([0.5, float("nan")])},
    "scores of whole numbers": {"0.scores.act": torch.tensor([1, 2])},
    "scores in a table": {"0.scores.act": torch.zeros(2, 2)},
    "a mean that is NaN": {"0.means.act": torch.tensor([0.5, float("nan")])},
    "a mean too few": {"0.means.act": torch.zeros(1)},
    "scores without places": {"1.scores.gate": torch.zeros(2)},
    "a culture that is not there": {"7.places.act": PLACES},
    "culture -1": {"-1.places.act": torch.tensor([[1, 1]])},
    "an unknown kind": {"0.colour.act": torch.zeros(2)},
    "a name without parts": {"places": PLACES},
    "a name of one part": {"0.places": PLACES},
    "no number of a culture": {"Japan.places.act": PLACES},
    "a site that shapes lack": {"0.places.gate": PLACES},
    "a blank site": {"0.places.": PLACES},
}


@pytest.mark.parametrize(
    "change", [*HEADERS.values(), *CONTENTS.values()], ids=[*HEADERS, *CONTENTS]
)
def test_a_crafted_set_is_one_clear_error(change, tmp_path):
    header = {**HEADER, **{k: v for k, v in change.items() if k in HEADER}}
    tensors = {**TENSORS, **{k: v.clone() for k, v in change.items() if k not in HEADER}}
    path = save_tensors(tmp_path / "crafted.safetensors", "neuron set", tensors, header)
    with pytest.raises(InputError, match="crafted.safetensors"):
        NeuronSet.load(path)


def test_the_set_that_the_others_are_made_from_is_whole(tmp_path):
    path = save_tensors(tmp_path / "whole.safetensors", "neuron set", TENSORS, HEADER)
    found = NeuronSet.load(path)
    assert found["Japan"].members() == {("act", 0, 1), ("act", 1, 3)}
    assert found["Peru"].members() == {("act", 0, 0)} and found.shapes == {"act": (2, 4)}


@pytest.mark.parametrize(
    ("tensors", "header"),
    [
        ({"scores.act": torch.zeros(2, 2, 4)}, {"cultures": ["a"], "metadata": {}}),
        ({"scores.act": torch.zeros(1, 8)}, {"cultures": ["a"], "metadata": {}}),
        ({"scores.act": torch.full((1, 2, 4), float("nan"))}, {"cultures": ["a"], "metadata": {}}),
        ({"scores.act": torch.zeros(1, 2, 4)}, {"cultures": "a", "metadata": {}}),
        ({"scores.act": torch.zeros(1, 2, 4)}, {"cultures": ["a"]}),
        ({"scores.act": torch.zeros(1, 2, 4)}, {"cultures": ["a"], "metadata": [1]}),
        ({"colour.act": torch.zeros(1, 2, 4)}, {"cultures": ["a"], "metadata": {}}),
        ({"ranking.act": torch.zeros(2, 4)}, {"cultures": ["a"], "metadata": {}}),
        ({}, {"cultures": [], "metadata": {}}),
    ],
)
def test_crafted_scores_are_one_clear_error(tensors, header, tmp_path):
    path = save_tensors(tmp_path / "crafted.safetensors", "neuron scores", tensors, header)
    with pytest.raises(InputError, match="crafted.safetensors"):
        NeuronScores.load(path)


def test_metadata_nested_without_end_are_one_clear_error(tmp_path):
    from safetensors.torch import save_file

    deep = "[" * 200_000 + "]" * 200_000
    path = tmp_path / "deep.safetensors"
    save_file(TENSORS, path, metadata={"kind": "neuron set", "metadata": deep, "hash": "0" * 64})
    with pytest.raises(InputError, match="deep.safetensors"):
        NeuronSet.load(path)
