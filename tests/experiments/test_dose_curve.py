"""dose_curve: the best neurons of each culture, ever more of them, each dose an evaluation."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.dose import DoseCurve
from culture_lens.experiments.dose_curve import dose_curve, doses_of
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from tests.helpers.dose import dose_by_hand
from tests.helpers.forwards import must_not_run
from tests.helpers.lm import lens
from tests.helpers.matrices import LETTERS
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions

SIZE = 3 * 48


def scored_set(sizes=None):
    """The made-up set with a score for every neuron, and as many neurons as are asked for."""
    source, found = np.random.default_rng(5), found_set()
    kept = {}
    for culture in found:
        places = found[culture].places["act"][: (sizes or {}).get(culture, 40)]
        scores = torch.tensor(source.normal(size=len(places)))
        kept[culture] = Neurons({"act": places}, {"act": scores})
    return NeuronSet(kept, found.shapes, {**found.metadata, "groups": [], "looked_at": {}})


def first_by_score(neurons, number):
    """An independent list of the neurons with the highest scores."""
    pairs = list(zip(neurons.scores["act"].tolist(), neurons.places["act"].tolist(), strict=True))
    best = [place for _, place in sorted(pairs, reverse=True)[:number]]
    return {("act", layer, index) for layer, index in best}


@pytest.fixture(scope="module")
def curve():
    shares = (3 / SIZE, 20 / SIZE)
    return dose_curve(
        lens("llama"), scored_set(), toy_questions(), shares=shares, random_seeds=2, **LETTERS
    )


@pytest.mark.slow
def test_each_dose_is_an_evaluation_of_its_own(curve):
    model, found, questions = lens("llama"), scored_set(), toy_questions()
    assert len(curve.frame) == 16 * (1 + 2 * 4 * 3)
    for number in (3, 20):
        for culture in ("France", "Japan"):
            best = first_by_score(found[culture], number)
            kept = found[culture].keep(lambda member, best=best: member in best)
            expected = evaluate(
                model, questions, kept, scoring="letter_options", batch_size=8, progress=False
            ).frame
            frame = curve.frame
            part = frame[
                (frame["condition"] == "found")
                & (frame["mask"] == culture)
                & (frame["neurons"] == number)
            ]
            assert part["p_gold"].tolist() == expected["p_gold"].tolist()
            assert part["prediction"].tolist() == expected["prediction"].tolist()
    assert curve.shares == (3 / SIZE, 20 / SIZE)
    assert set(curve.numbers(20 / SIZE).values()) == {20}


@pytest.mark.slow
def test_own_questions_alone_are_those_of_the_whole(curve, tmp_path, monkeypatch):
    """The same records, resumed without running the model; cross is refused."""

    def alone():
        return dose_curve(
            lens("llama"),
            scored_set(),
            toy_questions(),
            shares=curve.shares[1:],
            others=False,
            random_seeds=2,
            run=tmp_path,
            **LETTERS,
        )

    own = alone()
    must_not_run(monkeypatch)
    again = alone()
    pd.testing.assert_frame_equal(own.frame, again.frame)
    assert len(own.frame) == 4 * 4 * (1 + 3)
    for metric in ("self", "flips"):
        whole = curve.table(metric).tail(5).reset_index(drop=True)
        pd.testing.assert_frame_equal(own.table(metric), whole)
    whole = curve.table("p_change").tail(5).reset_index(drop=True)
    both = own.table("p_change"), whole  # other batches, so float32 apart
    pd.testing.assert_frame_equal(*both, rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="others=True"):
        own.table("gap")


@pytest.mark.slow
def test_table_is_the_matrix_at_each_share(curve):
    """Values and intervals are those of an ablation matrix; the file gives them back."""
    for metric in ("self", "cross", "gap", "flips"):
        table = curve.table(metric).set_index(["culture", "share"])
        for share in curve.shares:
            summary = curve.matrix(share).summary()
            for culture in curve.cultures:
                cell = table.loc[(culture, share)]
                got = [cell["value"], cell["low"], cell["high"]]
                own = summary.loc[culture, [metric, f"{metric}_low", f"{metric}_high"]]
                assert got == pytest.approx(list(own))
            mean = curve.matrix(share).overall(metric)
            assert table.loc[("mean", share), "low"] == pytest.approx(mean.low)
            beyond = curve.table(metric, "beyond").set_index(["culture", "share"])
            expected = curve.matrix(share).beyond_random(metric)
            assert beyond.loc[("mean", share), "high"] == pytest.approx(expected.high)


def test_curve_on_paper(tmp_path):
    """A loses 1 of 4, then 3 of 4; B loses none, then 1 of 4. Random neurons of A lose 0 and 1."""
    right = {"A": (1, 1, 1, 1), "B": (1, 1, 1, 0)}
    curve = dose_by_hand(
        {
            ("unmodified", 0.0, "", 0): right,
            ("found", 0.01, "A", 0): {**right, "A": (1, 1, 1, 0)},
            ("found", 0.01, "B", 0): right,
            ("found", 0.1, "A", 0): {"A": (1, 0, 0, 0), "B": (1, 1, 0, 0)},
            ("found", 0.1, "B", 0): {**right, "B": (0, 1, 1, 0)},
            **{("random", s, "B", r): right for s in (0.01, 0.1) for r in (0, 1)},
            **{("random", s, "A", 0): right for s in (0.01, 0.1)},
            **{("random", s, "A", 1): {**right, "A": (0, 1, 1, 1)} for s in (0.01, 0.1)},
        }
    )
    read = DoseCurve.from_parquet(curve.to_parquet(tmp_path / "curve.parquet"))
    table = read.table("self")
    assert table["culture"].tolist() == ["A", "B", "mean"] * 2
    assert table["value"].tolist() == [-0.25, 0.0, -0.125, -0.75, -0.25, -0.5]
    assert table["neurons"].tolist() == [1, 1, 1, 10, 10, 10]
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()
    assert read.table("cross")["value"].tolist() == [0.0, 0.0, 0.0, -0.25, 0.0, -0.125]
    beyond = read.table("self", "beyond")
    assert beyond["value"].tolist() == [-0.125, 0.0, -0.0625, -0.625, -0.25, -0.4375]
    assert read.table("p_change")["value"].tolist()[3] == pytest.approx(-0.675)


def test_one_culture_has_a_curve():
    """No cross, no mean, and no refusal."""
    curve = dose_by_hand(
        {
            ("unmodified", 0.0, "", 0): {"A": (1, 1, 1, 1)},
            ("found", 0.01, "A", 0): {"A": (1, 1, 0, 0)},
        },
        cultures=("A",),
    )
    table = curve.table()
    assert table["culture"].tolist() == ["A"] and table["value"].tolist() == [-0.5]
    with pytest.raises(InputError, match="random_seeds"):
        curve.table("self", "random")
    with pytest.raises(InputError, match="at least two cultures"):
        curve.table("cross")
    with pytest.raises(InputError, match=r"no share 0\.5"):
        curve.matrix(0.5)
    assert math.isclose(curve.shares[0], 0.01)


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ((0.5,), "largest set has 40"),
        ((0.0001,), "at least one"),
        ((0.1, 0.1001), "more than the last"),
        ((), "choose nothing"),
        ((1.5,), "outside"),
        ((math.nan,), "outside"),
    ],
)
def test_shares_that_cannot_be_ablated_are_refused(shares, told, monkeypatch):
    must_not_run(monkeypatch)
    with pytest.raises(InputError, match=told):
        dose_curve(lens("llama"), scored_set(), toy_questions(), shares=shares, **LETTERS)


def test_sets_without_scores_or_neurons(monkeypatch):
    must_not_run(monkeypatch)
    model, questions = lens("llama"), toy_questions()
    with pytest.raises(InputError, match="carry no scores"):
        dose_curve(model, found_set(groups=[]), questions, **LETTERS)
    with pytest.raises(InputError, match="no culture is left"):
        dose_curve(model, scored_set({c: 0 for c in found_set()}), questions, **LETTERS)
    with pytest.warns(CultureLensWarning, match="no neurons: Japan"):
        with pytest.warns(CultureLensWarning, match="fewer neurons .* Mexico 10"):
            with pytest.raises(AssertionError):
                dose_curve(model, scored_set({"Japan": 0, "Mexico": 10}), questions, **LETTERS)


def test_a_share_is_that_of_the_layers_that_have_units():
    """As of features in one layer of three: a quarter of 48, not of 144."""
    places = {"act": torch.tensor([[1, index] for index in range(40)])}
    own = Neurons(places, {"act": torch.arange(40.0)})
    found = NeuronSet({"Japan": own}, {"act": (3, 48)}, {"units": {"act": {"layers": [1]}}})
    assert len(doses_of(found, [0.25])[0.25]["Japan"]) == 12
    with pytest.raises(InputError, match="asks for 48 of 48 neurons"):
        doses_of(found, [1.0])
