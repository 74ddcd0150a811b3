"""Summaries of caches: what a recording pass gives of the same prompts, and one by hand."""

import pytest
import torch

from culture_lens.activations.caches import summary_from_caches
from culture_lens.activations.record import record_activations
from culture_lens.prompts.batches import batches
from culture_lens.prompts.build import build_prompts
from culture_lens.selectors import select
from tests.helpers import t5
from tests.helpers.bridges import own_bridge
from tests.helpers.errors import refused
from tests.helpers.lm import each_architecture, lens
from tests.helpers.marks import QUIET
from tests.helpers.questions import toy_questions

NAME = "blocks.{}.mlp.hook_act"


def hand_caches():
    """Two cultures, one layer, two neurons; the padding of the second row is not counted."""
    first = torch.tensor([[[1.0, -1.0], [2.0, 0.0]], [[9.0, 9.0], [-1.0, 3.0]]])
    second = torch.tensor([[[0.5, 4.0]]])
    return [{NAME.format(0): first}, {NAME.format(0): second}]


def test_by_hand():
    masks = [torch.tensor([[1, 1], [0, 1]]), torch.tensor([[1]])]
    summary = summary_from_caches(hand_caches(), [["Japan", "Italy"], "Italy"], masks=masks)
    assert summary.cultures == ("Italy", "Japan")
    assert summary.items.tolist() == [2, 1] and summary.tokens.tolist() == [2, 2]
    assert summary.counts["act"].tolist() == [[[1, 2]], [[2, 0]]]
    assert summary.sums["act"].tolist() == [[[-0.5, 7.0]], [[3.0, -1.0]]]
    assert summary.squares["act"].tolist() == [[[1.25, 25.0]], [[5.0, 1.0]]]
    bare = summary_from_caches(hand_caches()[1:], ["x"], magnitudes=False)
    assert not bare.sums and bare.counts["act"].tolist() == [[[1, 1]]]


def recorded(model, batch_size, sites):
    """What a user does: run batches with a cache, and count the tokens with a content role."""
    prompts = build_prompts(toy_questions(), model.processor)
    work = batches(prompts, batch_size, model.pad_id)
    hooks = [model.hook_name(s, layer) for s in sites for layer in range(model.layers(s))]

    def caches():
        for batch in work:
            options = {"attention_mask": batch.attention_mask, "names_filter": hooks}
            yield model.run_with_cache(batch.input_ids, **options)[1]

    labels = [[p.question.culture for p in batch.prompts] for batch in work]
    masks = [batch.role_mask((2, 3, 4)).int() for batch in work]
    return prompts, caches(), labels, masks


def assert_same(one, other):
    assert one.cultures == other.cultures and one.tokens.tolist() == other.tokens.tolist()
    assert one.items.tolist() == other.items.tolist() and one.sites == other.sites
    for site in one.sites:
        assert torch.equal(one.counts[site], other.counts[site])
        assert torch.allclose(one.sums[site], other.sums[site], rtol=1e-4, atol=1e-4)
        assert torch.allclose(one.squares[site], other.squares[site], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 5])
@each_architecture
def test_caches_give_what_a_recording_pass_gives(architecture, batch_size):
    model, sites = lens(architecture), ("act", "gate", "q", "z")
    prompts, caches, labels, masks = recorded(model, batch_size, sites)
    found = summary_from_caches(caches, labels, model=model, masks=masks)
    assert found.metadata["weights"] == model.fingerprint
    expected = record_activations(model, prompts, sites=sites, **QUIET).summary()
    assert_same(found, expected)
    chosen = select(found, "conact", k=4)
    assert chosen.cultures == expected.cultures and chosen["Japan"].hooks(model)


def test_an_encoder_decoder():
    model = t5.lens("flan")
    texts = {"Japan": "tea and rice", "Italy": "bread", "Mexico": "soup with bread"}
    caches = [model.run_with_cache(text)[1] for text in texts.values()]
    encoder = {"encoder.act": "encoder_blocks.{layer}.mlp.hook_act"}
    found = summary_from_caches(caches, list(texts), hooks=encoder)
    for row, culture in enumerate(found.cultures):
        cache = caches[list(texts).index(culture)]
        by_layer = [cache[encoder["encoder.act"].format(layer=i)][0] for i in range(model.n_layers)]
        assert torch.equal(
            found.counts["encoder.act"][row], torch.stack([(a > 0).sum(0) for a in by_layer])
        )
    refused(("the mask", "tokens"), summary_from_caches, caches, list(texts),
            masks=[torch.ones(1, model.to_tokens(t).shape[1]) for t in texts.values()])  # fmt: skip


