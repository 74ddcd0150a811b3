"""Every supported architecture holds, and the table of docs/models.md is what the tests measure."""

import pytest
import torch

from culture_lens.activations.directions import fit_directions
from culture_lens.interventions.directions import direction_added, direction_removed
from culture_lens.models.architectures import ARCHITECTURES, PRESETS
from culture_lens.models.sites import part_of
from culture_lens.prompts.batches import collate
from tests.helpers.architecture_table import (
    BOUND,
    CASES,
    GRADIENT_BOUND,
    HEAD,
    Measured,
    measure,
    row,
)
from tests.helpers.closeness import relative
from tests.helpers.marks import QUIET, mostly_slow, quiet
from tests.helpers.places import ROOT
from tests.helpers.reference_directions import (
    LAYER,
    at_output,
    differences,
    raw_edits,
    raw_layer,
    stream_of,
)

PAGE = ROOT / "docs" / "models.md"


@pytest.mark.parametrize(
    "architecture", mostly_slow(ARCHITECTURES, fast=[]), ids=lambda one: one.name
)
def test_it_holds_against_hugging_face_and_stands_in_the_docs(architecture):
    make, names = CASES[architecture.name]
    every = [measure(make(name)) for name in names]
    for one in every:
        assert max(one.logits, one.edits, one.alone) <= BOUND
        assert one.gradients <= GRADIENT_BOUND
        assert one.miscounted == 0 < one.neurons
        assert one.one_bos and one.one_label and one.images_right
    assert row(architecture, every) in PAGE.read_text(encoding="utf-8").splitlines()


def test_the_table_has_a_row_for_each_and_no_more():
    text = PAGE.read_text(encoding="utf-8")
    assert HEAD in text
    lines = text[text.index(HEAD) + len(HEAD) :].strip().splitlines()
    rows = lines[: lines.index("")]
    assert len(rows) == len(ARCHITECTURES) == len(CASES)
    for architecture, line in zip(ARCHITECTURES, rows, strict=True):
        assert line.startswith(f"| `{architecture.name}` |")


def test_a_row_shows_what_does_not_hold():
    good = Measured(1e-7, 0, 10, 1e-7, 1e-7, 1e-7, True, True, True)
    bad = Measured(0.25, 3, 10, 1e-7, 1e-3, 1e-7, True, False, False)
    pictured = next(one for one in ARCHITECTURES if "images" in one.reads)
    cells = row(pictured, [good, bad]).split(" | ")
    assert cells[2:] == ["2e-01", "17 of 20", "≤ 1e-05", "1e-03", "≤ 1e-05", "no", "no |"]


def test_presets_are_of_supported_architectures():
    names = {architecture.name for architecture in ARCHITECTURES}
    assert len(PRESETS) == 9 and {preset.architecture for preset in PRESETS} <= names


@quiet
@pytest.mark.parametrize(
    "architecture", mostly_slow(ARCHITECTURES, fast=[]), ids=lambda one: one.name
)
def test_directions_are_those_of_the_raw_model(architecture):
    make, names = CASES[architecture.name]
    case = make(names[0])
    prompts = list(case.prompts)[::5]
    batch = collate(prompts, case.model.pad_id)
    for site in [site for site in case.model.sites if part_of(site) == "resid"]:
        layer = raw_layer(make, names[0], site)
        last = {
            prompt.question.id: stream_of(layer, lambda prompt=prompt: case.logits(prompt))[-1]
            for prompt in prompts
        }
        asked = [prompt.question for prompt in prompts]
        expected = differences(last, {question.id: question.culture for question in asked})
        fitted = fit_directions(case.model, asked, layer=LAYER, site=site, **QUIET)
        assert set(fitted) == set(expected)
        for culture, vector in expected.items():
            assert relative(fitted[culture].vector, vector) <= BOUND
        one = fitted[fitted.cultures[0]]
        edited = [
            direction_added(case.model, one, -2.5),
            direction_removed(case.model, one),
            direction_removed(case.model, one, "mean"),
        ]
        plain = case.model.logits(batch)
        for context, edit in zip(edited, raw_edits(one), strict=True):
            with context:
                found = case.model.logits(batch)
            with at_output(layer, edit):
                raw = torch.stack([case.logits(prompt) for prompt in prompts])
            assert relative(found, raw) <= BOUND
            assert relative(found, plain) > 100 * BOUND  # the edit does something
