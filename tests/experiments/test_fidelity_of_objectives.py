"""Fidelity compares the objective that is predicted with the same objective of answers."""

import functools

import numpy as np
import pytest

from culture_lens.attribution.gradients import attribute
from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.ablation_fidelity import fidelity, matrix_fidelity
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.fidelity_units import CELL, SET
from culture_lens.experiments.measured_values import objective_values
from culture_lens.experiments.predicted_matrix import predicted_ablation_matrix
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.statistics.tables import as_estimates
from tests.helpers.faint import faint
from tests.helpers.questions import toy_questions
from tests.helpers.tiny import N_LAYERS

pytestmark = pytest.mark.slow
ODDS = {"objective": "logit_difference", "scoring": "option_likelihood"}
SETS = {
    "Japan": Neurons.of({"up": [(0, 1), (1, 4), (2, 30)]}),
    "Mexico": Neurons.of({"up": [(0, 9), (2, 11)], "v": [(1, 3)]}),
    "Iran": Neurons.of({"v": [(0, 2), (1, 5)]}),
}


@functools.cache
def compared(path):
    model = faint(1e-4)
    scores = attribute(model, toy_questions(), sites="up", progress=False)
    return fidelity(
        model,
        toy_questions(),
        scores,
        neurons=3,
        shares=(),
        sets=SETS,
        seen=True,
        progress=False,
        path=path,
        points=3,
        **ODDS,
    )


@pytest.mark.parametrize("path", ["none", "integrated"])
def test_small_effects_on_the_odds_are_predicted(path):
    found = compared(path)
    for kind in found.kinds:
        assert abs(found.slope(kind).value - 1) < 0.02
        assert found.correlation(kind).value > 0.999
    assert found.metadata["path"] == path and found.metadata["points"] == 3
    assert ODDS.items() <= found.metadata.items()


def test_records_are_the_objectives_of_answers():
    frame = compared("none").frame
    model, questions = faint(1e-4), toy_questions()
    before, after = (
        evaluate(model, questions, neurons, scoring=ODDS["scoring"], progress=False).frame
        for neurons in (None, SETS["Mexico"])
    )
    values = [dict(zip(f["id"], objective_values(f, ODDS["objective"]))) for f in (before, after)]
    part = frame[frame["unit"] == "Mexico"]
    assert len(part) == 16
    for _, row in part.iterrows():
        assert row["value"] == pytest.approx(values[0][row["id"]], rel=1e-9)
        change = values[1][row["id"]] - values[0][row["id"]]
        assert row["measured"] == pytest.approx(change, abs=1e-12)
        # By likelihood the options are all there is, so that the difference is the log-odds.
        odds = np.log(row["p_gold"] / (1 - row["p_gold"]))
        assert row["value"] == pytest.approx(odds, rel=1e-9, abs=1e-12)


def test_cells_of_a_matrix_are_compared_in_the_objective():
    model = faint(1e-4)
    shapes = {site: (N_LAYERS, model.widths[site]) for site in ("up", "v")}
    found = NeuronSet(SETS, shapes, {"model": model.name, "groups": ["food"]})
    ask = {"random_seeds": 0, "progress": False}
    questions = toy_questions()
    matrix = ablation_matrix(model, found, questions, scoring=ODDS["scoring"], **ask)
    predicted = predicted_ablation_matrix(model, found, questions, progress=False, **ODDS)
    held = matrix_fidelity(predicted, matrix)
    assert abs(held.slope(CELL).value - 1) < 0.02 and held.correlation(CELL).value > 0.999
    odds = matrix.frame.assign(value=np.log(matrix.frame["p_gold"] / (1 - matrix.frame["p_gold"])))
    mean = odds.groupby(["condition", "mask", "culture"])["value"].mean()
    for mask in SETS:
        for culture in predicted.cultures:
            change = mean["found", mask, culture] - mean["unmodified", "", culture]
            cell = as_estimates(held.units(CELL)).loc[f"{mask} on {culture}", "measured"]
            assert cell.value == pytest.approx(change, abs=1e-12)
    letters = predicted_ablation_matrix(model, found, questions, progress=False)
    with pytest.raises(InputError, match="scoring='letter' and neurons set to zero"):
        matrix_fidelity(letters, matrix)


def test_probabilities_and_odds_are_other_numbers():
    """So that no test above holds because the objective is not heeded."""
    model = faint(1e-4)
    scores = attribute(model, toy_questions(), sites="up", progress=False)
    found = fidelity(
        model,
        toy_questions(),
        scores,
        neurons=0,
        shares=(),
        sets=SETS,
        seen=True,
        progress=False,
        scoring="option_likelihood",
    )
    one, other = (
        as_estimates(f.units(SET)).loc["Japan", "measured"].value for f in (found, compared("none"))
    )
    assert abs(one) < 0.5 * abs(other)  # dP = P (1 - P) d(log-odds)
