"""RelP and scaled inputs: the plain reference, identities of the rules, batches, refusals."""

import pytest
import torch

from culture_lens.attribution.paths import Path
from culture_lens.errors import InputError
from culture_lens.prompts.batches import collate
from tests.helpers import reference_attribution, reference_t5, t5
from tests.helpers.attributed import (
    LIKELIHOOD,
    asked,
    assert_equal,
    expected,
    found,
    options_of,
    prompts_of,
    text_items,
)
from tests.helpers.gradients import as_tables, assert_equal_to
from tests.helpers.lm import exact, exact_raw, lens
from tests.helpers.marks import mostly_slow
from tests.helpers.questions import lengthened
from tests.helpers.reference import decoder_layers
from tests.helpers.reference_relp import rules
from tests.helpers.tiny import ARCHITECTURES

DIFFERENCE = {**LIKELIHOOD, "objective": "logit_difference"}
RELP = {**DIFFERENCE, "path": "relp"}
INPUTS = {**DIFFERENCE, "path": "inputs", "points": 2}
WAYS = {
    "relp": RELP,
    "relp, letter, P, sum": {"path": "relp", "aggregation": "sum"},
    "inputs": INPUTS,
    "inputs, letter, P, largest": {"path": "inputs", "points": 3, "aggregation": "largest"},
    "inputs, options": {**INPUTS, "positions": "options"},
}
SITES = ("act", "gate", "up", "post", "v", "z")
EVERY = [("llama", way) for way in WAYS]
EVERY += [(name, way) for name in ARCHITECTURES if name != "llama" for way in ("relp", "inputs")]


@pytest.mark.parametrize(
    ("architecture", "way"), mostly_slow(EVERY, fast=[("llama", "relp"), ("gpt2", "relp")])
)
def test_both_equal_the_reference(architecture, way):
    model, questions, how = exact(architecture), asked()[:3], WAYS[way]
    sites = [site for site in SITES if site in model.widths]
    scores = found(model, questions, sites, how, batch_size=3)
    items, hf = text_items(architecture, model, questions, how), exact_raw(architecture)
    if how["path"] == "relp":
        with rules(hf, decoder_layers(hf)):
            sums = expected(items, sites, how)
    else:
        sums = expected(items, sites, how)
    assert_equal(scores, sums)
    assert "gap" not in scores.metadata


FAMILIES = [(family, way) for family in t5.FAMILIES for way in ("relp", "inputs")]


@pytest.mark.parametrize(("family", "way"), mostly_slow(FAMILIES, fast=[("flan", "relp")]))
def test_both_equal_the_reference_in_two_stacks(family, way):
    model, hf, how, questions = t5.exact(family), t5.exact_raw(family), WAYS[way], asked()[:3]
    fixed = ("q", "k") if way == "relp" else ()
    sites = [site for site in reference_t5.sites_of(hf) if not site.endswith(fixed or "?")]
    items = [
        (
            p.question.culture,
            reference_attribution.t5_item(
                hf, p.ids, p.decoder_ids, options_of(model, p)[0], p.question.answer
            ),
        )
        for p in prompts_of(model, questions, how)
    ]
    scores = found(model, questions, sites, how, batch_size=3)
    if way == "relp":
        with rules(hf, [*hf.encoder.block, *hf.decoder.block]):
            sums = expected(items, sites, how)
    else:
        sums = expected(items, sites, how)
    assert_equal(scores, sums)


@pytest.mark.parametrize("way", mostly_slow(["relp", "inputs"], fast=[]))
def test_batch_size_order_and_padding_do_not_matter_to_them(way):
    model, questions = exact("llama"), lengthened(asked(), 3)
    alone = found(model, questions, ("act", "v"), WAYS[way], batch_size=1)
    together = found(model, questions[::-1], ("act", "v"), WAYS[way], batch_size=4)
    assert_equal_to(together, as_tables(alone), 1e-9, 1e-11)


def test_the_rules_change_no_value_and_share_products():
    """act, gate and up of a neuron have the same score, half of that of post."""
    model, how = exact("llama"), {**RELP, "scoring": "letter", "aggregation": "sum"}
    sites = ("act", "gate", "up", "post")
    scores = found(model, asked()[:2], sites, how)
    half = scores.scores["post"] / 2
    for site in sites[:3]:
        assert torch.allclose(scores.scores[site], half, rtol=1e-9, atol=1e-15)
    plain = found(model, asked()[:2], sites, {**how, "path": "none"})
    assert scores.metadata["p_gold"] == plain.metadata["p_gold"]
    assert not torch.allclose(scores.scores["post"], plain.scores["post"], rtol=0.1)


def test_relp_leaves_no_hook_behind_and_refuses_what_it_holds_fixed():
    model = lens("gpt2")
    batch = collate(prompts_of(model, asked()[:1], {}), model.pad_id)
    before = model.logits(batch)
    found(model, asked()[:1], "act", RELP)
    assert not model.is_hooked
    assert torch.equal(model.logits(batch), before)
    with pytest.raises(InputError, match=r"q, k would score 0: give sites=\['gate', 'v'\]"):
        found(model, asked()[:1], ("gate", "q", "k"), RELP)


def test_neither_has_a_baseline():
    for name in ("relp", "inputs"):
        with pytest.raises(InputError, match=f"path='{name}' moves no activation"):
            Path(name, baseline="others")
    assert Path("relp", points=5).shares == (1.0,)
