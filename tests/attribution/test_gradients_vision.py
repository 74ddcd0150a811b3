"""Attribution on vision-language models is that of the plain reference."""

import numpy as np
import pytest
import torch

from culture_lens.attribution.gradients import attribute
from culture_lens.attribution.item_scores import item_scores
from culture_lens.errors import InputError
from culture_lens.prompts.batches import collate
from tests.helpers.gold import gold_tokens
from tests.helpers.reference_vlm import vlm_attribution, vlm_attributions
from tests.helpers.vlm import lens, prompts_of, raw
from tests.helpers.vlm_items import (
    EDITED,
    F64,
    batch_of,
    each,
    each_sharing,
    expected_logits,
    item,
    questions,
)


def attributed(name, numbers, sites, dtype=F64):
    """Package and reference side by side: pairs of [layer, neuron]."""
    model = lens(name, dtype)
    prompts = prompts_of(name, [questions()[number] for number in numbers])
    gold = gold_tokens(prompts, model.processor)
    rows = item_scores(model, collate(prompts, model.pad_id), sites)
    for position, number in enumerate(numbers):
        token = gold[questions()[number].id]
        p = expected_logits(name, dtype)[number].softmax(-1)[token]
        assert float(rows.p_gold[position]) == pytest.approx(float(p), rel=1e-4)
        every = vlm_attributions(raw(name, dtype), item(name, number, dtype), token, sites)
        for site, expected in every.items():
            yield rows.scores[site][position].numpy(), expected


@each
def test_attribution_equals_the_reference(name):
    for found, expected in attributed(name, EDITED, ("gate", "q", "k", "v")):
        assert found.dtype == np.float64
        allowed = 1e-8 * np.abs(expected) + 1e-12 * np.abs(expected).max()
        assert (np.abs(found - expected) <= allowed).all() and np.abs(expected).max() > 0


@each
def test_attribution_at_the_other_sites(name):
    for found, expected in attributed(name, (0, 12), ("act", "up", "post", "z")):
        assert np.abs(found - expected).max() <= 1e-8 * np.abs(expected).max()


@each
def test_attribution_in_float32(name):
    for found, expected in attributed(name, (0, 5), ("gate", "v"), torch.float32):
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@each
def test_attribution_summed_over_questions(name):
    """By culture, whatever the batches, and after the features were kept by a plain forward."""
    model = lens(name, F64)
    model.logits(batch_of(name))
    numbers = (0, 3, 4, 7, 12)
    asked = [questions()[number] for number in numbers]
    prompts = prompts_of(name, asked)
    gold = gold_tokens(prompts, model.processor)
    expected = {}
    for number, question in zip(numbers, asked, strict=True):
        token = gold[question.id]
        scores = vlm_attribution(raw(name, F64), item(name, number, F64), token, "v")
        expected[question.culture] = expected.get(question.culture, 0) + scores
    for batch_size in (2, 8):
        found = attribute(model, asked, sites="v", batch_size=batch_size, progress=False)
        assert found.cultures == tuple(sorted(expected))
        for position, culture in enumerate(found.cultures):
            error = np.abs(found.scores["v"][position].numpy() - expected[culture])
            assert error.max() <= 1e-8 * np.abs(expected[culture]).max()


@each_sharing
def test_no_gradients_through_a_shared_picture(name):
    with pytest.raises(InputError, match="without shared prefixes"):
        lens(name).differentiable_logits(batch_of(name, share_prefix=True))
