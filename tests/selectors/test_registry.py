"""Selectors by name."""

import pytest

from culture_lens.errors import InputError
from culture_lens.selectors import SELECTORS, get_selector, select
from culture_lens.selectors.conact import conact
from tests.helpers.summaries import summary_of_counts


def test_names_and_synonyms():
    assert get_selector("CAS") is get_selector("conact") is conact
    assert get_selector("MAD-probability") is SELECTORS["mad_probability"]
    for method in ("cas", "conact"):
        assert select(summary_of_counts(), method, k=1).method == "conact"


def test_unknown_selector():
    with pytest.raises(InputError, match="unknown selector 'conac': did you mean 'conact'"):
        select(summary_of_counts(), "conac")
