"""Matrices that several figures are drawn of."""

import pytest

from tests.helpers.results import CULTURES, make_matrix


@pytest.fixture(scope="package")
def matrix():
    """As ``ablation_matrix`` leaves it: scored by letters, five neurons a culture."""
    sizes = {culture: 5 for culture in CULTURES}
    return make_matrix(scoring="letter", value="zero", neurons=sizes)
