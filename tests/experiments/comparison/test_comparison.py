"""Selectors compared: every cell is what ablation by hand gives; finished runs are kept."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.attribution.culnig import culnig_scores
from culture_lens.errors import CultureLensWarning
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.evaluation.summarise import summarise
from culture_lens.experiments.comparison.compare import COMPARED_SELECTORS, compare_selectors
from culture_lens.models.lens_model import LensModel
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.questions.splits import split_questions
from culture_lens.selectors import SELECTORS
from culture_lens.selectors.ranking import Sources, first, get_ranking
from tests.helpers import t5
from tests.helpers.comparison import (
    NUMBERS,
    SHARES,
    compared_quietly,
    two_passages,
)
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import lens
from tests.helpers.neurons import CULTURES
from tests.helpers.questions import asked_twice, toy_questions
from tests.helpers.tiny import D_MLP, N_LAYERS
from tests.helpers.tiny_t5 import LAYERS as T5_LAYERS


@pytest.fixture(scope="module")
def sources():
    """What they rank from, made apart; gate, q, k and v are scored here, the gate alone there."""
    model, (identify, _) = lens("llama"), split_questions(asked_twice(toy_questions()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CultureLensWarning)
        scores = culnig_scores(model, identify, countryrc=two_passages(), progress=False)
    return Sources(summarise(model, identify, progress=False), scores)


def neurons_of(sources, selector, culture, number, seed=0):
    if selector == "random":
        return first(SELECTORS["random"](sources.summary, seed=seed), culture, number)
    return first(get_ranking(selector)(sources), culture, number)


# ------------------------------------------------------------------ asked again, one by one


@pytest.mark.slow
@pytest.mark.parametrize("selector", COMPARED_SELECTORS)
def test_every_cell_is_what_ablation_by_hand_gives(compared, sources, selector):
    model, (_, held_out) = lens("llama"), split_questions(asked_twice(toy_questions()))
    base = evaluate(model, held_out, progress=False).by()
    changes = {}
    for culture in CULTURES:
        frames = [
            evaluate(
                model,
                held_out,
                neurons_of(sources, selector, culture, NUMBERS[1], seed),
                progress=False,
            )
            for seed in range(2 if selector == "random" else 1)
        ]
        for asked in CULTURES:
            values = [frame.by()[asked].value for frame in frames]
            changes[culture, asked] = np.mean(values) - base[asked].value
    own = np.mean([changes[c, c] for c in CULTURES])
    cross = np.mean([changes[c, e] for c in CULTURES for e in CULTURES if c != e])
    assert compared.estimate(selector, 0.15, "self").value == pytest.approx(own)
    assert compared.estimate(selector, 0.15, "cross").value == pytest.approx(cross)
    assert compared.estimate(selector, 0.15, "gap").value == pytest.approx(own - cross)


@pytest.mark.slow
def test_as_many_are_taken_of_all_unless_a_ranking_ends(compared, sources):
    assert compared.selectors == COMPARED_SELECTORS and compared.shares == SHARES
    sizes = list(zip(SHARES, NUMBERS, strict=True))
    for selector, (share, number) in itertools.product(COMPARED_SELECTORS, sizes):
        taken = [len(neurons_of(sources, selector, c, number)) for c in CULTURES]
        assert compared.number(share) == number
        assert compared.taken(selector, share) == np.mean(taken)
        if selector in ("lap", "mad", "random"):
            assert taken == [number] * 4


@pytest.mark.slow
def test_profiles_are_the_layer_shares_of_the_sets(compared, sources):
    for share, number in zip(SHARES, NUMBERS, strict=True):
        profiles = compared.layer_profiles(share)
        assert profiles.shape == (6, N_LAYERS)
        for selector in ("mad", "culnig_specific"):
            sets = {c: neurons_of(sources, selector, c, number) for c in CULTURES}
            site = "act" if selector == "mad" else "gate"
            shares = NeuronSet(sets, {site: (N_LAYERS, D_MLP)}).layer_share()
            np.testing.assert_allclose(profiles.loc[selector], shares.mean())
        np.testing.assert_allclose(profiles.sum(1), 1)
    pd.testing.assert_frame_equal(compared.layer_profiles(), compared.layer_profiles(0.15))


@pytest.mark.slow
def test_rankings_that_end_are_told():
    with pytest.warns(CultureLensWarning, match=r"not every ranking has as many.*lape \("):
        compare_selectors(
            lens("llama"),
            asked_twice(toy_questions()),
            ["lape", "lap"],
            shares=(0.15,),
            progress=False,
        )


@pytest.mark.slow
def test_a_selector_does_not_depend_on_those_beside_it(compared):
    alone = compared_quietly(
        lens("llama"), asked_twice(toy_questions()), ["conact"], shares=(0.15,)
    )
    for metric in ("self", "cross", "gap", "flips"):
        mine = alone.estimate("conact", 0.15, metric)
        assert mine == compared.estimate("conact", 0.15, metric)


@pytest.mark.slow
def test_fewer_cultures_are_ablated_and_all_are_asked(compared):
    two = compared_quietly(
        lens("llama"),
        asked_twice(toy_questions()),
        ["mad"],
        shares=(0.15,),
        cultures=("Japan", "France"),
    )
    whole, part = compared.matrix("mad", 0.15), two.matrix("mad", 0.15)
    assert part.masks == ("France", "Japan") and part.cultures == CULTURES
    pd.testing.assert_frame_equal(part.table(), whole.table().loc[["France", "Japan"]])


@pytest.mark.slow
def test_an_encoder_decoder_is_compared_within_one_stack():
    model = t5.lens("flan")
    names = ["conact", "culnig_all_projections", "random"]
    found = compared_quietly(
        model,
        asked_twice(toy_questions()),
        names,
        shares=(0.1,),
        random_seeds=1,
        countryrc=two_passages(),
    )
    assert found.number(0.1) == int(0.1 * T5_LAYERS["flan"][0] * 48)
    assert found.layer_profiles().shape == (3, T5_LAYERS["flan"][0])
    np.testing.assert_allclose(found.layer_profiles().sum(1), 1)


def test_countryrc_asks_about_all_that_are_compared(monkeypatch):
    """It asks about every culture that is compared, not CULNIG's eight alone."""
    given = {}

    def stop(*_, **options):
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("culture_lens.find.culnig_scores", stop)
    with pytest.raises(KeyboardInterrupt):
        compared_quietly(lens("llama"), asked_twice(toy_questions()), shares=SHARES)
    assert given["countries"] == CULTURES and given["sites"] == ["gate"]