def test_a_users_own_bridge_has_no_act_but_all_else():
    bridge = own_bridge("llama")
    texts, labels = ["Tea with milk", "Bread", "Soup", "Rice"], ["x", "y", "x", "y"]
    tokens = [lens("llama").to_tokens(text) for text in texts]
    found = summary_from_caches((bridge.run_with_cache(ids)[1] for ids in tokens), labels)
    streams = {"attn_out", "mlp_out", "resid"}
    assert set(found.sites) == {"gate", "up", "post", "q", "k", "v", "z"} | streams
    model = lens("llama")
    ours = summary_from_caches((model.run_with_cache(text)[1] for text in texts), labels)
    for site in found.sites:
        assert torch.equal(found.counts[site], ours.counts[site])
    # SiLU keeps the sign, so that gate and act are positive on the same tokens.
    assert torch.equal(found.counts["gate"], ours.counts["act"])


def test_what_is_refused():
    caches, labels = hand_caches(), [["Japan", "Italy"], "Italy"]
    masks = [torch.tensor([[1, 1], [0, 1]]), torch.tensor([[1]])]
    refused(("cache 0 has 2 rows", "padding", "masks="), summary_from_caches, caches, labels)
    for given in ([labels[0]], [*labels, "x"]):
        refused(("as many of each",), summary_from_caches, caches, given, masks=masks)
    refused(("as many of each",), summary_from_caches, caches, labels, masks=masks[:1])
    refused(("cache 0 has 2 rows and 3 labels",), summary_from_caches, caches,
            [["a", "b", "c"], "a"], masks=masks)  # fmt: skip
    refused(("labels='Japan'", "a list"), summary_from_caches, caches, "Japan")
    refused(("cache 1", "names of cultures"), summary_from_caches, caches, [labels[0], [3]],
            masks=masks)  # fmt: skip
    refused(("the mask is (1, 2)", "(2, 2)"), summary_from_caches, caches, labels,
            masks=[torch.ones(1, 2), masks[1]])  # fmt: skip
    refused(("0 on others",), summary_from_caches, caches, labels, masks=[masks[0] * 2, masks[1]])
    refused(("unknown hook name 'blocks.0.hook_in'", "hooks="), summary_from_caches,
            [{"blocks.0.hook_in": torch.ones(1, 2, 3)}], ["x"])  # fmt: skip
    refused(("must have {layer}",), summary_from_caches, caches, labels, hooks={"act": "mlp"})
    refused(("cache 0 lacks layer 1", NAME.format(1)), summary_from_caches,
            [{NAME.format(i): torch.ones(1, 2, 3) for i in (0, 2)}], ["x"])  # fmt: skip
    refused(("(2, 3)", "remove_batch_dim=False"), summary_from_caches,
            [{NAME.format(0): torch.ones(2, 3)}], ["x"])  # fmt: skip
    nan = {NAME.format(0): torch.full((1, 2, 3), torch.nan)}
    refused(
        ("site 'act', layer 0", "cache 0, row 0, of Japan"), summary_from_caches, [nan], ["Japan"]
    )
    refused(("nothing to summarise",), summary_from_caches, [], [])
    inside = {"blocks.0.mlp.in.hook_out": torch.ones(1, 2, 3)}
    refused(("mlp.in.hook_out", "'up'", "'gate'", "model="), summary_from_caches, [inside], ["x"])
    assert summary_from_caches([inside], ["x"], model=lens("gpt2")).sites == ("gate",)
    assert summary_from_caches([inside], ["x"], model=own_bridge("llama")).sites == ("up",)
    named = {"gate": "blocks.{layer}.mlp.in.hook_out"}
    assert summary_from_caches([inside], ["x"], hooks=named).sites == ("gate",)
    refused(("magnitudes",), summary_from_caches, [inside], ["x"], magnitudes=1)
    refused(("metadata",), summary_from_caches, [inside], ["x"], metadata="texts")
