"""Small random autoencoders, their equations written plainly, and raw models with their edits."""

import json
from contextlib import contextmanager

import torch
from safetensors.torch import save_file

from culture_lens.models.sae import SAE
from tests.helpers import lm, reference, reference_t5, reference_vlm, t5, vlm
from tests.helpers.architecture_table import encoder_decoder_case, image_case
from tests.helpers.tiny import D_MODEL

WIDTH = 20


def tensors(d_in=D_MODEL, width=WIDTH, d_out=None, seed=0, dtype=torch.float64):
    """Weights that let about half of the features be active."""
    draw = torch.Generator().manual_seed(seed)
    d_out = d_in if d_out is None else d_out
    shapes = {"W_enc": (d_in, width), "b_enc": (width,), "W_dec": (width, d_out), "b_dec": (d_out,)}
    held = {n: torch.randn(s, generator=draw, dtype=torch.float64) for n, s in shapes.items()}
    return {name: values.to(dtype) for name, values in held.items()}


def random_sae(hook, seed=0, dtype=torch.float64, d_in=D_MODEL, **fields):
    """An autoencoder with the weights of ``tensors``."""
    made = tensors(d_in, seed=seed, dtype=dtype)
    return SAE(made["W_enc"], made["b_enc"], made["W_dec"], made["b_dec"], hook=hook, **fields)


def plain_features(held, x, centred=False):
    """relu((x - b_dec) W_enc + b_enc)."""
    given = x - held["b_dec"] if centred else x
    return torch.clamp(given @ held["W_enc"] + held["b_enc"], min=0)


def written(folder, config, held):
    """Write a folder as SAELens has it, by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: v.contiguous() for n, v in held.items()}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


def raw_of(make, name):
    """The raw model of a case of ``architecture_table``, in its dtype."""
    if make is encoder_decoder_case:
        return t5.raw(name, torch.float64)
    return (vlm if make is image_case else lm).raw(name)


def layers_of(hf):
    """The layers of a raw model's language model, of an encoder-decoder its encoder's."""
    if hf.config.is_encoder_decoder:
        return list(reference_t5.blocks_of(hf, "encoder.act"))
    if hasattr(hf.config, "text_config"):
        return list(reference_vlm.text_layers(hf))
    return reference.decoder_layers(hf)


@contextmanager
def stream_edited(hf, layer, edit):
    """Let what a raw layer gives be edited."""

    def run(module, args, output):
        if isinstance(output, tuple):
            return (edit(output[0]), *output[1:])
        return edit(output)

    handle = layers_of(hf)[layer].register_forward_hook(run)
    try:
        yield
    finally:
        handle.remove()
