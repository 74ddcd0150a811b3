"""The neurons and sets that fidelity compares: how many, which, and called what."""

import numpy as np
import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.experiments.fidelity_units import list_units, sample_neurons


def tables_of(seed=0):
    source = torch.Generator().manual_seed(seed)
    return {
        "gate": torch.randn(3, 40, generator=source, dtype=torch.float64),
        "q": torch.randn(3, 20, generator=source, dtype=torch.float64),
    }


@pytest.mark.parametrize("number", [1, 2, 5, 30, 180, 1000])
def test_the_sample_has_the_right_number_and_the_best_neuron(number):
    tables = tables_of()
    sample = sample_neurons(tables, number, seed=0)
    assert len(sample) == min(number, 180)
    for (site, layer, index), score in sample.items():
        assert tables[site][layer, index].item() == score
    assert max(sample.values()) == max(values.max().item() for values in tables.values())


def test_the_sample_depends_on_the_seed_and_on_nothing_else():
    tables = tables_of()
    torch.manual_seed(7)
    first = sample_neurons(tables, 20, seed=0)
    torch.manual_seed(8)
    assert list(sample_neurons(tables, 20, seed=0)) == list(first)
    other = sample_neurons(tables, 20, seed=1)
    shared = set(first) & set(other)
    assert other != first and len(shared) >= 5  # the ranked half stays


def test_half_of_the_sample_is_spread_over_ranks():
    tables = {"gate": torch.arange(1000.0, 0.0, -1.0, dtype=torch.float64).reshape(10, 100)}
    sample = sample_neurons(tables, 20, seed=0)
    ranked = [layer * 100 + index + 1 for _, layer, index in sample][:10]
    assert ranked == np.geomspace(1, 1000, 10).astype(int).tolist()


def test_no_single_neurons_on_request():
    assert sample_neurons({"gate": torch.rand(2, 5)}, 0, 0) == {}


def test_units_of_one_name_are_refused():
    tables = {"gate": torch.rand(2, 50)}
    with pytest.raises(InputError, match="two units would be called 'top 5%'"):
        list_units(tables, 0, (0.05, 0.05), {}, 0)
