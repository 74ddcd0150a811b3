"""One browser for all tests of pages."""

import pytest

from tests.helpers.browser import Browser


@pytest.fixture(scope="session")
def browser():
    started = Browser()
    yield started
    started.close()
