"""A tiny Llama whose layers hardly write into the residual stream: nearly linear."""

import functools

import torch

from culture_lens.models.load import load_model
from tests.helpers.reference_culnig import norms_in_own_dtype
from tests.helpers.tiny import tiny_model, tiny_tokenizer


@functools.cache
def faint(scale):
    """A float64 model whose layers hardly write into the residual stream.

    It is linear in what enters linearly, as up and v do. The activation function bends what gate
    does, and softmax what q and k do, however little comes of it.
    """
    hf = norms_in_own_dtype(tiny_model("llama").double())
    with torch.no_grad():
        for layer in hf.model.layers:
            layer.mlp.down_proj.weight *= scale
            layer.self_attn.o_proj.weight *= scale
    return load_model(f"faint-{scale}", hf_model=hf, tokenizer=tiny_tokenizer("llama"))
