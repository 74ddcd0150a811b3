"""Summaries of activations that were made by hand: each is one clear error, or whole."""

import pytest
import torch

from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import InputError
from culture_lens.storage.files import save_tensors

NAN = float("nan")
HEADER = {"cultures": ["Japan", "Peru"], "metadata": {"model": "m"}}
TENSORS = {
    "items": torch.tensor([3, 3]),
    "tokens": torch.tensor([9, 9]),
    "counts.act": torch.ones(2, 1, 4, dtype=torch.long),
    "sums.act": torch.ones(2, 1, 4),
}
REPLICATES = {"replicates": {"permutations": 1, "design": "d"}}
CRAFTED = {
    "no cultures": {"cultures": []},
    "cultures are a string": {"cultures": "JP"},
    "a culture twice": {"cultures": ["Japan", "Japan"]},
    "a culture too many": {"cultures": ["Japan", "Peru", "Mali"]},
    "metadata are a list": {"metadata": [1]},
    "no items": {"items": None},
    "tokens below 0": {"tokens": torch.tensor([9, -1])},
    "tokens that are NaN": {"tokens": torch.tensor([9.0, NAN])},
    "tokens in a table": {"tokens": torch.ones(2, 2)},
    "no counts": {"counts.act": None},
    "counts of one culture": {"counts.act": torch.ones(1, 1, 4)},
    "counts in a row": {"counts.act": torch.ones(8)},
    "counts that are NaN": {"counts.act": torch.full((2, 1, 4), NAN)},
    "sums that are NaN": {"sums.act": torch.full((2, 1, 4), NAN)},
    "replicates without tensors": REPLICATES,
    "replicates are a number": {"replicates": 3},
    "permutations are a string": {
        "replicates": {"permutations": "1", "design": "d"},
        "replicate.tokens": torch.ones(1, 2),
    },
    "more permutations than replicates": {
        "replicates": {"permutations": 7, "design": "d"},
        "replicate.tokens": torch.ones(1, 2),
    },
}


def saved(path, change):
    """A file with some parts changed, or left out where they are None."""
    of_header = ("cultures", "metadata", "replicates")
    header = {**HEADER, **{k: v for k, v in change.items() if k in of_header}}
    tensors = {**TENSORS, **{k: v for k, v in change.items() if k not in of_header}}
    held = {name: values for name, values in tensors.items() if values is not None}
    return save_tensors(path, "activation summary", held, header)


@pytest.mark.parametrize("change", CRAFTED.values(), ids=CRAFTED)
def test_a_crafted_summary_is_one_clear_error(change, tmp_path):
    with pytest.raises(InputError, match="crafted.safetensors"):
        ActivationSummary.load(saved(tmp_path / "crafted.safetensors", change))


def test_the_summary_that_the_others_are_made_from_is_whole(tmp_path):
    summary = ActivationSummary.load(saved(tmp_path / "whole.safetensors", {}))
    assert summary.cultures == ("Japan", "Peru") and summary.probability("act").shape == (2, 1, 4)
