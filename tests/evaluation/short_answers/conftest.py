"""Two regions of short-answer questions."""

import pytest

from tests.helpers.short_answers import entry, written_to


@pytest.fixture
def small(tmp_path):
    """Two regions of three questions that can be asked."""
    tea = (["tea", "a tea"], ["tea"], 4), (["milk"], ["milk"], 1)
    written_to(
        tmp_path,
        "UK",
        {"q1": entry("Drink?", *tea), "q2": entry("Sport?", (["football"], ["football"], 3))},
    )
    written_to(
        tmp_path,
        "Spain",
        {"q1": entry("¿Bebida?", (["el vino", "vino tinto"], ["wine"], 2), (["té"], ["tea"], 1))},
    )
    return tmp_path
