"""Questions of the organism's world."""

import pytest

from culture_lens.benchmarks import load_benchmark


@pytest.fixture(scope="module")
def questions():
    return load_benchmark("organism")


@pytest.fixture(scope="module")
def everything():
    return load_benchmark("organism", subset="all", split="all", pictures=2)
