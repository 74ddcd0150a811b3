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

SEEDS = 24


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

    At 5%, 1.2 of 24 seeds are expected to keep a group; 5 are beyond three standard errors.
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
    assert kept < 5
    assert np.mean(np.array(p) <= 0.05) < 0.1  # eight groups of a seed share questions
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.12)


# ------------------------------------------------------------------ where the truth is known


WHOSE = ("Avaria", "Gulmara")
"""One with a kin culture, one without."""


def ranked(best, rest):
    """Both together: those of ``best`` score above those of ``rest``."""
    whole = best | rest
    good = {place[1:] for place in best.members()}
    high = [tuple(place) in good for place in whole.places["act"].tolist()]
    return replace(
        whole, scores={"act": torch.tensor(high).double() + torch.linspace(0, 0.5, len(high))}
    )


@pytest.mark.slow
def test_planted_neurons_are_kept_and_decoys_are_not():
    """Three groups of planted neurons, and one of decoys behind them: known, so no selector."""
    model, truth = cl.load_model("organism"), cl.load_truth()
    sets, planted, decoys = {}, {}, {}
    for culture in WHOSE:
        decoys[culture] = truth.neurons("style", culture)
        places = truth.neurons(culture=culture).places["act"]
        planted[culture] = Neurons({"act": places[: 3 * len(decoys[culture])]})
        assert len(planted[culture]) == 3 * len(decoys[culture]) == 36
        sets[culture] = ranked(planted[culture], decoys[culture])
    shapes = {"act": model.shape("act")}
    found = NeuronSet(sets, shapes, {"model": model.name, "groups": [], "looked_at": {}})
    questions = cl.load_benchmark("organism", split="identify", pictures=1, cultures=list(WHOSE))
    one = confirm(model, found, questions, groups=4, batch_size=256, progress=False)
    table = pd.DataFrame(one.metadata["confirmed"])
    of_decoys = table["first"] == 37
    assert table["kept"].tolist() == (~of_decoys).tolist()
    assert table["effect"][~of_decoys].max() < -0.5 < table["effect"][of_decoys].min()
    for culture in WHOSE:
        assert one[culture].members() == planted[culture].members()
