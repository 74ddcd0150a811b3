"""What the tests of training share: no search for garbage goes through what other tests hold."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def held_models_are_no_garbage():
    """Leave out the models that tests of this process hold; each training searches once or more.

    A third of a second each time otherwise, which is more than most trainings here take.
    """
    gc.collect()
    gc.freeze()
