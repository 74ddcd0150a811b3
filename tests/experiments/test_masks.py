"""Masks of found and random neurons, and the table of their records."""

import pandas as pd
import pytest

from culture_lens.errors import InputError
from culture_lens.experiments.masks import (
    AblationMask,
    RandomMasks,
    found_and_random,
    joined,
    labelled,
)
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.selectors import matched_random
from tests.helpers.lm import lens

FOUND = NeuronSet(
    {"Iran": Neurons.of({"act": [(0, 1), (2, 3)]}), "Japan": Neurons.of({"act": [(1, 5)]})},
    {"act": (3, 48)},
)


def test_masks_are_none_found_and_random_per_seed():
    masks = found_and_random(lens("llama"), FOUND, RandomMasks(random_seeds=2))
    assert [(m.condition, m.name, m.seed) for m in masks] == [
        ("unmodified", "", 0),
        ("found", "Iran", 0),
        ("found", "Japan", 0),
        ("random", "Iran", 0),
        ("random", "Japan", 0),
        ("random", "Iran", 1),
        ("random", "Japan", 1),
    ]
    assert masks[0].neurons is None and masks[1].neurons == FOUND["Iran"]
    for mask in masks[3:]:
        assert mask.neurons == matched_random(FOUND, mask.seed)[mask.name]


def test_without_seeds_there_are_no_random_masks():
    masks = found_and_random(lens("llama"), FOUND, RandomMasks(random_seeds=0))
    assert {mask.condition for mask in masks} == {"unmodified", "found"}


def test_an_unknown_match_is_refused():
    with pytest.raises(InputError, match="layers"):
        found_and_random(lens("llama"), FOUND, RandomMasks(1, random_match="layers"))


def test_records_are_joined_with_the_columns_of_their_mask_first():
    masks = [
        AblationMask("unmodified", facts={"share": 0.0}),
        AblationMask("found", "Iran", 0, FOUND["Iran"], {"share": 0.5}),
    ]
    records = [pd.DataFrame({"id": ["a", "b"], "correct": right}) for right in ([1, 1], [1, 0])]
    frame = joined(masks, records)
    assert list(frame.columns) == ["condition", "share", "mask", "seed", "id", "correct"]
    assert frame["condition"].tolist() == ["unmodified"] * 2 + ["found"] * 2
    assert frame["share"].tolist() == [0.0, 0.0, 0.5, 0.5]
    assert frame["mask"].tolist() == ["", "", "Iran", "Iran"]
    assert frame["correct"].tolist() == [1, 1, 1, 0]


def test_labels_say_what_is_ablated():
    masks = [
        AblationMask("unmodified", facts={"share": 0.0}),
        AblationMask("found", "Iran", 0, FOUND["Iran"], {"share": 0.5}),
    ]
    assert labelled(masks) == [("unmodified", None), ("found 0.5 Iran", FOUND["Iran"])]
