"""Invariance over wordings: by hand, with its null, and what is refused."""

import dataclasses

import pytest
import torch

from culture_lens.activations.replicates import Replicates
from culture_lens.errors import InputError
from culture_lens.selectors.invariance import invariance
from tests.helpers.summaries import summary_with

NEVER = float("-inf")
LETTERS = [[0.9, 0.5, 0.3, 0.2], [0.1, 0.3, 0.2, 0.8]]
DIGITS = [[0.6, 0.8, 0.1, 0.1], [0.2, 0.1, 0.3, 0.5]]
# Margins of a: letters 0.8 0.2 0.1 -0.6, digits 0.4 0.7 -0.2 -0.4; those of b are the negative.


def both():
    return {"letters": summary_with(LETTERS), "digits": summary_with(DIGITS)}


def at(scores, culture):
    return scores.scores["act"][scores.cultures.index(culture)].flatten().tolist()


def test_by_hand():
    found = invariance(both())
    assert at(found, "a") == pytest.approx([0.4, 0.2, NEVER, NEVER])
    assert at(found, "b") == pytest.approx([NEVER, NEVER, NEVER, 0.4])  # not neuron 2: -0.1, 0.2
    assert found.metadata["invariant"] == {"act": {"a": {"found": 2}, "b": {"found": 1}}}
    # 2 / (1 / .8 + 1 / .4) = 2 / 3.75; 2 / (1 / .2 + 1 / .7) = 2 * .14 / .9; 2 * .24 / 1.
    harmonic = invariance(both(), "harmonic")
    assert at(harmonic, "a") == pytest.approx([2 / 3.75, 0.28 / 0.9, NEVER, NEVER])
    assert at(harmonic, "b") == pytest.approx([NEVER, NEVER, NEVER, 0.48])
    assert harmonic.metadata["selector"] == "invariance_harmonic"


def permuted(rows, exchanged):
    """A summary with one permutation: its rows as they are, or exchanged."""
    plain = summary_with(rows)
    other = plain.counts["act"].flip(0) if exchanged else plain.counts["act"]
    held = Replicates(
        permutations=1,
        design="paper",
        tokens=plain.tokens[None],
        counts={"act": other[None]},
    )
    return dataclasses.replace(plain, replicates=held)


def test_the_null_exchanges_labels_alike_in_every_wording():
    same = {"letters": permuted(LETTERS, True), "digits": permuted(DIGITS, True)}
    facts = invariance(same).metadata["invariant"]["act"]
    # With names exchanged in both, a has what b had.
    assert facts == {"a": {"found": 2, "by_chance": 1.0}, "b": {"found": 1, "by_chance": 2.0}}
    mixed = {"letters": permuted(LETTERS, True), "digits": permuted(DIGITS, False)}
    facts = invariance(mixed).metadata["invariant"]["act"]
    # Exchanged in one wording only: margins of a are -0.8 -0.2 -0.1 0.6 and 0.4 0.7 -0.2 -0.4.
    assert [facts[culture]["by_chance"] for culture in "ab"] == [0.0, 1.0]


def test_what_is_refused():
    with pytest.raises(InputError, match="two"):
        invariance({"letters": summary_with(LETTERS)})
    with pytest.raises(InputError, match="lowest"):
        invariance(both(), "lowst")
    with pytest.raises(InputError, match="permutations"):
        invariance({"letters": permuted(LETTERS, True), "digits": summary_with(DIGITS)})


def test_a_small_margin_above_zero_is_kept_and_zero_is_not():
    tie = [[0.5, 0.6], [0.5, 0.5]]
    found = invariance({"one": summary_with(tie), "other": summary_with(tie)}, "harmonic")
    assert at(found, "a")[0] == NEVER and at(found, "a")[1] == pytest.approx(0.1)
    assert torch.isfinite(found.scores["act"]).sum() == 1
