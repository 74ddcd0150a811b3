"""Marks and options that many test files give to tests and calls."""

from collections.abc import Iterable, Sequence

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


def mostly_slow(cases: Iterable, fast: Sequence) -> list:
    """Mark every case slow but those that the fast tests cover; a tuple is several values."""
    return [
        case
        if case in fast
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in cases
    ]
