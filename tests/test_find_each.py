"""Several selectors in one call: what is done is kept, and a failure comes at the end."""

import pytest

from culture_lens import find
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.find import find_culture_neurons, find_each
from culture_lens.selectors import plan
from tests.helpers.lm import lens
from tests.helpers.questions import toy_questions

BOTH = [plan("conact", 0.05), plan("culnig_specific"), plan("lape", 0.05)]


def gathered(selections=BOTH, **options):
    """What was given before the failure, and the failure."""
    found = {}
    with pytest.raises(Exception) as failure, pytest.warns(CultureLensWarning) as said:
        for selection, neurons, _ in find_each(
            lens("llama"), toy_questions(), selections, progress=False, **options
        ):
            found[selection.name] = neurons
    return found, failure.value, [str(one.message) for one in said]


def test_a_selector_that_is_refused_does_not_stop_the_others():
    found, failure, said = gathered(gradient={"countries": ["Peru"]})
    assert set(found) == {"conact", "lape"} and isinstance(failure, InputError)
    assert "Peru" in str(failure)
    assert any(f"culnig_specific failed ({failure}); the other" in one for one in said)
    alone = find_culture_neurons(
        lens("llama"), toy_questions(), share=0.05, identify_share=1.0, progress=False
    )
    assert all(found["conact"][culture] == alone[culture] for culture in alone)


def test_whatever_fails_while_it_runs_comes_at_the_end(monkeypatch):
    def broken(*_, **__):
        raise MemoryError("no memory is left")

    monkeypatch.setitem(find.STAGES, "culnig", broken)
    found, failure, _ = gathered()
    assert set(found) == {"conact", "lape"} and isinstance(failure, MemoryError)


def test_one_of_two_selectors_of_a_pass_may_fail(monkeypatch):
    chosen = find.choose

    def choose(source, selection):
        if selection.name == "conact":
            raise InputError("no neuron stands out")
        return chosen(source, selection)

    monkeypatch.setattr(find, "choose", choose)
    found, failure, _ = gathered([BOTH[0], BOTH[2]])
    assert set(found) == {"lape"} and str(failure) == "no neuron stands out"


def test_several_failures_are_listed():
    found, failure, _ = gathered(activation={"roles": "rolls"}, gradient={"countries": ["Peru"]})
    assert not found and str(failure).startswith("3 selectors failed: culnig_specific: ")
    assert "Peru" in str(failure) and "lape: " in str(failure) and "rolls" in str(failure)


def test_an_interrupt_stops_all(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(find.STAGES, "culnig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(find_each(lens("llama"), toy_questions(), BOTH, progress=False))
