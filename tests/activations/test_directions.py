"""Directions: on paper, whatever the batches, paired where the country is named, kept in files."""

import math
from dataclasses import replace

import pytest
import torch

import culture_lens as cl
from culture_lens.activations.directions import Sums, fit_directions
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.neurons.directions import Direction, Directions
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import CONTENT_ROLES
from culture_lens.questions.country_named import with_country_named, without_country_named
from culture_lens.statistics.estimates import Estimate
from tests.helpers import lm, reference
from tests.helpers.closeness import assert_close
from tests.helpers.marks import QUIET, quiet
from tests.helpers.questions import toy_questions
from tests.helpers.reference_directions import stream_of


def item(name, culture):
    return cl.Question(id=name, culture=culture, text=name, options=("a", "b"), answer=0)


def test_a_case_on_paper():
    """Japan (2,0) and (4,0), Mexico (0,2): Japan is (3,0) - (0,2), the centre (1.5, 1)."""
    asked = [item("1", "Japan"), item("2", "Japan"), item("3", "Mexico")]
    sums = Sums(asked, 2)
    rows = torch.tensor([[2.0, 0], [4, 0], [0, 2]], dtype=torch.float64)
    sums.update(asked[:1], rows[:1], rows[:1])
    sums.update(asked[1:], rows[1:], rows[1:])
    with pytest.warns(CultureLensWarning, match="3 question groups"):
        found = sums.directions("resid", 2, "cultures", {})
    assert found["Japan"].vector.tolist() == [3.0, -2.0]
    assert found["Mexico"].vector.tolist() == [-3.0, 2.0]
    assert found["Japan"].norm == pytest.approx(math.sqrt(13))
    assert found["Japan"].mean == pytest.approx((3 * 1.5 - 2 * 1) / math.sqrt(13))
    assert found.cosines().loc["Japan", "Mexico"] == pytest.approx(-1)
    with pytest.warns(CultureLensWarning):
        shift = sums.directions("resid", 2, "localization", {})
    assert shift["Japan"].vector.tolist() == [3.0, 0.0]


def vectors_of(hf, questions, layer, content):
    """The stream of a raw model at the last token, or averaged over the content."""
    found = {}
    for prompt in build_prompts(questions, lm.lens("llama").processor):
        values = stream_of(
            reference.decoder_layers(hf)[layer],
            lambda ids=prompt.ids: hf(input_ids=torch.tensor([ids])),
        )
        counted = [role in CONTENT_ROLES for role in prompt.roles]
        found[prompt.question.id] = values[counted].mean(0) if content else values[-1]
    return found


@quiet
@pytest.mark.parametrize("position", ["last", "content"])
def test_localization_is_the_mean_of_paired_differences(position):
    model, hf, asked = lm.lens("llama"), lm.raw("llama"), toy_questions()
    asked = [q if n % 2 else replace(q, text="What do people like most?")
             for n, q in enumerate(asked)]  # fmt: skip
    named, unnamed = (
        vectors_of(hf, versions(asked), 1, position == "content")
        for versions in (with_country_named, without_country_named)
    )
    found = fit_directions(
        model, asked, layer=1, contrast="localization", position=position, **QUIET
    )
    for culture in found:
        own = [q.id for q in asked if q.culture == culture]
        expected = torch.stack([named[name] - unnamed[name] for name in own]).mean(0)
        assert_close(found[culture].vector, expected)
    centre = torch.stack(
        [
            torch.stack([named[q.id] + unnamed[q.id] for q in asked if q.culture == c]).mean(0) / 2
            for c in found
        ]
    ).mean(0)
    one = found[found.cultures[0]]
    assert one.mean == pytest.approx(float(one.unit @ centre), rel=1e-4)


@quiet
def test_neither_batches_nor_order_change_a_direction(tmp_path):
    model, asked = lm.lens("llama"), toy_questions()
    whole = fit_directions(model, asked, layer=2, site="post", position="content", **QUIET)
    other = fit_directions(
        model, asked[::-1], layer=2, site="post", position="content", batch_size=3, **QUIET
    )
    for culture in whole:
        assert_close(other[culture].vector, whole[culture].vector, 1e-6)
        assert other.agreement[culture].value == pytest.approx(
            whole.agreement[culture].value, abs=1e-5
        )
    assert whole.metadata["looked_at"] == other.metadata["looked_at"]
    again = Directions.load(whole.save(tmp_path / "d.safetensors"))
    assert again.cultures == whole.cultures and (again.site, again.layer) == ("post", 2)
    for culture in whole:
        assert torch.equal(again[culture].vector, whole[culture].vector)
        assert again[culture].mean == whole[culture].mean
        assert again.agreement[culture] == whole.agreement[culture]
    assert again.metadata["contrast"] == "cultures"


@quiet
def test_a_damaged_file_and_another_kind_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Directions.load(tmp_path / "none.safetensors")
    one = Direction("Japan", "resid", 0, torch.ones(3))
    held = Directions({"Japan": one}, {"Japan": Estimate(0.5, 0.4, 0.6)}, {"model": "m"})
    place = held.save(tmp_path / "d.safetensors")
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    with pytest.raises(InputError):
        Directions.load(place)
    with pytest.raises(InputError, match="neuron set"):
        cl.NeuronSet.load(held.save(tmp_path / "d2.safetensors"))


REFUSED = {
    "no layer 3": ({"layer": 3}, "layer"),
    "no site": ({"layer": 0, "site": "residual"}, "unknown site|no site|'residual'"),
    "no contrast": ({"layer": 0, "contrast": "countries"}, "countries"),
    "no roles": ({"layer": 0, "position": "first"}, "first"),
    "a run folder": ({"layer": 0, "run": "runs/none"}, "save what it gives"),
    "no such token": ({"layer": 0, "position": "image"}, "no token of these roles"),
}


@quiet
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_fitted_is_refused(case):
    options, told = REFUSED[case]
    with pytest.raises(InputError, match=told):
        fit_directions(lm.lens("llama"), toy_questions(), **{**QUIET, **options})
    with pytest.raises(InputError, match="1 culture"):
        fit_directions(lm.lens("llama"), toy_questions()[:1], layer=0)


def test_directions_of_two_places_and_a_zero_direction_are_refused():
    one, other = (Direction("a", "resid", layer, torch.ones(2)) for layer in (0, 1))
    with pytest.raises(InputError, match="one site and layer"):
        Directions({"a": one, "b": other})
    with pytest.raises(InputError, match="none of them"):
        Directions({})
    for wrong in (torch.zeros(2), torch.tensor([math.nan, 1.0])):
        with pytest.raises(InputError, match="one row of finite numbers"):
            Direction("a", "resid", 0, wrong)
