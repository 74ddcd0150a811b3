"""Sites: their widths, and hooks that give what the raw modules give."""

import numpy as np
import pytest
from torch import nn

from culture_lens.errors import InputError
from culture_lens.interventions.hooks import ablated
from culture_lens.models.load import load_model
from culture_lens.models.sites import SITES, STREAM_SITES, check_sites, hook_name
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from tests.helpers import reference
from tests.helpers.lm import captured, each_architecture, lens, prompts_of, raw, raw_logits
from tests.helpers.tiny import D_MODEL, N_LAYERS, tiny_model, tiny_tokenizer

WIDTHS = {  # d_mlp 48; 4 query heads and 2 key heads of 8, or of 16 where d_head is given
    "llama": (48, 32, 16),
    "qwen2": (48, 32, 16),
    "qwen3": (48, 64, 32),
    "gemma3": (48, 64, 32),
    "phi3": (48, 32, 16),
    "mistral": (48, 32, 16),
    "gpt2": (48, 32, 32),
}


@each_architecture
def test_sites_and_widths(architecture):
    d_mlp, q, kv = WIDTHS[architecture]
    expected = {
        "act": d_mlp,
        "gate": d_mlp,
        "up": d_mlp,
        "post": d_mlp,
        "q": q,
        "k": kv,
        "v": kv,
        "z": q,
        **dict.fromkeys(STREAM_SITES, D_MODEL),
    }
    if architecture == "gpt2":
        del expected["up"]
    assert dict(lens(architecture).widths) == expected
    assert set(lens(architecture).sites) == set(expected)


@each_architecture
def test_hooks_give_what_the_raw_modules_give(architecture):
    model, hf = lens(architecture), raw(architecture)
    prompt = prompts_of(model)[0]
    sites = [site for site in ("act", "gate", "up", "q", "k", "v") if site in model.widths]
    names = {
        (site, layer): model.hook_name(site, layer) for site in sites for layer in range(N_LAYERS)
    }
    with captured(model, names.values()) as seen:
        model.logits(collate([prompt], model.pad_id))
    for site in sites:
        expected = reference.site_values(hf, site, prompt.ids)
        for layer in range(N_LAYERS):
            found = seen[names[site, layer]][0].flatten(1).numpy()
            assert np.abs(found - expected[layer]).max() < 2e-5 * np.abs(expected).max()


@each_architecture
def test_post_and_z_enter_the_output_projections(architecture):
    model, hf = lens(architecture), raw(architecture)
    prompt = prompts_of(model)[0]
    expected, handles = {}, []
    for i, layer in enumerate(reference.decoder_layers(hf)):
        attn = layer.attn if architecture == "gpt2" else layer.self_attn
        outs = (
            {"post": layer.mlp.c_proj, "z": attn.c_proj}
            if architecture == "gpt2"
            else {"post": layer.mlp.down_proj, "z": attn.o_proj}
        )
        for site, module in outs.items():

            def keep(module, args, key=(site, i)):
                expected[key] = args[0][0].flatten(1)

            handles.append(module.register_forward_pre_hook(keep))
    raw_logits(hf, prompt)
    for handle in handles:
        handle.remove()
    names = {key: model.hook_name(*key) for key in expected}
    with captured(model, names.values()) as seen:
        model.logits(collate([prompt], model.pad_id))
    assert len(expected) == 2 * N_LAYERS
    for key, name in names.items():
        assert (seen[name][0].flatten(1) - expected[key]).abs().max() < 1e-4


@each_architecture
def test_dimensions_of_the_stream(architecture):
    """Two dimensions of what a layer gives, or its parts add after their norms, set to 0."""
    model, hf = lens(architecture), raw(architecture)
    prompt = prompts_of(model)[0]
    batch = collate([prompt], model.pad_id)
    layer = reference.decoder_layers(hf)[1]
    attention = layer.attn if architecture == "gpt2" else layer.self_attn
    parts = {"attn_out": attention, "mlp_out": layer.mlp, "resid": layer}
    if architecture == "gemma3":
        parts["attn_out"] = layer.post_attention_layernorm
        parts["mlp_out"] = layer.post_feedforward_layernorm

    def cut(module, args, output):
        values = (output[0] if isinstance(output, tuple) else output).clone()
        values[..., [1, 5]] = 0
        return (values, *output[1:]) if isinstance(output, tuple) else values

    for site, module in parts.items():
        handle = module.register_forward_hook(cut)
        expected = raw_logits(hf, prompt)
        handle.remove()
        with ablated(model, Neurons.of({site: [(1, 1), (1, 5)]})):
            found = model.logits(batch)[0]
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
        assert (found - raw_logits(hf, prompt)).abs().max() > 1e-3


def test_unknown_sites():
    with pytest.raises(InputError, match="unknown site 'gat': did you mean 'gate'"):
        hook_name("gat", 0)
    with pytest.raises(InputError, match="unknown site 'up'.*has no gate, so it has no 'up'"):
        lens("gpt2").hook_name("up", 0)
    with pytest.raises(InputError, match="unknown site 'mlp'"):
        check_sites(["act", "mlp"])
    assert check_sites(["act", "q", "act"]) == ("act", "q")
    assert set(SITES) == set(lens("llama").sites)


def test_a_site_that_does_not_fire_is_noticed_at_load():
    hf = tiny_model("llama")
    mlp = hf.model.layers[1].mlp
    del mlp.act_fn
    mlp.act_fn = nn.functional.silu  # a plain function cannot be hooked
    with pytest.raises(InputError) as caught:
        load_model("odd", hf_model=hf, tokenizer=tiny_tokenizer("llama"))
    words = ("site 'act' of 'odd'", "does not fire", "layer 1", "not supported yet")
    assert all(word in str(caught.value) for word in words)


def test_layers_that_share_one_activation_module():
    """Where all layers have one act module, each layer's hook must still be its own."""
    hf = tiny_model("llama")
    for layer in hf.model.layers:
        layer.mlp.act_fn = hf.model.layers[0].mlp.act_fn
    try:
        model = load_model("shared", hf_model=hf, tokenizer=tiny_tokenizer("llama"))
    except InputError as error:
        assert "act" in str(error)  # refused by name is as good
        return
    prompt = prompts_of(model)[0]
    names = [model.hook_name("act", layer) for layer in range(N_LAYERS)]
    with captured(model, names) as seen:
        model.logits(collate([prompt], model.pad_id))
    expected = reference.site_values(raw("llama"), "act", prompt.ids)
    for layer, name in enumerate(names):
        assert np.abs(seen[name][0].numpy() - expected[layer]).max() < 1e-4
