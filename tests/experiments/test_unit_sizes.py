"""What is said of kinds that are not as many, or not as large, as asked for."""

import warnings

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.equal_norm import ChangeOfStream
from culture_lens.experiments.masks import AblationMask
from culture_lens.experiments.unit_edits import RankedUnits
from culture_lens.experiments.unit_sizes import SizedEdit, smallest, warn_of_sizes
from culture_lens.prompts.running import Running
from tests.helpers.lm import lens

NAN = float("nan")


EACH = {"head": 0.3, "act": 0.1, "sae": 0.0}


class Paper(ChangeOfStream):
    """A stream in which each head moves 0.3 and each neuron 0.1, and features nothing."""

    def norm(self, hooks, culture):
        return sum(EACH[site] for site, _ in hooks)


class OnPaper(RankedUnits):
    """Units whose hooks are named by their site."""

    def hooks(self, model, number):
        return [(site, print) for site, _, _ in self.members[:number]]


def kind(site, most=9):
    return {c: OnPaper(tuple((site, 0, at) for at in range(most))) for c in ("Japan", "Peru")}


def edit(units, number, norm, condition="found"):
    mask = AblationMask(condition, "Japan", facts={"units": units})
    return SizedEdit(mask, [], number, 4, NAN, norm)


def test_the_smallest_kind_is_the_reference():
    paper = Paper(lens("llama"), {}, Running())
    name, norms = smallest(paper, {"heads": kind("head"), "neurons": kind("act")}, 4)
    assert name == "neurons" and norms == pytest.approx({"Japan": 0.4, "Peru": 0.4})
    with pytest.raises(InputError, match="4 units of 'features' change nothing for Japan"):
        smallest(paper, {"neurons": kind("act"), "features": kind("sae")}, 4)


def test_kinds_that_are_fewer_or_larger_are_named():
    with pytest.warns(CultureLensWarning, match="random heads 3 units, not 4"):
        warn_of_sizes([edit("heads", 4, 0.3), edit("heads", 3, 0.3, "random")], None)
    with pytest.warns(CultureLensWarning, match=r"heads 0\.3 of \|x\|, not 0\.1"):
        warn_of_sizes([edit("heads", 1, 0.3), edit("neurons", 9, 0.105)], {"Japan": 0.1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_sizes([edit("neurons", 9, 0.105)], {"Japan": 0.1})
        warn_of_sizes([edit("neurons", 4, 0.3)], None)
