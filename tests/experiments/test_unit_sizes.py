"""What is said of kinds that are not as many, or not as large, as asked for."""

import warnings

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.equal_norm import ChangeOfStream
from culture_lens.experiments.unit_edits import RankedUnits
from culture_lens.experiments.unit_sizes import (
    Size,
    UnitEdit,
    read_size,
    size_of,
    smallest,
    warn_of_sizes,
    write_size,
)
from tests.helpers.lm import lens

EACH = {"head": 0.3, "act": 0.1, "sae": 0.0}
UNITS = RankedUnits.of([("act", 0, at) for at in range(9)])


class Paper(ChangeOfStream):
    """A stream in which each head moves 0.3 and each neuron 0.1, and features nothing."""

    def norm(self, hooks):
        return sum((EACH[site] for site, _ in hooks), 0.0)


class OnPaper(RankedUnits):
    """Units whose hooks are named by their site."""

    def hooks(self, model, number):
        return [(site, print) for site, _, _ in self.members(number)]


def edit(units, number, norm, condition="found", culture="Japan"):
    return UnitEdit(units, culture, UNITS, condition, 0, Size(number, norm))


def test_sizes_on_paper():
    paper, heads = Paper(lens("llama"), (), 1), OnPaper.of([("head", 0, at) for at in range(9)])
    for norm, number, reached in ((None, 4, 1.2), (0.7, 2, 0.6), (0.1, 1, 0.3), (9.0, 9, 2.7)):
        size = size_of(paper, heads, 4, norm)
        assert (size.number, size.scale) == (number, None) and size.norm == pytest.approx(reached)
    assert size_of(paper, OnPaper.of([]), 4, None) == Size(0, 0.0)


def test_the_smallest_kind_is_the_reference():
    heads = [edit("heads", 4, 1.2, culture=culture) for culture in ("Japan", "Peru")]
    neurons = [edit("neurons", 4, 0.4), edit("neurons", 4, 0.5, culture="Peru")]
    assert smallest([*heads, *neurons]) == ("neurons", {"Japan": 0.4, "Peru": 0.5})
    with pytest.raises(InputError, match="units of 'features' change nothing for Japan"):
        smallest([*neurons, edit("features", 4, 0.0)])


def test_kinds_that_are_fewer_or_larger_are_named():
    with pytest.warns(CultureLensWarning, match="random heads 3 units, not 4"):
        warn_of_sizes([edit("heads", 4, 0.3), edit("heads", 3, 0.3, "random")], 4, None)
    with pytest.warns(CultureLensWarning, match=r"heads 0\.3 of \|x\|, not 0\.1"):
        warn_of_sizes([edit("heads", 1, 0.3), edit("neurons", 9, 0.105)], 4, {"Japan": 0.1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_sizes([edit("neurons", 9, 0.105)], 4, {"Japan": 0.1})
        warn_of_sizes([edit("neurons", 4, 0.3)], 4, None)


def test_a_kept_size_is_read_to_the_last_bit_and_a_damaged_one_is_refused(tmp_path):
    place, size = tmp_path / "0.json", Size(7, 0.1 + 0.2, 1 / 3)
    write_size(place, size, {"seconds": 1})
    assert read_size(place) == size
    place.write_text(place.read_text().replace('"number": 7', '"number": 8'))
    with pytest.raises(InputError, match="changed after it was written"):
        read_size(place)
    write_size(tmp_path / "1.json", size, {}).rename(place)
    with pytest.raises(InputError, match="was saved as"):
        read_size(place)
