"""The page joins neurons and matrices of one set only."""

import pytest

from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.experiments.belonging import NEURON_SET
from culture_lens.report.page import build_report, report_context
from culture_lens.report.results import load_results
from tests.helpers.results import make_found, make_matrix, make_predicted, make_run


def of(found, **metadata):
    return make_matrix(items=6, **{NEURON_SET: found.content}, **metadata)


def test_an_old_matrix_is_not_joined_with_new_neurons(tmp_path):
    """find, ablate, find again with more neurons, report."""
    old, new = make_found(), make_found(layers=5)
    assert old.content != new.content
    run = make_run(tmp_path, conact=(new, of(old)))
    with pytest.warns(CultureLensWarning, match=r"matrix/conact.parquet is of other neurons"):
        (told,) = report_context(run)["selectors"]
    assert told["metrics"] is None and "not tested" in told["outcome"][0]
    assert "matrix/conact.parquet is of other neurons" in told["missing"][0]
    make_run(tmp_path, conact=(new, of(new)))
    assert report_context(run)["selectors"][0]["metrics"] is not None


def test_a_matrix_of_another_value_comes_with_the_neurons_that_were_ablated(tmp_path):
    found = make_found()
    double = of(found, value="double")
    run = make_run(tmp_path, conact=(found, of(found)), **{"conact-double": (None, double)})
    results = load_results(run)
    assert list(results) == ["conact", "conact-double"]
    assert results["conact-double"][0].content == found.content
    assert "were ablated (set to zero or double)" in report_context(run)["done"]
    find_again = make_found(layers=5)
    make_run(tmp_path, conact=(find_again, of(find_again)))
    with pytest.warns(CultureLensWarning, match=r"matrix/conact-double.parquet is of other"):
        (told,) = report_context(run)["selectors"]
    assert told["name"] == "conact" and told["metrics"] is not None
    assert "matrix/conact-double.parquet is of other neurons" in told["missing"][0]


def test_results_of_two_models_are_not_put_side_by_side(tmp_path):
    run = make_run(
        tmp_path, conact=(make_found(), make_matrix(items=6)), lape=(None, make_matrix(model="b"))
    )
    with pytest.raises(InputError, match="results of different models.*Keep a run folder for each"):
        report_context(run)


@pytest.mark.slow
def test_an_old_prediction_is_not_drawn(tmp_path):
    old, new = make_found(), make_found(layers=5)
    matrix = of(new, scoring="letter")
    run = make_run(tmp_path, conact=(new, matrix))
    predicted = make_predicted(matrix)
    predicted.metadata[NEURON_SET] = old.content
    predicted.to_parquet(run.named("predicted", "conact", ".parquet"))
    with pytest.warns(CultureLensWarning, match=r"predicted/conact.parquet is of other neurons"):
        build_report(run)
