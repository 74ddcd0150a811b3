"""logit_lens against the equation in plain PyTorch, and what it refuses."""

import pytest
import torch

from culture_lens.cards.logit_lens import logit_lens
from culture_lens.errors import InputError
from culture_lens.models.load import load_model
from tests.helpers import t5
from tests.helpers.lm import exact, exact_raw
from tests.helpers.tiny import tiny_tokenizer


def unit(x):
    return x / x.square().mean().sqrt()


def by_the_equation(architecture, layer, index):
    """W_U (N(w) - N(0)), written out for each family's norm."""
    hf = exact_raw(architecture)
    with torch.no_grad():
        if architecture == "gpt2":
            w = unit(hf.transformer.h[layer].mlp.c_proj.weight[index])
            norm = hf.transformer.ln_f
            centred = w - w.mean()
            read = norm.weight * centred / (centred.square().mean() + norm.eps).sqrt()
            return hf.lm_head.weight @ read
        block = hf.model.layers[layer]
        w = block.mlp.down_proj.weight[:, index]
        shift = 1 if architecture == "gemma3" else 0
        for norm in [block.post_feedforward_layernorm, hf.model.norm] if shift else [hf.model.norm]:
            eps = getattr(norm, "variance_epsilon", None) or norm.eps
            w = unit(w)
            w = (norm.weight + shift) * w / (w.square().mean() + eps).sqrt()
        return hf.lm_head.weight @ w


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_it_is_the_equation(architecture):
    found = logit_lens(exact(architecture), ("act", 1, 7))
    expected = by_the_equation(architecture, 1, 7)
    torch.testing.assert_close(found.logits.double(), expected, atol=1e-4, rtol=1e-4)


def test_ends_ranks_and_norms():
    model = exact("llama")
    found = logit_lens(model, ("post", 2, 3))
    order = sorted(range(len(found.logits)), key=lambda t: -float(found.logits[t]))
    table = found.to_pandas(2)
    assert table["id"].tolist() == [order[0], order[1], order[-1], order[-2]]
    assert [found.rank(token) for token in (order[0], order[4], order[-1])] == [1, 5, len(order)]
    weights = exact_raw("llama").model.layers[2].mlp.down_proj.weight
    assert found.norm == pytest.approx(float(weights[:, 3].norm()), rel=1e-6)
    assert found.layer_norms[3] == pytest.approx(found.norm)
    assert len(repr(found).splitlines()) <= 8


def test_weights_of_zero_write_nothing():
    hf = exact_raw("llama")
    with torch.no_grad():
        held = hf.model.layers[0].mlp.down_proj.weight[:, 4].clone()
        hf.model.layers[0].mlp.down_proj.weight[:, 4] = 0
        model = load_model("silent", hf_model=hf, tokenizer=tiny_tokenizer("llama"))
        assert not logit_lens(model, ("act", 0, 4)).logits.any()
        hf.model.layers[0].mlp.down_proj.weight[:, 4] = held


def test_the_decoder_of_two_stacks_has_one_and_its_encoder_has_none():
    family = next(iter(t5.FAMILIES))
    model, hf = t5.exact(family), t5.exact_raw(family)
    block = hf.decoder.block[1].layer[-1].DenseReluDense
    norm = hf.decoder.final_layer_norm
    w = unit(block.wo.weight[:, 5])
    read = norm.weight * w / (w.square().mean() + norm.variance_epsilon).sqrt()
    found = logit_lens(model, ("decoder.act", 1, 5))
    torch.testing.assert_close(
        found.logits.double(), (hf.lm_head.weight @ read).detach(), atol=1e-4, rtol=1e-4
    )
    with pytest.raises(InputError, match="not unembedded"):
        logit_lens(model, ("encoder.act", 0, 0))


def test_sites_without_outgoing_weights_and_several_neurons_are_refused():
    with pytest.raises(InputError, match="no outgoing weights"):
        logit_lens(exact("llama"), ("q", 0, 0))
    with pytest.raises(InputError, match="one neuron, not of 2"):
        logit_lens(exact("llama"), [("act", 0, 0), ("act", 0, 1)])
