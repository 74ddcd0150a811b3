"""Matrices that several test files of experiments/ look at."""

import numpy as np
import pytest

from tests.helpers.matrices import one_mask


@pytest.fixture(scope="module")
def null():
    """400 cells in which the mask does nothing, items of a group going together."""
    return one_mask(0, np.zeros(400))
