"""Activations of T5, FLAN-T5 and mT5 are those of the raw modules, at every site."""

import functools

import pytest
import torch

from culture_lens.activations.record import record_activations
from culture_lens.errors import InputError
from culture_lens.evaluation.summarise import summarise
from culture_lens.find import find_culture_neurons
from culture_lens.prompts.prompt import Role
from tests.helpers import reference_t5 as reference
from tests.helpers.closeness import assert_close
from tests.helpers.questions import toy_questions
from tests.helpers.t5 import each_site, lens, prompts_of, raw


@functools.cache
def expected_sums(family):
    """The sums of the reference at every site, by one forward of each item."""
    hf, counted = raw(family, torch.float64), (Role.QUESTION, Role.OPTIONS)
    items = [
        (p.ids, p.decoder_ids, [r in counted for r in p.roles], p.question.culture)
        for p in prompts_of(lens(family, torch.float64))
    ]  # fmt: skip
    return reference.sums_at_sites(hf, reference.sites_of(hf), items)


@each_site
def test_counts_and_sums_at_every_site(family, site):
    model = lens(family, torch.float64)
    prompts = prompts_of(model)
    found = record_activations(model, prompts, sites=site, batch_size=5, progress=False).summary()
    expected = expected_sums(family)[site]
    assert found.cultures == tuple(sorted(expected))
    for row, culture in enumerate(found.cultures):
        counts, sums, squares, tokens = expected[culture]
        assert found.tokens[row] == tokens
        assert tokens == 4 or reference.of_encoder_tokens(site)  # an item, a decoder's token
        assert torch.equal(found.counts[site][row], counts)
        # Sums within an item are made in float32.
        assert_close(found.sums[site][row], sums)
        assert_close(found.squares[site][row], squares)


@pytest.mark.slow
def test_several_sites_of_one_side_in_one_pass():
    model = lens("flan")
    for sites in (("encoder.act", "encoder.q", "cross.k"), ("decoder.act", "cross.z")):
        together = record_activations(model, prompts_of(model), sites=sites, progress=False)
        for site in sites:
            alone = record_activations(model, prompts_of(model), sites=site, progress=False)
            assert torch.equal(together.summary().counts[site], alone.summary().counts[site])


@pytest.mark.slow
def test_sites_of_both_sides_need_two_passes():
    model = lens("flan")
    for call in (
        lambda sites: record_activations(model, prompts_of(model), sites=sites),
        lambda sites: summarise(model, toy_questions(), sites=sites, only_correct=True),
        lambda sites: find_culture_neurons(model, toy_questions(), sites=sites, k=1),
    ):
        with pytest.raises(InputError, match=r"cross\.k.* two calls"):
            call(["decoder.act", "cross.k"])
        with pytest.raises(InputError, match=r"encoder\.act.*cross\.q.* two calls"):
            call(["encoder.act", "cross.q"])
