"""The reference of vision-language models reads, edits and differentiates what it says."""

import numpy as np
import pytest
import torch

from tests.helpers.reference_vlm import (
    at_site,
    image_positions,
    repeated,
    text_layers,
    vlm_attribution,
    vlm_edited_logits,
    vlm_edited_rows,
    vlm_logits,
    vlm_site_values,
)
from tests.helpers.tiny import D_MLP, N_HEADS, N_KV_HEADS, N_LAYERS
from tests.helpers.tiny_vlm import tiny_vlm
from tests.helpers.vlm_items import each_vlm
from tests.helpers.vlm_made import WHERE, item


@each_vlm
def test_sites(architecture):
    hf, inputs = tiny_vlm(architecture), item(architecture)
    n_pos, d_head = inputs["input_ids"].shape[1], 16 if architecture == "gemma3" else 8
    values = {s: vlm_site_values(hf, s, inputs) for s in ("gate", "act", "up", "post", *"qkvz")}
    widths = dict.fromkeys(("gate", "act", "up", "post"), D_MLP) | {
        "q": N_HEADS * d_head, "k": N_KV_HEADS * d_head, "v": N_KV_HEADS * d_head,
        "z": N_HEADS * d_head,
    }  # fmt: skip
    for site, table in values.items():
        assert table.shape == (N_LAYERS, n_pos, widths[site]) and table.dtype == np.float64
        assert table.min() < 0 < table.max()
    assert np.abs(values["act"] * values["up"] - values["post"]).max() < 1e-5
    # the picture changes its own positions and those behind it, and nothing before it
    other = vlm_site_values(hf, "gate", item(architecture, seed=2))
    where = image_positions(hf, inputs)[0].numpy()
    changed = np.abs(other - values["gate"]).max(2) > 1e-4
    assert changed[:, where].all() and not changed[:, : where.argmax()].any()


@each_vlm
def test_edits(architecture):
    hf, inputs = tiny_vlm(architecture), item(architecture)
    plain = vlm_logits(hf, inputs)
    three = [(0, 2), (1, 3), (2, 47)]

    def edited(*sites, value=0.0):
        return vlm_edited_logits(hf, inputs, {site: dict.fromkeys(three, value) for site in sites})

    silent = edited("gate")
    for site in ("act", "post"):
        assert torch.allclose(edited(site), silent, atol=1e-5)
    weights = [layer.mlp.down_proj.weight for layer in text_layers(hf)]
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for layer, index in three:
            weights[layer][:, index] = 0
        assert torch.allclose(vlm_logits(hf, inputs), silent, atol=1e-5)
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)
    three = [(0, 2), (1, 3), (2, 15)]  # k and v are 16 wide
    for site in ("gate", "act", "up", "post", *"qkvz"):
        assert (edited(site, value=3.0) - plain).abs().max() > 1e-3
    rows = [{site: dict.fromkeys(three, 3.0)} for site in ("gate", "z")]
    by_row = torch.stack([edited("gate", value=3.0), edited("z", value=3.0)])
    assert torch.allclose(vlm_edited_rows(hf, inputs, rows), by_row, atol=1e-5)
    both = edited("gate", "v")
    for site in ("gate", "v"):
        assert (edited(site) - both).abs().max() > 1e-4
    assert torch.equal(vlm_logits(hf, inputs), plain)  # no hook is left behind
    assert torch.equal(vlm_edited_logits(hf, inputs, {}), plain)


@each_vlm
def test_image_tower_is_left_alone_by_edits(architecture):
    hf, inputs = tiny_vlm(architecture), item(architecture)
    stack, seen = hf.get_decoder(), []
    handle = stack.register_forward_pre_hook(
        lambda module, args, options: seen.append(options["inputs_embeds"]), with_kwargs=True
    )
    vlm_logits(hf, inputs)
    vlm_edited_logits(hf, inputs, {"gate": {(0, 0): 9.0}, "q": {(1, 1): 9.0}})
    handle.remove()
    assert torch.equal(*seen)


@pytest.mark.slow
@each_vlm
def test_attribution_is_the_slope(architecture):
    hf, inputs, token = tiny_vlm(architecture).double(), item(architecture, WHERE), 300
    inputs = {n: v.double() if v.is_floating_point() else v for n, v in inputs.items()}
    for site in ("gate", "v"):
        scores = vlm_attribution(hf, inputs, token, site)
        values = vlm_site_values(hf, site, inputs)
        assert scores.shape == values[:, 0].shape and np.isfinite(scores).all()
        assert (np.abs(scores).max(1) > 0).all()
        layer, index, step = 1, int(scores[1].argmax()), 1e-2
        n_pos = values.shape[1]

        def nudge(at, x, rows=torch.arange(2 * n_pos), index=index):
            """One row up and one row down for each position."""
            x = x.clone()
            x[rows, rows // 2, index] += step * (1 - 2 * (rows % 2)) * (at == layer)
            return x

        with at_site(hf, site, nudge), torch.no_grad():
            p = hf(**repeated(inputs, 2 * n_pos), logits_to_keep=1).logits[:, -1].softmax(-1)
        up, down = p[:, token].reshape(n_pos, 2).T.numpy()
        slopes = (up - down) / (2 * step)
        p = vlm_logits(hf, inputs).softmax(-1)[token].item()
        expected = p * (values[layer, :, index] * slopes).max()
        assert scores[layer, index] == pytest.approx(expected, rel=0.02)
