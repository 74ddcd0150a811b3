"""Marks and options that many test files give to tests and calls."""

import pytest

from tests.helpers.places import DATA

QUIET = {"progress": False}
quiet = pytest.mark.filterwarnings("ignore::culture_lens.errors.CultureLensWarning")


def needs_data(name: str) -> pytest.MarkDecorator:
    """Skip a test where published rows are lacking: a file or a folder of the data folder."""
    place = DATA / name
    return pytest.mark.skipif(
        not place.exists(), reason=f"no published rows at {place} (set CULTURE_LENS_DATA)"
    )
