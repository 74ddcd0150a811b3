"""Matrices that several test files of experiments/ look at."""

import numpy as np
import pytest

from culture_lens.experiments.ablation_matrix import ablation_matrix
from tests.helpers.lm import lens
from tests.helpers.matrices import LETTERS, one_mask
from tests.helpers.neurons import found_set
from tests.helpers.questions import toy_questions


@pytest.fixture(scope="module")
def null():
    """400 cells in which the mask does nothing, items of a group going together."""
    return one_mask(0, np.zeros(400))


@pytest.fixture(scope="module")
def real():
    return ablation_matrix(lens("llama"), found_set(), toy_questions(), random_seeds=2, **LETTERS)
