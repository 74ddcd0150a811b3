"""Activations of vision-language models are those of the raw model, at text and image tokens."""

import functools
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from culture_lens.activations.record import record_activations
from culture_lens.models.lens_model import LensModel
from culture_lens.prompts.prompt import CONTENT_ROLES, Role
from tests.helpers.reference_vlm import at_site, vlm_logits
from tests.helpers.tiny import N_LAYERS
from tests.helpers.vlm import LONG_HEAD, SITES, lens, pictured_questions, prompts_of, raw
from tests.helpers.vlm_items import F64, TEXT_ROLES, each, item, questions


@functools.cache
def site_values(name, number):
    """Values at every site of one item of the raw float64 model: {site: [layer, pos, neuron]}."""
    found = {}

    def keep(layer, x, site):
        found.setdefault(site, {})[layer] = x.detach()[0].double().numpy().copy()

    hf = raw(name, F64)
    with ExitStack() as stack:
        for site in SITES:
            stack.enter_context(at_site(hf, site, functools.partial(keep, site=site)))
        vlm_logits(hf, item(name, number, F64))
    return {site: np.stack([v[i] for i in range(N_LAYERS)]) for site, v in found.items()}


def expected_statistics(name, roles):
    """Counts, sums and squares per culture by plain loops, and tokens."""
    prompts = prompts_of(name, questions())
    tables, tokens = {}, {}
    token = raw(name).config.image_token_id
    for number, prompt in enumerate(prompts):
        kinds = [Role.IMAGE if i == token else r for i, r in zip(prompt.ids, prompt.roles)]
        mask = np.array([kind in roles for kind in kinds])
        culture = prompt.question.culture
        tokens[culture] = tokens.get(culture, 0) + int(mask.sum())
        for site, values in site_values(name, number).items():
            counted = values[:, mask]
            new = ((counted > 0).sum(1), counted.sum(1), (counted**2).sum(1))
            old = tables.get((culture, site), (0, 0.0, 0.0))
            tables[culture, site] = tuple(a + b for a, b in zip(old, new, strict=True))
    return tables, tokens


def assert_statistics(summary, tables, tokens):
    assert summary.tokens.tolist() == [tokens[culture] for culture in summary.cultures]
    for position, culture in enumerate(summary.cultures):
        for site in SITES:
            counts, sums, squares = tables[culture, site]
            found = summary.counts[site][position].numpy()
            assert found.dtype == np.int64 and (found == counts).all(), (culture, site)
            # the error grows with the sum of magnitudes, at most sqrt(T * Q)
            scale = np.sqrt(tokens[culture] * squares)
            assert (np.abs(summary.sums[site][position].numpy() - sums) <= 1e-5 * scale).all()
            error = np.abs(summary.squares[site][position].numpy() - squares)
            assert (error <= 1e-5 * squares).all()


@pytest.mark.parametrize("roles", [CONTENT_ROLES, TEXT_ROLES, (Role.IMAGE,)])
@each
def test_statistics_equal_the_reference(name, roles, monkeypatch):
    assert set(CONTENT_ROLES) == {Role.IMAGE, *TEXT_ROLES}
    model = lens(name, F64)
    prompts = prompts_of(name, questions())
    tables, tokens = expected_statistics(name, roles)
    assert min(tokens.values()) > 0
    order = np.random.default_rng(1).permutation(len(prompts))

    def summary(given, batch_size):
        found = record_activations(
            model, given, sites=SITES, roles=roles, batch_size=batch_size, progress=False
        )
        return found.summary()

    assert_statistics(summary(prompts, 16), tables, tokens)
    if roles == CONTENT_ROLES:
        assert_statistics(summary([prompts[i] for i in order], 5), tables, tokens)
        monkeypatch.setattr(LensModel, "can_share_prefix", lambda self, prompts: False)
        assert_statistics(summary(prompts, 16), tables, tokens)


def test_counts_depend_on_the_picture():
    """In image tokens and in the text behind them."""
    model = lens("llava", F64)
    (one, *_), (other, *_) = (
        prompts_of("llava", pictured_questions(LONG_HEAD)[start:]) for start in (0, 3)
    )
    for roles in (TEXT_ROLES, (Role.IMAGE,)):
        a, b = (
            record_activations(model, [p], roles=roles, progress=False).summary()
            for p in (one, other)
        )
        assert not torch.equal(a.counts["act"][0], b.counts["act"][0])
