"""Rows of CVQA, templates of CountryRC, and a count of decoded pictures."""

import json

import pytest
from PIL import ImageFile

from culture_lens.storage.bundled import data_path
from tests.helpers.countryrc import PUBLISHED
from tests.helpers.cvqa import PER_SUBSET, SUBSETS, made


@pytest.fixture(scope="module")
def rows():
    return [
        made(number, subset, picture=place * PER_SUBSET // 2 + number // 2)
        for place, subset in enumerate(SUBSETS)
        for number in range(PER_SUBSET)
    ]


@pytest.fixture
def decodes(monkeypatch):
    """Count what PIL decodes."""
    counted, load = [], ImageFile.ImageFile.load

    def noted(self):
        counted.append(self)
        return load(self)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    return counted


@pytest.fixture(scope="module")
def templates():
    """The bundled templates, read without the package's reader."""
    return json.loads(data_path("countryrc", "data.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def published_templates():
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))
