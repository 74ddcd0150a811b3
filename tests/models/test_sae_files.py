"""Folders of SAELens in each of its layouts are read, written and refused by name."""

import json

import jaxtyping
import pytest
import torch

from culture_lens.errors import InputError
from culture_lens.models.sae_files import load_sae, save_sae
from tests.helpers.sae import WIDTH, tensors, written
from tests.helpers.tiny import D_MODEL

HOOK = "blocks.1.hook_resid_post"
NEW = {"d_in": D_MODEL, "d_sae": WIDTH, "dtype": "float32", "apply_b_dec_to_input": False}
V6 = {**NEW, "metadata": {"sae_lens_version": "6.4.0", "hook_name": HOOK, "model_name": "m"}}
X = torch.randn(5, D_MODEL, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


def standard(held, x):
    return torch.relu(x @ held["W_enc"] + held["b_enc"])


def centred(held, x):
    return standard(held, x - held["b_dec"])


def largest(held, x, k=3):
    pre = standard(held, x)
    kept = pre >= pre.sort(-1).values[..., -k][..., None]
    return pre * kept


def above(held, x):
    pre = x @ held["W_enc"] + held["b_enc"]
    return torch.where((pre > held["threshold"]) & (pre > 0), pre, 0)


def gate(held, x):
    pre = x @ held["W_enc"]
    size = torch.relu(pre * torch.exp(held["r_mag"]) + held["b_mag"])
    return torch.where(pre + held["b_gate"] > 0, size, 0)


def rescaled(held, x):
    norms = held["W_dec"].pow(2).sum(1).sqrt()
    pre = standard(held, x) * norms
    return pre * (pre >= pre.sort(-1).values[..., -3][..., None])


OLD = {"hook_point": HOOK, "hook_point_layer": 1, "d_in": D_MODEL, "d_sae": WIDTH}
THRESHOLD = torch.linspace(-1, 4, WIDTH, dtype=torch.float64)
GATED = {"r_mag": THRESHOLD / 4, "b_mag": THRESHOLD / 2, "b_gate": -THRESHOLD / 3}
LAYOUTS = {
    "version 6": ({**V6, "architecture": "standard"}, {}, standard),
    "version 6, centred": (
        {**V6, "architecture": "standard", "apply_b_dec_to_input": True}, {}, centred,
    ),
    "version 3": (
        {**NEW, "hook_name": HOOK, "hook_layer": 1, "activation_fn_str": "relu",
         "normalize_activations": "none", "architecture": "standard"}, {}, standard,
    ),
    "version 1": ({**OLD, "normalize_activations": False}, {}, centred),
    "open layer": ({**OLD, "hook_point": "blocks.{layer}.hook_resid_post"}, {}, centred),
    "top-k": ({**V6, "architecture": "topk", "k": 3}, {}, largest),
    "top-k by its function": (
        {**NEW, "hook_name": HOOK, "architecture": "standard", "activation_fn_str": "topk",
         "activation_fn_kwargs": {"k": 3}}, {}, largest,
    ),
    "top-k, rescaled": (
        {**V6, "architecture": "topk", "k": 3, "rescale_acts_by_decoder_norm": True}, {}, rescaled,
    ),
    "jumprelu": ({**V6, "architecture": "jumprelu"}, {"threshold": THRESHOLD}, above),
    "batch-top-k": (
        {**V6, "architecture": "batchtopk", "k": 3},
        {"topk_threshold": torch.tensor(1.5, dtype=torch.float64)},
        lambda held, x: above({**held, "threshold": torch.full((WIDTH,), 1.5)}, x),
    ),
    "gated": ({**V6, "architecture": "gated"}, GATED, gate),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout, tmp_path):
    config, more, plain = LAYOUTS[layout]
    held = {**tensors(), **more}
    if layout == "gated":
        del held["b_enc"]
    sae = load_sae(written(tmp_path / "a", config, held))
    expected = plain(held, X)
    assert sae.hook == HOOK and sae.width == WIDTH and not sae.is_transcoder
    assert 0 < (expected > 0).double().mean() < 1
    assert torch.allclose(sae.encode(X), expected, rtol=1e-9, atol=1e-9)
    norms = held["W_dec"].norm(dim=1)[:, None] if "rescaled" in layout else 1.0
    shown = expected @ (held["W_dec"] / norms) + held["b_dec"]
    assert torch.allclose(sae.reconstruct(X), shown, rtol=1e-9, atol=1e-9)
    again = load_sae(save_sae(sae, tmp_path / "b"))
    assert again.content == sae.content and torch.equal(again.encode(X), sae.encode(X))


@pytest.mark.parametrize("way", ["layer_norm", "constant_norm_rescale"])
def test_normalised_inputs(way, tmp_path):
    """A feature adds its row times what the input was divided by."""
    held = tensors()
    config = {**V6, "architecture": "standard", "normalize_activations": way}
    sae = load_sae(written(tmp_path, config, held))
    shift = X.mean(1, keepdim=True) if way == "layer_norm" else torch.zeros(5, 1).double()
    size = X.std(1, keepdim=True) if way == "layer_norm" else X.norm(dim=1)[:, None] / D_MODEL**0.5
    eps = 1e-5 if way == "layer_norm" else 0.0
    features = standard(held, (X - shift) / (size + eps))
    assert torch.allclose(sae.encode(X), features)
    shown = (features @ held["W_dec"] + held["b_dec"]) * size + shift
    assert torch.allclose(sae.reconstruct(X), shown)
    fewer = features.clone()
    fewer[:, 2] = 0
    change = -features[:, [2]] * size * held["W_dec"][2]
    assert torch.allclose(sae.change(X, features, fewer), change)
    assert sae.outgoing() is None


@pytest.mark.parametrize("name", ["transcoder", "skip_transcoder", "jumprelu_transcoder"])
def test_transcoders(name, tmp_path):
    held = tensors(d_out=7)
    kind = above if name.startswith("jump") else standard
    if name.startswith("jump"):
        held["threshold"] = THRESHOLD
    if name.startswith("skip"):
        held["W_skip"] = torch.randn(7, D_MODEL, dtype=torch.float64)
    names = {"hook_name": "blocks.1.ln2.hook_out", "hook_name_out": "blocks.1.hook_mlp_out"}
    config = {
        **{**NEW, "d_out": 7, "architecture": name},
        "metadata": {"sae_lens_version": "6.0.0", **names},
    }
    sae = load_sae(written(tmp_path / "a", config, held))
    features = kind(held, X)
    shown = features @ held["W_dec"] + held["b_dec"]
    shown = shown + X @ held["W_skip"].T if "W_skip" in held else shown
    assert torch.allclose(sae.reconstruct(X), shown)
    assert (sae.hook, sae.write) == tuple(names.values())
    assert load_sae(save_sae(sae, tmp_path / "b")).content == sae.content


def test_centred_streams(tmp_path):
    """TransformerLens took the mean off GPT-2's stream when such files were trained."""
    config = {**V6, "architecture": "standard"}
    config["metadata"] = {
        **V6["metadata"], "model_from_pretrained_kwargs": {"center_writing_weights": True}
    }  # fmt: skip
    held = tensors()
    sae = load_sae(written(tmp_path / "a", config, held))
    assert torch.allclose(sae.encode(X), standard(held, X - X.mean(1, keepdim=True)))
    assert load_sae(save_sae(sae, tmp_path / "b")).mean_centred


def without_bias(config, held):
    return config, {name: held[name] for name in ("W_enc", "W_dec", "b_dec")}


def with_nan(config, held):
    return config, {**held, "b_dec": held["b_dec"] * float("nan")}


def shortened(config, held):
    return config, {**held, "b_enc": held["b_enc"][:-1].clone()}


def but(**changes):
    return lambda config, held: ({**config, **changes}, held)


BROKEN = {
    "no weights": (lambda config, _: (config, None), "no such file.*sae_weights.safetensors"),
    "cut": (lambda config, _: (config, "cut"), "is damaged"),
    "a tensor less": (without_bias, "lacks b_enc"),
    "nan": (with_nan, "b_dec in .* NaN"),
    "mixed": (shortened, "encoder_bias .* shape .19,., not .20,"),
    "another width": (but(d_sae=99), "says d_sae=99 and the weights have 20"),
    "no hook": (but(metadata={}), "has no hook_name or hook_point"),
    "architecture": (but(architecture="temporal"), "'temporal', which is not known"),
    "k": (but(architecture="topk"), "top-k autoencoder and gives k=None"),
    "one head": (but(hook_head_index=3), "is of one head"),
    "normalised": (but(normalize_activations="x"), "normalize_activations 'x'"),
    "normalised by a list": (but(normalize_activations=[1]), "normalize_activations"),
    "no json": (lambda _, held: ([1], held), "holds no names with values"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_refused(broken, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    change, words = BROKEN[broken]
    config, held = change({**V6, "architecture": "standard"}, tensors())
    written(tmp_path, config, held if isinstance(held, dict) else tensors())
    weights = tmp_path / "sae_weights.safetensors"
    if held is None:
        weights.unlink()
    if held == "cut":
        weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match=words):
        load_sae(tmp_path)


def test_places_that_are_none(tmp_path):
    with pytest.raises(InputError, match="neither a folder nor a place on the hub"):
        load_sae("nowhere")
    with pytest.raises(InputError, match="neither a folder nor a place on the hub"):
        load_sae("a/b/../../c")
    with pytest.raises(InputError, match="cfg.json"):
        load_sae(tmp_path)


def test_what_is_written_is_the_layout(tmp_path):
    sae = load_sae(written(tmp_path / "a", {**V6, "architecture": "topk", "k": 3}, tensors()))
    config = json.loads((save_sae(sae, tmp_path / "b") / "cfg.json").read_text())
    assert config["architecture"] == "topk" and config["k"] == 3 and config["d_in"] == D_MODEL
    assert config["metadata"]["hook_name"] == HOOK
    assert config["metadata"]["sae_lens_version"] >= "6"
