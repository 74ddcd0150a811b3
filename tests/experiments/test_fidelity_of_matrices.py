"""Predicted and measured ablation matrices are compared cell by cell."""

import functools
from dataclasses import replace

import pytest

from culture_lens.errors import InputError
from culture_lens.evaluation.evaluate import evaluate
from culture_lens.experiments.ablation_fidelity import matrix_fidelity
from culture_lens.experiments.ablation_matrix import ablation_matrix
from culture_lens.experiments.fidelity import Fidelity
from culture_lens.experiments.fidelity_units import CELL
from culture_lens.experiments.matrix import AblationMatrix
from culture_lens.experiments.predicted_matrix import PredictedMatrix, predicted_ablation_matrix
from culture_lens.interventions.hooks import ablated
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.statistics.tables import as_estimates
from tests.helpers.faint import faint
from tests.helpers.questions import asked_twice, toy_questions
from tests.helpers.tiny import N_LAYERS


@functools.cache
def two_matrices():
    model = faint(1e-2)
    neurons = {
        "Japan": Neurons.of({"up": [(0, 1), (1, 4), (2, 30)]}),
        "Mexico": Neurons.of({"up": [(0, 9), (2, 11)], "v": [(1, 3)]}),
    }
    shapes = {site: (N_LAYERS, model.widths[site]) for site in ("up", "v")}
    found = NeuronSet(neurons, shapes, {"model": model.name, "groups": ["food"]})
    predicted = predicted_ablation_matrix(
        model, found, asked_twice(toy_questions()), progress=False
    )
    measured = ablation_matrix(
        model, found, asked_twice(toy_questions()), scoring="letter", random_seeds=1, progress=False
    )
    return predicted, measured


@pytest.mark.slow
def test_cells_of_a_matrix_are_compared():
    predicted, measured = two_matrices()
    found = matrix_fidelity(predicted, measured)
    table = as_estimates(found.units(CELL))
    assert found.kinds == (CELL,) and len(table) == 8
    change = measured.table("p_change")
    for mask in ("Japan", "Mexico"):
        for culture in predicted.cultures:
            row = table.loc[f"{mask} on {culture}"]
            cell = measured.cell(mask, culture, "p_change")
            assert row["predicted"].value == pytest.approx(predicted.table().loc[mask, culture])
            assert row["measured"].value == pytest.approx(change.loc[mask, culture], abs=1e-12)
            bounds = (row["measured"].low, row["measured"].high)
            assert bounds == pytest.approx((cell.low, cell.high), abs=1e-9)
            assert row["size"] == 3
    assert abs(found.slope(CELL).value - 1) < 0.02 and found.correlation(CELL).value > 0.99


@pytest.mark.parametrize(
    "known", [{"scoring": "letter_options"}, {"value": "mean"}, {"value": "double"}, {"value": 0.5}]
)
def test_matrices_of_another_kind_are_refused(known):
    predicted, measured = two_matrices()
    other = AblationMatrix(measured.frame, {**measured.metadata, **known})
    with pytest.raises(InputError, match="neurons set to zero"):
        matrix_fidelity(predicted, other)


def test_matrices_of_another_model_or_other_neurons_are_refused():
    predicted, measured = two_matrices()
    for fact in ({"model": "another"}, {"neurons": {"Japan": 1}}):
        other = AblationMatrix(measured.frame, {**measured.metadata, **fact})
        with pytest.raises(InputError, match=f"differ in {next(iter(fact))}"):
            matrix_fidelity(predicted, other)


def test_matrices_of_other_items_are_refused():
    predicted, measured = two_matrices()
    first = predicted.frame["id"].iloc[0]
    frame = predicted.frame.assign(id=predicted.frame["id"].replace(first, "x"))
    with pytest.raises(InputError, match="have a measured one"):
        matrix_fidelity(PredictedMatrix(frame, predicted.metadata), measured)


def test_measured_changes_are_those_of_ablated():
    """The measured change of a matrix cell is what ``ablated`` does, item by item."""
    predicted, measured = two_matrices()
    model = faint(1e-2)
    questions = [replace(q) for q in asked_twice(toy_questions()) if q.group != "food"]
    neurons = Neurons.of({"up": [(0, 1), (1, 4), (2, 30)]})
    before = evaluate(model, questions, scoring="letter", progress=False).frame
    with ablated(model, neurons):
        after = evaluate(model, questions, scoring="letter", progress=False).frame
    expected = dict(zip(before["id"], after["p_gold"] - before["p_gold"], strict=True))
    found = matrix_fidelity(predicted, measured).frame
    part = found[found["unit"].str.startswith("Japan on")]
    assert len(part) == 28
    for _, row in part.iterrows():
        assert row["measured"] == pytest.approx(expected[row["id"]], abs=1e-12)


def test_metadata_are_kept_in_the_file(tmp_path):
    predicted, measured = two_matrices()
    held = matrix_fidelity(predicted, measured)
    again = Fidelity.from_parquet(held.to_parquet(tmp_path / "held.parquet"))
    assert again.metadata == dict(held.metadata)
    assert again.correlation(CELL) == held.correlation(CELL)
    other = PredictedMatrix.from_parquet(predicted.to_parquet(tmp_path / "predicted.parquet"))
    assert other.metadata == dict(predicted.metadata)
    assert other.table().equals(predicted.table())
