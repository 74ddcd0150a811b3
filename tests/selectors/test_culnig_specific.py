"""Culture-specific neurons are those of the plain reference, and z is taken as it says."""

import numpy as np
import pytest

from culture_lens.selectors import select
from tests.helpers import reference_culnig as reference
from tests.helpers.culnig import NAMED, as_culnig, drawn, members
from tests.helpers.marks import mostly_slow

SPECIFIC_OPTIONS = [
    {},
    {"share": 0.05},
    {"share": 1.0},
    {"countryrc_share": 0.1},
    {"countryrc_share": 1.0},
    {"z": -0.25},
    {"z": 1.5},
    {"share": 0.2, "countryrc_share": 0.05, "z": 0.0},
]


@pytest.mark.parametrize("options", SPECIFIC_OPTIONS, ids=str)
@pytest.mark.parametrize("seed", mostly_slow(range(4), fast=[0]))
def test_specific_neurons_are_those_of_the_reference(seed, options):
    for n_ids, steps in ((7, 0), (8, 2), (1, 1)):
        tables = drawn(seed, steps=steps)
        found = select(as_culnig(tables, n_ids), "culnig_specific", **options)
        expected = reference.culture_specific(*tables, n_ids, n_ids, NAMED, **options)
        assert members(found) == expected, (n_ids, steps)


def test_every_option_of_specific_neurons_is_felt():
    tables = drawn(5)
    before = members(select(as_culnig(tables, 8), "culnig_specific", share=0.1))
    for option in ({"share": 0.09}, {"countryrc_share": 0.03}, {"z": 0.7}, {"z": 0.3}):
        found = members(select(as_culnig(tables, 8), "culnig_specific", **{"share": 0.1, **option}))
        assert all(found[culture] != before[culture] for culture in NAMED), option


def one_neuron(values, rest=-100.0):
    """Five cultures; neuron (gate, 0, 0) has the values given, far above all other neurons."""
    shapes = {"gate": (1, 4), "q": (1, 2), "k": (1, 1), "v": (1, 1)}
    labels = tuple("abcdefgh"[: len(values)])
    task = {
        label: {site: np.full(shape, rest) for site, shape in shapes.items()} for label in labels
    }
    for label, value in zip(labels, values, strict=True):
        task[label]["gate"][0, 0] = value
    control = {c: {s: np.full(v.shape, 0.0) for s, v in t.items()} for c, t in task.items()}
    for table in control.values():
        for values_of in table.values():
            values_of[0, -1] = 2**-20  # not all zero, which is refused
    countryrc = {label: {s: np.arange(v.size, dtype=float).reshape(v.shape)
                         for s, v in table.items()} for label, table in task.items()}  # fmt: skip
    for table in countryrc.values():
        for site in ("q", "k", "v"):
            table[site] = table[site] - 10
        table["gate"][0, 3] = 50
    return labels, (task, control, countryrc)


def has_it(values, z):
    labels, tables = one_neuron(values)
    options = {"share": 0.125, "countryrc_share": 0.125, "z": z}  # one neuron each
    found = select(as_culnig(tables, 1), "culnig_specific", **options)
    expected = reference.culture_specific(*tables, 1, 1, labels, **options)
    assert members(found) == expected
    return [("gate", 0, 0) in expected[label] for label in labels]


def test_z_exactly_on_the_threshold_is_enough():
    # mean 4, deviations 1 -4 1 1 1, their squares' mean 4: z = 0.5 and -2
    assert has_it([5.0, 0.0, 5.0, 5.0, 5.0], 0.5) == [True, False, True, True, True]
    assert has_it([5.0, 0.0, 5.0, 5.0, 5.0], np.nextafter(0.5, 1)) == [False] * 5
    # mean 0; -3 -3 3 1 1 1 -1 and 1 have squares' mean 4, too
    values = [1.0, -3.0, -3.0, 3.0, 1.0, 1.0, 1.0, -1.0]
    assert has_it(values, 0.5) == [True, False, False, True, True, True, True, False]
    assert has_it([1.0, 3.0], 1.0) == [False, True]
    assert has_it([1.0, 3.0], np.nextafter(1, 2)) == [False, False]


def test_the_deviation_is_the_population_s():
    # squares' sum 20 over 5 is 4; over 4 it is 5, and z = 1 / sqrt(5) = 0.447
    assert has_it([5.0, 0.0, 5.0, 5.0, 5.0], 0.46)[0]
    # two cultures: z = 1, and 0.707 with the sample's
    assert has_it([1.0, 3.0], 0.8) == [False, True]


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1 / 3, 1e-9, 0.7])
@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_z_is_zero_where_all_cultures_are_alike(n, value):
    """Also where the mean of equal numbers is not that number: (0.1 + 0.1 + 0.1) / 3 != 0.1."""
    assert has_it([value] * n, 0.5) == [False] * n
    assert has_it([value] * n, 0.0) == [True] * n


def test_z_is_taken_over_all_cultures_of_the_task():
    """Among the named ones alone, Brazil's score would stand out; China has it higher still."""
    shapes = {"gate": (1, 100), "q": (1, 2), "k": (1, 1), "v": (1, 1)}
    tables = drawn(0, shapes=shapes)
    for culture, value in (("Brazil", 20.0), ("China", 90.0), ("Iran", 0.0), ("Japan", 0.0)):
        tables[0][culture]["gate"][0, 7] = value
        tables[1][culture]["gate"][0, 7] = 0.0
        if culture in NAMED:
            tables[2][culture]["gate"][0, 7] = -5.0
    found = select(as_culnig(tables, 4), "culnig_specific", share=0.02)
    assert ("gate", 0, 7) not in found["Brazil"].members()
    without = tuple({c: t for c, t in table.items() if c != "China"} for table in tables)
    found = select(as_culnig(without, 4), "culnig_specific", share=0.02)
    assert ("gate", 0, 7) in found["Brazil"].members()