@pytest.mark.slow
def test_a_finished_run_is_found_again(tmp_path, monkeypatch, compared):
    model, names = lens("llama"), ["mad", "culnig_specific", "random"]
    options = {"selectors": names, "shares": (0.15,), "random_seeds": 2}
    options |= {"countryrc": two_passages(), "run": tmp_path}
    kept = compared_quietly(model, asked_twice(toy_questions()), **options)
    frame = compared.frame
    same = (frame["condition"] == "unmodified") | (
        frame["selector"].isin(names) & (frame["share"] == 0.15)
    )
    pd.testing.assert_frame_equal(kept.frame, frame[same].reset_index(drop=True))

    must_not_run(monkeypatch)
    again = compared_quietly(model, asked_twice(toy_questions()), **options)
    pd.testing.assert_frame_equal(again.frame, kept.frame)
    # Other shares need other masks, but neither recording nor scoring anew.
    monkeypatch.undo()
    asked = []
    real = LensModel.differentiable_logits
    monkeypatch.setattr(LensModel, "differentiable_logits", lambda *a: asked.append(1) or real(*a))
    compared_quietly(model, asked_twice(toy_questions()), **{**options, "shares": (0.3,)})
    assert not asked


@pytest.mark.slow
def test_neurons_are_ablated_where_they_were_found_and_all_the_same(sources):
    """A gate at 0 is an activation at 0, so that sites do not make a difference."""
    model, (_, held_out) = lens("llama"), split_questions(asked_twice(toy_questions()))
    gates = neurons_of(sources, "culnig_specific", "Japan", 20)
    acts = type(gates)({"act": gates.places["gate"]})
    frames = [evaluate(model, held_out, n, progress=False).frame for n in (gates, acts)]
    assert torch.allclose(*(torch.tensor(f["p_gold"].to_numpy()) for f in frames), atol=1e-6)
