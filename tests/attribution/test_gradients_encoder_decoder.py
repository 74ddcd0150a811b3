"""Attribution on T5, FLAN-T5 and mT5 is autograd on the raw model."""

import pytest
import torch

from culture_lens.attribution.gradients import attribute
from tests.helpers import reference_t5 as reference
from tests.helpers.closeness import assert_close
from tests.helpers.gold import gold_tokens
from tests.helpers.marks import mostly_slow
from tests.helpers.t5 import ROUNDING, each_family, lens, mixed_questions, prompts_of, raw


@each_family
@pytest.mark.parametrize("aggregation", mostly_slow(["maximum", "sum", "last"], fast=["maximum"]))
def test_attribution_is_autograd_on_the_raw_model(family, aggregation):
    model, hf = lens(family, torch.float64), raw(family, torch.float64)
    sites = reference.sites_of(hf)
    prompts = prompts_of(model)
    gold = gold_tokens(prompts, model.processor)
    reduce = {"maximum": lambda s: s.amax(1), "sum": lambda s: s.sum(1), "last": lambda s: s[:, -1]}
    expected = {}
    for prompt in prompts:
        products, p = reference.attribution(
            hf, sites, prompt.ids, prompt.decoder_ids, gold[prompt.question.id]
        )
        for site in sites:
            held = expected.setdefault(site, {})
            own = p * reduce[aggregation](products[site])
            held[prompt.question.culture] = held.get(prompt.question.culture, 0) + own
    found = attribute(
        model, mixed_questions(), sites=sites, aggregation=aggregation, batch_size=5, progress=False
    )
    for site in sites:
        rows = torch.stack([expected[site][culture] for culture in found.cultures])
        assert_close(found.scores[site], rows, ROUNDING[torch.float64])


@pytest.mark.parametrize("sites", [["cross.k"], ["decoder.z", "cross.v"], ["cross.z", "encoder.q"]])
def test_a_backward_reaches_whatever_is_asked_for(sites):
    model = lens("flan", torch.float64)
    every = attribute(model, mixed_questions(), sites=model.sites, progress=False)
    found = attribute(model, mixed_questions(), sites=sites, progress=False)
    for site in sites:
        assert_close(found.scores[site], every.scores[site], ROUNDING[torch.float64])
        assert (found.scores[site].abs().amax((0, 2)) > 0).all()  # in every layer
