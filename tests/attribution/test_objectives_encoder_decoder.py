"""Objectives and paths on encoder-decoders are those of the plain reference."""

import pytest

from tests.helpers import reference_t5
from tests.helpers.attributed import (
    LIKELIHOOD,
    asked,
    assert_equal,
    expected,
    found,
    options_of,
    prompts_of,
)
from tests.helpers.marks import mostly_slow
from tests.helpers.reference_attribution import t5_item
from tests.helpers.t5 import PREFIX, exact, exact_raw

LOG, DIFFERENCE = ({**LIKELIHOOD, "objective": x} for x in ("log_probability", "logit_difference"))
WHOLE, LAYERWISE = ({"path": f"integrated{x}", "points": 2} for x in ("", "_layerwise"))
WAYS = {
    "difference": DIFFERENCE,
    "log P, options, largest": {**LOG, "positions": "options", "aggregation": "largest"},
    "P, whole": {**LIKELIHOOD, **WHOLE},
    "difference, layerwise, sum": {**DIFFERENCE, **LAYERWISE, "aggregation": "sum"},
    "difference, layerwise, prompt": {**DIFFERENCE, **LAYERWISE, "positions": "prompt"},
    "letter, difference, whole": {"objective": "logit_difference", **WHOLE},
}
EVERY = [("flan", way) for way in WAYS]
EVERY += [(name, way) for name in ("t5", "mt5") for way in ("difference", "P, whole")]


def questions_of(how):
    """By letter with a prefix for the decoder, so that it has several tokens."""
    if how.get("scoring") == "option_likelihood":
        return asked()
    with_prefix = (PREFIX, PREFIX, asked()[2].prompt, asked()[3].prompt)
    return [
        type(q)(q.id, q.culture, q.text, q.options, q.answer, group=q.group, prompt=form)
        for q, form in zip(asked(), with_prefix, strict=True)
    ]


@pytest.mark.parametrize(
    ("family", "way"),
    mostly_slow(EVERY, fast=[("flan", "difference"), ("flan", "letter, difference, whole")]),
)
def test_objectives_equal_the_reference_at_every_site(family, way):
    model, hf, how = exact(family), exact_raw(family), WAYS[way]
    sites, questions = reference_t5.sites_of(hf), questions_of(how)
    if how.get("positions") == "options":
        sites = [site for site in sites if not reference_t5.of_encoder_tokens(site)]
    if how.get("positions") == "prompt":  # the start token alone looks at nothing but itself
        sites = [site for site in sites if site not in ("decoder.q", "decoder.k")]
    items = [
        (p.question.culture, t5_item(hf, p.ids, p.decoder_ids, *sides(model, p)))
        for p in prompts_of(model, questions, how)
    ]
    scores = found(model, questions, sites, how, batch_size=3)
    assert_equal(scores, expected(items, sites, how))


def sides(model, prompt):
    options, letter = options_of(model, prompt)
    return options, prompt.question.answer, letter


def test_encoders_have_no_tokens_of_options():
    """Whoever asks for options only gets 0 there, in the encoder and at what is read of it."""
    model = exact("flan")
    sites = ["encoder.act", "cross.k", "decoder.q", "cross.q"]
    how = {**LOG, "positions": "options"}
    scores = found(model, asked()[:3], sites, how).scores
    assert all((scores[site] == 0).all() for site in ("encoder.act", "cross.k"))
    assert all((scores[site] != 0).any() for site in ("decoder.q", "cross.q"))
