"""token_activations against plain PyTorch, against summarise, in any batch, by letter or not."""

import numpy as np
import pytest
import torch

from culture_lens.activations.record import record_activations
from culture_lens.cards.activity import by_culture
from culture_lens.cards.tokens import token_activations
from culture_lens.errors import InputError
from culture_lens.prompts.prompt import Role
from tests.helpers import reference_t5, t5, vlm
from tests.helpers.lm import lens, raw
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions
from tests.helpers.reference import site_values
from tests.helpers.reference_vlm import vlm_site_values

NEURONS = [("act", 2, 47), ("act", 0, 5), ("v", 1, 3), ("act", 0, 0)]


@pytest.fixture(scope="module")
def recorded():
    return token_activations(lens("llama"), NEURONS, toy_questions(), **QUIET)


def test_every_value_is_that_of_plain_pytorch(recorded):
    hf = raw("llama")
    for item, prompt in list(zip(recorded.items, recorded.prompts, strict=True))[::5]:
        tables = {site: site_values(hf, site, prompt.ids) for site in ("act", "v")}
        expected = [tables[site][layer, :, index] for site, layer, index in NEURONS]
        np.testing.assert_allclose(item.values, expected, atol=2e-5)


def test_tokens_are_the_prompt_cut_into_pieces(recorded):
    for item, prompt in zip(recorded.items, recorded.prompts, strict=True):
        assert "".join(item.tokens) == prompt.text
        assert len(item.tokens) == len(prompt.ids) == len(item.roles)
        asked = "".join(np.array(item.tokens)[item.roles == Role.QUESTION])
        assert asked.strip() == item.question.text


def test_they_are_counted_as_summarise_counts_them(recorded):
    summary = record_activations(lens("llama"), recorded.prompts, **QUIET).summary()
    for row, (site, layer, index) in enumerate(NEURONS):
        if site == "act":
            own = by_culture(recorded.items, row)
            at = (slice(None), layer, index)
            assert [one.label for one in own] == list(summary.cultures)
            active = [one.active.value for one in own]
            assert active == pytest.approx(summary.probability("act")[at].tolist(), abs=1e-12)
            mean = [one.magnitude.value for one in own]
            assert mean == pytest.approx(summary.mean("act")[at].tolist(), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("scoring", ["letter", "option_likelihood"])
def test_batches_change_nothing(scoring):
    one, many = (
        token_activations(
            lens("llama"), NEURONS, toy_questions(2), scoring=scoring, batch_size=size, **QUIET
        )
        for size in (1, 16)
    )
    for alone, beside in zip(one.items, many.items, strict=True):
        assert alone.tokens == beside.tokens
        np.testing.assert_allclose(alone.values, beside.values, atol=2e-5)
        assert (alone.counted == beside.counted).all()
    np.testing.assert_allclose(one.answers["p_gold"], many.answers["p_gold"], atol=1e-5)
    assert one.answers["prediction"].tolist() == many.answers["prediction"].tolist()


def test_both_stacks_of_an_encoder_decoder():
    family = next(iter(t5.FAMILIES))
    model, hf, questions = t5.lens(family), t5.raw(family), t5.mixed_questions()[3:7]
    for site, counts in (("encoder.act", None), ("decoder.act", 1)):
        found = token_activations(model, (site, 1, 2), questions, scoring="letter", **QUIET)
        for item, prompt in zip(found.items, found.prompts, strict=True):
            seen = reference_t5.values(hf, site, prompt.ids, prompt.decoder_ids)
            np.testing.assert_allclose(item.values[0], seen[1, :, 2], atol=2e-5)
            assert len(item.tokens) == item.values.shape[1]
            if counts:
                assert item.counted.tolist() == [False] * (len(item.tokens) - 1) + [True]
    with pytest.raises(InputError, match="record them in two calls"):
        token_activations(model, [("encoder.act", 0, 0), ("decoder.act", 0, 0)], questions)


@pytest.mark.parametrize("name", ["llava_next_mistral", "qwen2_5_vl"])
def test_pictures_are_recorded_with_their_roles(name):
    model, asked = vlm.lens(name), vlm.pictured_questions()[:3]
    found = token_activations(
        model, ("post", 1, 4), asked, scoring="letter_options", roles="image", **QUIET
    )
    for item, question in zip(found.items, asked, strict=True):
        seen = vlm_site_values(vlm.raw(name), "post", vlm.native(name, question))
        np.testing.assert_allclose(item.values[0], seen[1, :, 4], atol=5e-5)
        assert (item.counted == (item.roles == Role.IMAGE)).all() and item.counted.any()


def test_a_table_of_one_neuron(recorded):
    table = recorded.to_pandas(("act", 0, 5))
    tokens = sum(len(item.tokens) for item in recorded.items)
    assert len(table) == tokens and len(recorded.to_pandas()) == len(NEURONS) * tokens
    assert set(table["index"]) == {5} and "<table" in recorded._repr_html_()
    assert table["value"].iloc[0] == pytest.approx(float(recorded.items[0].values[1, 0]))
    with pytest.raises(InputError, match="unknown neuron"):
        recorded.to_pandas(("act", 0, 6))


@pytest.mark.parametrize(
    ("neuron", "told"),
    [
        (("act", 3, 0), "outside"),
        (("act", 0, 48), "outside"),
        (("akt", 0, 0), "did you mean 'act'"),
        ((0.5, 1), "whole number"),
        ("act", "site, layer, index"),
        ([], "no neurons"),
    ],
)
def test_what_is_no_neuron_is_refused(neuron, told):
    with pytest.raises(InputError, match=told):
        token_activations(lens("llama"), neuron, toy_questions())


def test_a_model_that_gives_no_numbers_is_refused():
    model = lens("llama")

    def spoil(activation, hook):
        return torch.full_like(activation, torch.nan)

    with model.hooks([(model.hook_name("post", 2), spoil)]):
        with pytest.raises(InputError, match="nan on question"):
            token_activations(model, ("post", 2, 0), toy_questions()[:1], **QUIET)
