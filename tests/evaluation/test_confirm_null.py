"""confirm keeps nothing where there is nothing to know, and what was planted where there is."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import culture_lens as cl
from culture_lens.evaluation import confirm as module
from culture_lens.evaluation.confirm import confirm
from culture_lens.evaluation.evaluate import answer_masks
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from tests.helpers.confirmed import candidates, drawn_questions, relabelled
from tests.helpers.lm import lens

SEEDS = 60


@pytest.fixture
def asked_once(monkeypatch):
    """Answers do not depend on which option is right, so each mask is asked once for all seeds."""
    held = {}

    def once(model, prompts, scoring, masks, **options):
        key = (scoring.name, tuple(p.question.id for p in prompts))
        if key not in held:
            held[key] = answer_masks(model, prompts, scoring, masks, **options)
        return held[key]

    monkeypatch.setattr(module, "answer_masks", once)


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["letter", "option_likelihood"])
def test_right_answers_by_chance_keep_nothing_in_most_seeds(asked_once, scoring):
    """Four groups of each of two cultures; two rows of each cell have the same right answer.

    At 5%, 3 of 60 seeds are expected to keep a group, and 9 are beyond three standard errors.
    """
    questions, found = drawn_questions(10, rows=2), candidates()
    kept, p = 0, []
    for seed in range(SEEDS):
        chance = relabelled(questions, seed)
        one = confirm(
            lens("llama"), found, chance, groups=4, scoring=scoring, batch_size=64, progress=False
        )
        table = pd.DataFrame(one.metadata["confirmed"])
        assert table["answers"].between(5, 10).all()
        kept, p = kept + bool(table["kept"].any()), [*p, *table["p"]]
    assert kept < 9
    assert np.mean(np.array(p) <= 0.05) < 0.05 + 0.04  # eight groups of a seed share questions
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.1)


# ------------------------------------------------------------------ where the truth is known


WHOSE = ("Avaria", "Gulmara")
"""One with a kin culture, one without."""


def ranked(neurons, first):
    """Scores that fall from ``first`` by 1."""
    number = len(neurons.places["act"])
    return replace(neurons, scores={"act": first - torch.arange(float(number))})


@pytest.mark.slow
def test_planted_neurons_are_kept_and_decoys_are_not():
    """The best candidates are planted, as many that follow are decoys: known, so no selector."""
    model, truth = cl.load_model("organism"), cl.load_truth()
    sets, planted, decoys = {}, {}, {}
    for culture in WHOSE:
        planted[culture] = truth.neurons(culture=culture)
        decoys[culture] = truth.neurons("style", culture) - planted[culture]
        kept = decoys[culture].places["act"][: len(planted[culture])]
        places = planted[culture].places["act"][: len(kept)]
        assert len(kept) == len(places) >= 20
        best = ranked(Neurons({"act": places}), 100.0)
        sets[culture] = best | ranked(Neurons({"act": kept}), 0.0)
    shapes = {"act": model.shape("act")}
    found = NeuronSet(sets, shapes, {"model": model.name, "groups": [], "looked_at": {}})
    questions = cl.load_benchmark("organism", split="identify", pictures=1, cultures=list(WHOSE))
    one = confirm(model, found, questions, groups=4, batch_size=256, progress=False)
    for culture in WHOSE:
        right = len(one[culture] & planted[culture])
        assert right >= 0.9 * len(found[culture]) / 2
        assert len(one[culture] & decoys[culture]) <= 0.5 * len(found[culture]) / 2
    table = pd.DataFrame(one.metadata["confirmed"])
    of_planted = table["first"] <= table["size"].iloc[0] * 2
    assert table[of_planted]["kept"].all() and (table[of_planted]["effect"] < 0).all()
    assert table[of_planted]["effect"].max() < 5 * table[~of_planted]["effect"].min()
